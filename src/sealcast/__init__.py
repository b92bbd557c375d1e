"""Sealcast: encrypted delivery over IP multicast under keys that change on the fly."""

__version__ = "0.1.0"
