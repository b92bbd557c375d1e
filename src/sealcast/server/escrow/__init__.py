"""An escrow server: what its parties ask, carried out; its keys, its clock, and its way to the network."""
