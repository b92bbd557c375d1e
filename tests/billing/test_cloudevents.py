"""Shows usage as CloudEvents 1.0: attributes that the specification asks for, one object to a line."""

import datetime as dt
import json
from urllib.parse import urlsplit

from sealcast.billing.cloudevents import usage_event
from sealcast.messages.charging import UsageRow

ROW = UsageRow(
    id="7/42.2/TV 1",
    device="TV 1",
    channel=7,
    channel_name="news ü",
    epoch=42,
    turn=41,
    cause="start",
    start_ms=1_772_323_200_000,
    end_ms=1_772_323_800_007,
    bytes=12_500_000,
    packets=9_500,
    recorded_at_ms=1_772_323_900_000,
)


def test_an_event_says_what_the_specification_wants() -> None:
    """All required attributes, a source that is a URI, a time by RFC 3339, and the figures as numbers."""
    line = usage_event(ROW, "Nordlicht TV/Süd")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    event = json.loads(line)
    assert {name: event[name] for name in ("specversion", "id", "type", "subject", "datacontenttype")} == {
        "specversion": "1.0",
        "id": "7/42.2/TV 1",
        "type": "io.sealcast.usage.epoch",
        "subject": "TV 1",
        "datacontenttype": "application/json",
    }
    assert event["source"] == "sealcast://Nordlicht%20TV%2FS%C3%BCd"
    assert urlsplit(event["source"]).scheme == "sealcast"
    assert event["time"] == event["data"]["end"] == "2026-03-01T00:10:00.007Z"
    assert dt.datetime.fromisoformat(event["data"]["start"]) == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    assert {name: event["data"][name] for name in ("received_ms", "bytes", "packets", "epoch", "turn")} == {
        "received_ms": 600_007,
        "bytes": 12_500_000,
        "packets": 9_500,
        "epoch": 42,
        "turn": 41,
    }


def test_the_same_fact_is_the_same_line() -> None:
    """Byte for byte, so that whoever compares finds nothing new."""
    assert usage_event(ROW, "op") == usage_event(ROW, "op")
