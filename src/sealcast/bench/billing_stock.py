"""Owns the database of the billing bench: devices, a month of epochs on air, and a grant for each of both.

```
channel 1   TV-0000000 … subscribed from the first of the month    epoch 1 … n on air, spread over the month
channel 2   …                                                        a grant of each to each of its devices
```
Rows are as the key server leaves them: the bench is about what bills make of them.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.keys.table import KeyState
from sealcast.keyserver.tables import channels, epochs, principals, totals
from sealcast.subscribers.tables import subscriptions

MONTH_MS = 1_769_904_000_000, 1_772_323_200_000
"""February 2026, UTC: long past, and over."""

CHANNELS = 10
SENDER = "studio"
LIFETIME_MS = 600_000
LEAD_MS = 60_000
"""A key is granted so long before it goes on air."""

BITS_PER_S = 8_000_000
PAYLOAD_BYTES = 1_316
SSRC_FIRST = 0x5EA1_0000

_GRANTS = sa.text(
    "INSERT INTO grants (device, channel, epoch, granted_at_ms, until_epoch)"
    " SELECT s.device, s.channel, e.epoch, e.published_at_ms, NULL"
    " FROM subscriptions s JOIN epochs e ON e.channel = s.channel ORDER BY s.device, s.channel, e.epoch"
)
_COUNT = sa.text("SELECT count(*) FROM grants")


@dataclass(frozen=True, slots=True)
class Stock:
    """What is in the database: `grants` of `devices`, each on one of `channels`, of `epochs` each."""

    grants: int
    devices: int
    channels: int
    epochs: int


def fill(connection: sa.Connection, grants: int, devices: int) -> Stock:
    """Fill an empty database with about `grants` grants of `devices`; takes about 4 s a million."""
    count = max(1, grants // devices)
    used = min(CHANNELS, devices)
    numbers = range(1, used + 1)
    names = [f"TV-{number:07}" for number in range(devices)]
    connection.execute(sa.insert(principals), [_principal(SENDER, "sender")])
    connection.execute(sa.insert(principals), [_principal(name, "device") for name in names])
    connection.execute(sa.insert(channels), [_channel(number, count) for number in numbers])
    aired = [_epoch(channel, epoch, count) for channel in numbers for epoch in range(1, count + 1)]
    connection.execute(sa.insert(epochs), aired)
    connection.execute(sa.insert(totals), [_totals(row) for row in aired])
    rows = [
        {"channel": place % used + 1, "device": name, "added_at_ms": MONTH_MS[0]}
        for place, name in enumerate(names)
    ]
    connection.execute(sa.insert(subscriptions), rows)
    connection.execute(_GRANTS)
    return Stock(connection.execute(_COUNT).scalar_one(), devices, used, count)


def _principal(name: str, role: str) -> dict[str, object]:
    return {"id": name, "role": role, "kind": "symmetric", "registered_at_ms": MONTH_MS[0]}


def _channel(number: int, count: int) -> dict[str, object]:
    return {
        "number": number,
        "name": f"channel-{number}",
        "group": f"239.1.1.{number}",
        "port": 5004,
        "suite": "aes-128-gcm",
        "keys": "sender",
        "lifetime_ms": LIFETIME_MS,
        "publish_at": "50%",
        "prefetch_at": "25%",
        "next_epoch": count + 1,
        "added_at_ms": MONTH_MS[0],
    }


def _epoch(channel: int, epoch: int, count: int) -> dict[str, object]:
    """Return an epoch that is over: they are spread over the month, each as long as a key lives or less."""
    apart_ms = (MONTH_MS[1] - MONTH_MS[0]) // (count + 1)
    begins_ms = MONTH_MS[0] + epoch * apart_ms
    ends_ms = begins_ms + min(LIFETIME_MS, apart_ms)
    return {
        "channel": channel,
        "epoch": epoch,
        "sender": SENDER,
        "ssrc": SSRC_FIRST + epoch,
        "consumed": True,
        "state": KeyState.RETIRED.name,
        "cause": "schedule",
        "leased_at_ms": begins_ms - LEAD_MS,
        "published_at_ms": begins_ms - LEAD_MS,
        "on_air_at_ms": begins_ms,
        "off_air_at_ms": ends_ms,
        "retired_at_ms": ends_ms,
    }


def _totals(row: dict[str, object]) -> dict[str, object]:
    duration_ms = int(str(row["off_air_at_ms"])) - int(str(row["on_air_at_ms"]))
    packets = duration_ms * BITS_PER_S // (8_000 * PAYLOAD_BYTES)
    return {
        **{name: row[name] for name in ("channel", "ssrc", "epoch")},
        "duration_ms": duration_ms,
        "packets": packets,
        "bytes": packets * PAYLOAD_BYTES,
    }
