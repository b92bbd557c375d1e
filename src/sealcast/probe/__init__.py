"""A look at a multicast stream without any key: what it is, whether it is sealed, whether it makes sense."""
