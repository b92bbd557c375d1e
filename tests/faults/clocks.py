"""Owns wall clocks that a test moves: libfaketime under a program, and its offset in a file."""

from pathlib import Path

CACHE_S = 1
"""A clock is looked at so often."""

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""From the Debian package libfaketime; None where it is not installed."""


class WallClock:
    """The wall clock of one process; the monotonic one stays as it is."""

    def __init__(self, file: Path, offset: str = "+0") -> None:
        self._file = file
        self.move(offset)

    @property
    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        return {"FAKETIME_TIMESTAMP_FILE": str(self._file)}

    def move(self, offset: str) -> None:
        """Set it so far from the true time, for instance `+6h` or `-30m`."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)


def faking() -> dict[str, str]:
    """Return the environment of programs whose clocks may be moved."""
    assert LIBRARY is not None, "install the Debian package libfaketime"
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Its remedy for a fault of old C libraries ends each wait for the interpreter at once: threads take
        # turns two hundred times as often then, and do a tenth of their work.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "FAKETIME_CACHE_DURATION": str(CACHE_S),
        "FAKETIME_TIMESTAMP_FILE": "/dev/null",
    }
