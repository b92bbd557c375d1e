"""The commands of `sealcast billing`."""
