"""Billing at the key server: its desks, and what they read of other features."""
