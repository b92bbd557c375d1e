"""Owns instants on the command line: ISO 8601 with a zone, or a date, which is midnight UTC."""

import datetime as dt

from sealcast.core.errors import UsageError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def parse_instant(text: str) -> int:
    """Return `2026-03-01T00:00+01:00` or `2026-03-01` (midnight UTC) in ms since 1970; raises UsageError."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"not an instant: {text[:40]!r}; write for instance 2026-03-01 or 2026-03-01T00:00+01:00"
        ) from error
    if found.tzinfo is None:
        if not _is_date(text):
            raise UsageError(f"{text[:40]} names no time zone; write for instance {text[:40]}Z")
        found = found.replace(tzinfo=dt.UTC)
    try:
        instant_ms = (found - _EPOCH) // _MS
    except OverflowError as error:
        raise UsageError(f"{text[:40]} lies beyond every calendar") from error
    if instant_ms < 0:
        raise UsageError(f"{text[:40]} lies before 1970")
    return instant_ms


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
