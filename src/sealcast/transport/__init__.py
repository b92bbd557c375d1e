"""Sockets: addresses as users type them, interfaces, multicast memberships and batches of datagrams."""
