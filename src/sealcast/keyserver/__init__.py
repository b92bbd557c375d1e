"""The key server's feature: channels, leases, keys of epochs, what is on air, grants."""
