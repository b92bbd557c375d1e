"""The device agent: a process that holds a device, and opens packages for programs that never see a key."""
