"""Owns how channels look on the terminal: a table of many, the details of one.

Imported by commands when they run, not for their help.
"""

from sealcast.cli import output
from sealcast.core.channel import Framing, ScheduleKind, format_duration
from sealcast.core.scrambling import PatternPolicy
from sealcast.messages.answers import ChannelList, ChannelRow
from sealcast.transport.address import format_place

HEADERS = ("CHANNEL", "NUMBER", "GROUP", "SUITE", "KEYS", "LIFETIME", "STATE", "EPOCH", "SUBSCRIBERS", "OPEN")

OPEN = {True: "open to others", False: "closed to others"}


def print_channels(answer: ChannelList, *, json: bool) -> None:
    """Print a table, or one JSON object."""
    if json:
        output.print_json(answer)
        return
    rows = [
        (
            row.channel.name,
            str(row.channel.number),
            place(row),
            row.channel.suite,
            row.channel.keys,
            format_duration(row.channel.lifetime_ms),
            row.state,
            "-" if row.epoch is None else str(row.epoch),
            str(row.subscribers),
            "yes" if row.open else "no",
        )
        for row in answer.channels
    ]
    output.print_table(HEADERS, rows, empty="no channel yet; add one with: sealcast channel add")


def place(row: ChannelRow) -> str:
    """Return where a channel is sent: [SOURCE@]GROUP:PORT."""
    group = format_place(row.channel.group, row.channel.port)
    return f"{row.channel.source}@{group}" if row.channel.source else group


def schedule(row: ChannelRow) -> str:
    """Return how the keys of a channel follow each other, for people."""
    data = row.channel
    if data.schedule != ScheduleKind.CHAIN:
        return "each receiver fetches each key"
    turns = f", {data.cycle} of them in turn" if data.cycle else ""
    fresh = format_duration(data.fresh_every_ms)
    return f"chained, a fresh start each {fresh}; an update is sent {data.repeats} times{turns}"


def _more(row: ChannelRow) -> list[tuple[str, str]]:
    """Return the lines that few channels have."""
    data = row.channel
    lines = [("confidential", "yes")] if data.confidential else []
    if data.patterns:
        policy = PatternPolicy.parse(data.patterns)
        lines.append(("patterns", f"{policy.rule}, {policy.bits} bits, {_every(policy)}; scrambled only"))
    if data.framing != Framing.KEYED:
        lines.append(("framing", f"{data.framing} without key ID; the sender answers at {data.ask}"))
    return lines


def _every(policy: PatternPolicy) -> str:
    """Return when patterns change, for people."""
    after = [
        None if policy.after_bytes is None else f"{policy.after_bytes} bytes",
        None if policy.after_packets is None else f"{policy.after_packets} packets",
        None if policy.after_ms is None else format_duration(policy.after_ms),
    ]
    return "a new one after " + ", ".join(each for each in after if each is not None)


def details(row: ChannelRow) -> list[tuple[str, str]]:
    """Return label and value of each line of `channel show`."""
    data = row.channel
    remaining = "" if row.remaining_ms is None else f", {row.remaining_ms / 1000:.1f} s left"
    return [
        ("channel", f"{data.name} (number {data.number})"),
        ("group", place(row)),
        ("interface", data.interface or "chosen by the sender"),
        ("suite", data.suite),
        ("keys", f"made by the {data.keys}, one each {format_duration(data.lifetime_ms)}"),
        ("schedule", schedule(row)),
        *_more(row),
        ("publish at", data.publish_at),
        ("prefetch at", data.prefetch_at),
        ("senders", ", ".join(row.senders) or "nobody yet; see: channel senders"),
        ("subscribers", f"{row.subscribers}, {OPEN[row.open]}"),
        ("state", row.state + ("" if row.epoch is None else f", epoch {row.epoch}{remaining}")),
    ]
