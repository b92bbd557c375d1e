"""Owns usage as CloudEvents 1.0 in JSON, one to a line, for other programs that bill or count.

A consumer that keeps `id` and `source` counts each event once, however often it is sent: an id is the same
fact for ever, and what becomes known later is an event of its own (CloudEvents 1.0.2, sections 3.1 and 3.2).
"""

import datetime as dt
from urllib.parse import quote

import msgspec

from sealcast.messages.charging import UsageRow

SPEC_VERSION = "1.0"
TYPE = "io.sealcast.usage.epoch"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


class UsageData(msgspec.Struct, frozen=True, kw_only=True):
    """What was used: an epoch that was on air from `start` to `end`, with its packets and their payload."""

    device: str
    channel: int
    channel_name: str
    epoch: int
    turn: int
    cause: str
    start: str
    end: str
    received_ms: int
    bytes: int
    packets: int


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of an event, as they stand in its JSON."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: UsageData


def usage_event(row: UsageRow, operator: str) -> bytes:
    """Return one event as a line of JSON, with its line break; `time` is when the epoch ended."""
    data = UsageData(
        device=row.device,
        channel=row.channel,
        channel_name=row.channel_name,
        epoch=row.epoch,
        turn=row.turn,
        cause=row.cause,
        start=rfc3339(row.start_ms),
        end=rfc3339(row.end_ms),
        received_ms=row.end_ms - row.start_ms,
        bytes=row.bytes,
        packets=row.packets,
    )
    event = CloudEvent(
        specversion=SPEC_VERSION,
        id=row.id,
        source=f"sealcast://{quote(operator, safe='')}",
        type=TYPE,
        subject=row.device,
        time=data.end,
        datacontenttype="application/json",
        data=data,
    )
    return msgspec.json.encode(event) + b"\n"


def rfc3339(instant_ms: int) -> str:
    """Return an instant in UTC to the millisecond (RFC 3339)."""
    return (_EPOCH + instant_ms * _MS).isoformat(timespec="milliseconds")[:-6] + "Z"
