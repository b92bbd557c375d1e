"""What a key server does as one of several: master, standby or replica."""
