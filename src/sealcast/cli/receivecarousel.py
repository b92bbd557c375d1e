"""Owns what `sealcast receive` says and does of a carousel's files; for other outputs it adds nothing."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sealcast.core.errors import LocalError, UsageError

if TYPE_CHECKING:
    from sealcast.receiver.carouselcollection import CarouselReport
    from sealcast.receiver.sinks import Sink

SIZE_UNITS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000}
SIZE_DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class SinkOpener:
    """Opens the output that a command line asks for, once the rest of it is known to fit."""

    output: str
    limit_bytes: int | None
    is_once: bool
    has_digest: bool

    @property
    def is_stdout(self) -> bool:
        """Whether the stream itself goes to standard output."""
        return self.output == "-"

    def __call__(self, interface: str | None) -> "Sink":
        """Open it; raises UsageError and UnreachableError as `open_sink` does."""
        if not Path(self.output).is_dir():
            from sealcast.receiver.sinks import open_sink

            return open_sink(self.output, interface, digest=self.has_digest)

        from sealcast.receiver.carousel import LIMIT_BYTES, CarouselSink

        limit_bytes = LIMIT_BYTES if self.limit_bytes is None else self.limit_bytes
        return CarouselSink(Path(self.output), once=self.is_once, limit_bytes=limit_bytes)


def sink_opener(output: str, max_size: str | None, *, once: bool, digest: bool) -> SinkOpener:
    """Return what opens an output; raises UsageError for options that do not go with it."""
    if (once or max_size is not None) and not Path(output).is_dir():
        option = "--once" if once else "--max-size"
        raise UsageError(f"{option} is for the files of a carousel, and {output} is no folder; make it first")
    limit_bytes = None if max_size is None else parse_size_bytes(max_size)
    return SinkOpener(output, limit_bytes, once, digest)


def parse_size_bytes(text: str) -> int:
    """Read a size such as `8G`, `1.5T` or `2000000` in bytes; raises UsageError."""
    factor = SIZE_UNITS.get(text[-1:].lower(), 1)
    digits = (text[:-1] if factor > 1 else text).replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= SIZE_DIGITS_MAX):
        raise UsageError(f"not a size: {text!r}; write for instance 8G")
    return round(float(text[:-1] if factor > 1 else text) * factor)


def describe_files(sink: "Sink") -> str:
    """Return what the status line adds: how many files and how much of them is there."""
    report = _report(sink)
    if report is None:
        return ""
    if not report.files:
        return " | no list of files yet"
    percent = 100 if not report.bytes else 100 * report.held_bytes // report.bytes
    return f" | {report.complete} of {report.files} files, {percent} %"


def summarise_files(sink: "Sink") -> str:
    """Return what the last line adds."""
    report = _report(sink)
    if report is None:
        return ""
    parts = [f"{report.complete} of {report.files} files complete"]
    if report.refused:
        parts.append(f"{report.refused} refused")
    parts.append(f"{report.repaired_blocks} blocks repaired")
    return "; " + ", ".join(parts)


def files_of(sink: "Sink") -> dict[str, object]:
    """Return what a program reads of the files."""
    report = _report(sink)
    if report is None:
        return {}
    files = [{name: getattr(file, name) for name in file.__struct_fields__} for file in report.listing]
    return {
        "files": files,
        "files_complete": report.complete,
        "blocks_repaired": report.repaired_blocks,
        "files_damaged": report.damaged,
    }


def check_all_taken(sink: "Sink") -> None:
    """Raise LocalError if there were files that could not be taken: a script wants to know."""
    report = _report(sink)
    refused = [] if report is None else [file for file in report.listing if file.reason is not None]
    if refused:
        first = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise LocalError(f"not taken: {first.name!r}, since {first.reason}{more}")


def _report(sink: "Sink") -> "CarouselReport | None":
    from sealcast.receiver.carousel import CarouselSink

    return sink.report if isinstance(sink, CarouselSink) else None
