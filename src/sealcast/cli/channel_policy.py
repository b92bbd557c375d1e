"""Owns the options of `channel add` that say how keys follow each other, and how a stream is scrambled."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from sealcast.cli.helps import escape
from sealcast.core.channel import REPEATS, Framing, ScheduleKind, Suite, parse_duration_ms
from sealcast.core.errors import UsageError

SCHEDULE, SCRAMBLE = "Key schedule", "Scrambling, for receivers too small for AES"
FRESH_EVERY_MS = 3_600_000


class ContentKind(StrEnum):
    """Kinds of content with patterns of their own length (S1-10)."""

    NEWS = "news"
    FILM = "film"
    DATA = "data"


Schedule = Annotated[
    ScheduleKind,
    typer.Option(
        help="Each receiver fetches the next key, or it follows from this one.", rich_help_panel=SCHEDULE
    ),
]
FreshEvery = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help=escape("Chain: how often a key comes that follows from none. [default: 1h, or the lifetime]"),
        rich_help_panel=SCHEDULE,
    ),
]
Repeats = Annotated[
    int, typer.Option(metavar="N", help="Chain: how often each update is sent.", rich_help_panel=SCHEDULE)
]
CycleLength = Annotated[
    int,
    typer.Option(
        "--cycle",
        metavar="N",
        help="Chain: so many updates, prepared, in turn; 0 makes each when it is needed.",
        rich_help_panel=SCHEDULE,
    ),
]
Confidential = Annotated[
    bool,
    typer.Option(
        "--confidential",
        help="Refuse whatever does not keep it secret.",
        show_default=False,
        rich_help_panel=SCHEDULE,
    ),
]
ContentOption = Annotated[
    ContentKind,
    typer.Option("--content", help="What is sent: chooses the pattern's length.", rich_help_panel=SCRAMBLE),
]
PatternRule = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="How patterns are combined: single, inverted, two-times, a,~a1 …",
        rich_help_panel=SCRAMBLE,
    ),
]
PatternBits = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help=escape("Length of a pattern, 4 to 4096. [default: by the content]"),
        rich_help_panel=SCRAMBLE,
    ),
]
PatternEvery = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN",
        help=escape(
            "A new pattern each 10s, 5000p (packets), 9000B (bytes), or 10s,5000p. [default: by content]"
        ),
        rich_help_panel=SCRAMBLE,
    ),
]
FramingOption = Annotated[
    Framing,
    typer.Option(
        "--framing", help="Packets with their key ID, or RTP or plain UDP without.", rich_help_panel=SCRAMBLE
    ),
]
Ask = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Where the sender is asked which key is in use, for packets without key ID.",
        rich_help_panel=SCRAMBLE,
    ),
]


@dataclass(frozen=True, slots=True)
class Scrambling:
    """The options on patterns, as given."""

    content: ContentKind
    rule: str
    bits: int | None
    every: str | None


def schedule_fields(
    schedule: ScheduleKind, fresh_every: str | None, lifetime_ms: int, *, repeats: int, cycle: int
) -> dict[str, Any]:
    """Return the fields of `ChannelData` on the schedule; raises UsageError if one has no effect."""
    if schedule is ScheduleKind.FETCH and (fresh_every is not None or repeats != REPEATS or cycle):
        raise UsageError("--fresh-every, --repeats and --cycle are for a chain: add --schedule chain")
    fresh_every_ms = (
        max(FRESH_EVERY_MS, lifetime_ms) if fresh_every is None else parse_duration_ms(fresh_every)
    )
    return {"schedule": schedule.value, "fresh_every_ms": fresh_every_ms, "repeats": repeats, "cycle": cycle}


def pattern_text(suite: Suite, given: Scrambling) -> str:
    """Return the policy for patterns as text, empty for a suite without; raises UsageError."""
    from sealcast.core.scrambling import PatternPolicy
    from sealcast.messages.scrambling import default_policy

    if suite is not Suite.SCRAMBLE:
        if given.bits is not None or given.every is not None:
            raise UsageError("--pattern-bits and --pattern-every are for --suite scramble")
        return ""
    usual = default_policy(given.content.value, given.rule)
    bits = usual.bits if given.bits is None else given.bits
    if given.every is None:
        return str(PatternPolicy(given.rule, bits, usual.after_bytes, usual.after_packets, usual.after_ms))
    every = ",".join(_every(each) for each in given.every.split(","))
    return str(PatternPolicy.parse(f"{given.rule};{bits};{every}"))


def _every(text: str) -> str:
    """Return one part of --pattern-every as the policy writes it: times in ms."""
    if text.endswith(("p", "B")):
        return text
    return f"{parse_duration_ms(text)}ms"


def warn_of_scrambling(name: str) -> str:
    """Return the line that a person reads who adds a scrambled channel."""
    from sealcast.messages.scrambling import SCRAMBLE_WARNING

    return f"warning: {name} is {SCRAMBLE_WARNING}"
