"""Owns how channels look on the terminal: a table of many, the details of one.

Imported by commands when they run, not for their help.
"""

from sealcast.cli import output
from sealcast.core.channel import format_duration
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
        ("publish at", data.publish_at),
        ("prefetch at", data.prefetch_at),
        ("senders", ", ".join(row.senders) or "nobody yet; see: channel senders"),
        ("subscribers", f"{row.subscribers}, {OPEN[row.open]}"),
        ("state", row.state + ("" if row.epoch is None else f", epoch {row.epoch}{remaining}")),
    ]
