"""Owns what a point of sale may say of a device: which serial number, date and words do (S0-3)."""

import datetime as dt

from sealcast.messages.parties import ID_CHARS_MAX, is_id, is_line
from sealcast.messages.subscribing import SoldDevice

TEXT_CHARS_MAX = 256
"""As the messages have it (`messages.subscribing.Text`)."""

DATE_CHARS = len("2026-01-31")


def sold_fault(device: SoldDevice) -> str | None:
    """Return what is wrong with a sold device in a few words, None if nothing is."""
    if not is_id(device.serial):
        return f"a serial number has 1 to {ID_CHARS_MAX} printable ASCII characters, no spaces"
    if device.sold_on and not is_date(device.sold_on):
        return f"the date {device.sold_on[:32]!r} is none; write it as 2026-01-31"
    for name, text in (("seller", device.seller), ("note", device.note)):
        if len(text) > TEXT_CHARS_MAX:
            return f"the {name} has more than {TEXT_CHARS_MAX} characters"
        if not is_line(text):
            return f"the {name} has characters that cannot be printed in one line"
    return None


def is_date(text: str) -> bool:
    """Whether a text is a day as ISO 8601 writes it at full length."""
    try:
        return len(text) == DATE_CHARS and dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
