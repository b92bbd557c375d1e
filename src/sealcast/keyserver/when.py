"""Owns how an instant stands in answers: ISO 8601, UTC, to the second."""

import datetime as dt


def iso_time(wall_ms: int) -> str:
    """Return `2026-01-31T12:00:00Z` for milliseconds since 1970-01-01 UTC."""
    instant = dt.datetime.fromtimestamp(wall_ms // 1_000, tz=dt.UTC)
    return instant.isoformat().replace("+00:00", "Z")
