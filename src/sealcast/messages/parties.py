"""Owns what an id and a name may look like: ids of parties, serial numbers of devices, names of users."""

ID_CHARS_MAX = 128
"""As long as a `kid` may be (`messages.jose`)."""


def is_id(text: str) -> bool:
    """Whether a text can be the id of a party or the serial number of a device."""
    return 0 < len(text) <= ID_CHARS_MAX and all("!" <= char <= "~" for char in text)


def is_line(text: str) -> bool:
    """Whether a text stands in one line of a list: nothing in it moves the cursor or ends the line."""
    return text.isprintable()
