"""Owns the clips of the demo: a test card with a clock and a tone, and a media file as a transport stream.

PyAV is imported only when a clip is made; `encode.py` is what uses it.
"""

from collections.abc import Callable
from pathlib import Path

from sealcast.core.errors import UsageError

Progress = Callable[[float], None]
"""Called now and then with the share that is done, from 0 to 1."""


def make_testcard(path: Path | str, seconds: float, progress: Progress | None = None) -> None:
    """Write a test card of `seconds` to `path`: H.264 and AAC in a transport stream of 8 Mbit/s.

    Takes about an eighth of its own duration. Raises UsageError when PyAV is missing or `path` cannot be
    written.
    """
    _require_av()
    from sealcast.demo.encode import encode_testcard  # noqa: PLC0415 - needs PyAV, which is optional

    encode_testcard(Path(path), seconds, progress or _ignore)


def remux_to_ts(source_path: Path | str, target_path: Path | str) -> None:
    """Put picture and sound of a media file into a transport stream as they are, nothing encoded anew.

    Raises UsageError when PyAV is missing, or a file cannot be read or written.
    """
    _require_av()
    from sealcast.demo.encode import copy_to_ts  # noqa: PLC0415 - needs PyAV, which is optional

    copy_to_ts(Path(source_path), Path(target_path))


def _require_av() -> None:
    try:
        import av  # noqa: F401, PLC0415 - optional, and slow to load for programs that make no clip
    except ImportError as error:
        raise UsageError("making a clip needs PyAV: pip install 'sealcast[demo]'") from error


def _ignore(_share: float) -> None:
    """Take the progress of those who do not want to know."""
