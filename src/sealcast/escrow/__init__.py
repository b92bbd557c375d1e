"""The escrow: orders and their money, price classes and their keys, blind openings."""
