"""Measurements of the packet path, as ratios to what the cipher alone costs on the same machine."""
