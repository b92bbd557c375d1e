"""Bills on the live system, held against what tshark saw on the interface: packets, bytes, keys, to the cent.

Two subscribers with different tariffs watch a channel whose keys change; one leaves half way, and states that
its keys are destroyed. What each owes is worked out here from the capture; of what Sealcast itself says, only
the instants of a subscription are used.
"""

import contextlib
import datetime as dt
import json
import sqlite3
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from acceptance.onair import OnAir, capture
from acceptance.stations import Station
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_S
from sealcast.transport.system import SystemClock

pytestmark = [pytest.mark.network, pytest.mark.players]

LIFETIME_S = 4
INTO_A_KEY_S = 0.5
KEYS_BEFORE, KEYS_AFTER = 2, 2
"""How many keys are on air until one subscriber leaves, and how many after those."""

SETTLE_S, MARGIN_S = 1, 0.5
CLEAR_MS = 200
"""A change as the wire shows it and as the key server hears of it are less apart."""

APART_MS = 500
"""By so much may differ how long keys were on air, as tshark times their packets and as their sender says."""

PAST, LATER = "2026-01-01", "2026-01-02"
"""Tariffs are valid since before anybody subscribed."""

MB = 1_000_000
TAX = Fraction(19, 100)
A_PERIOD, A_MB, A_THOUSAND, A_KEY = Fraction(100_000), Fraction(4, 10), Fraction(1, 10), Fraction(45)
A_MINUTE = Fraction(6, 100)
FREE_BYTES = 2 * MB
PRICES = {
    "basic": (
        "Subscription: 100000 per period",
        "Data: 0.40 per MB, 2 MB free",
        "Packets: 0.10 per 1000 packets",
        "Viewing: 0.06 per minute",
    ),
    "by-key": ("Entry: 500 per period", "Keys: 45 per epoch"),
}


def rounded(amount: Fraction) -> int:
    """Return the nearest whole number; half goes away from zero."""
    return int((abs(amount) + Fraction(1, 2)) // 1) * (1 if amount >= 0 else -1)


def set_up(station: Station, anchor_day: int) -> None:
    """Make channel and parties; one device pays in yen, once it leaves, all others in euros, each month."""
    station.set_up()
    run = station.terminal.good
    for name, code, since, more in (("by-key", "JPY", PAST, ()), ("basic", "EUR", LATER, ("--tax", "19"))):
        prices = [part for price in PRICES[name] for part in ("--price", price)]
        since_then = ("--channel", "news", "--from", since)
        run("billing", "tariff", "add", name, "--currency", code, *prices, *more, *since_then)
    run("billing", "tariff", "assign", "news", "by-key", "--device", "tv-2", "--from", PAST)
    run("billing", "customer", "set", "tv-2", "--cycle", "closing")
    monthly = ("--cycle", "monthly", "--zone", "UTC", "--anchor-day", str(anchor_day))
    run("billing", "customer", "set", "tv-1", *monthly)


def withdraw(station: Station, viewer: int) -> None:
    """Have a device leave for good."""
    station.terminal.good("withdraw", "news", "--credential", f"tv-{viewer}.vault", "--json")


def run_the_stream(station: Station, card: Path) -> set[int]:
    """Send to both, and have the second leave in the middle of a key; return the epochs that it was given."""
    with (
        station.receiver("--output", "1.ts") as stays,
        station.receiver("--output", "2.ts", viewer=2) as leaves,
    ):
        for each in (stays, leaves):
            each.wait_for("joined")
        with station.sender("--input", str(card), "--loop") as sender:
            for _ in range(KEYS_BEFORE):
                sender.wait_for("on air")
            time.sleep(INTO_A_KEY_S)
            leaves.process.terminate()
            leaves.summary()
            withdraw(station, 2)
            for _ in range(KEYS_AFTER):
                sender.wait_for("on air")
            time.sleep(INTO_A_KEY_S)
            sender.process.terminate()
            sent, got = sender.summary(), stays.summary()
    assert (got["packets_opened"], got["lost"]) == (sent["packets"], 0)
    granted = [key for entry in leaves.log if entry["event"] == "granted" for key in entry["keys"]]
    return {KeyId.parse(key).epoch for key in granted}


def far_anchor(today: dt.date) -> int:
    """Return a day of the month that is more than a week away, so that no period ends in the test."""
    return 25 if 5 <= today.day < 16 else 11 if today.day < 5 or today.day >= 26 else 5


def month_around(instant_ms: int, anchor_day: int) -> int:
    """Return how many ms the month from anchor day to anchor day has, in UTC, around an instant."""
    day = dt.datetime.fromtimestamp(instant_ms / 1_000, dt.UTC).date()
    first = day.replace(day=anchor_day)
    if first > day:
        first = (day.replace(day=1) - dt.timedelta(days=1)).replace(day=anchor_day)
    after = (first.replace(day=1) + dt.timedelta(days=31)).replace(day=anchor_day)
    return (after - first).days * 86_400_000


def recorded(station: Station, query: str, *values: object) -> list[Any]:
    """Return what the key server's database says."""
    with contextlib.closing(sqlite3.connect(station.folder / "keyserver" / "keyserver.sqlite")) as database:
        return database.execute(query, values).fetchall()


def subscribed_ms(station: Station, device: str) -> tuple[int, int]:
    """Return from when to when a device was subscribed."""
    query = "SELECT added_at_ms, removed_at_ms FROM subscriptions WHERE device = ?"
    (row,) = recorded(station, query, device)
    return row[0], row[1]


def until(station: Station, air: OnAir, instant_ms: int) -> list[int]:
    """Return the epochs that were on air before an instant.

    The capture says it; but where a change and the instant fall together, the key server's clock does.
    """
    found = []
    for epoch in air.epochs:
        begins_ms = air.begins_s(epoch) * 1_000
        if abs(begins_ms - instant_ms) < CLEAR_MS:
            ((begins_ms,),) = recorded(station, "SELECT on_air_at_ms FROM epochs WHERE epoch = ?", epoch)
        if begins_ms < instant_ms:
            found.append(epoch)
    return found


def close(station: Station) -> dict[str, dict[str, Any]]:
    """Close, and return the document of each customer's one invoice; nobody waits."""
    run = station.terminal.good
    closed = json.loads(run("billing", "invoice", "close", "--json"))
    assert closed["waiting"] == []
    run("billing", "invoice", "export", "--output", "bills", "--form", "json")
    documents = [json.loads(file.read_bytes()) for file in sorted((station.folder / "bills").iterdir())]
    found = {document["customer"]: document for document in documents}
    assert len(found) == len(documents) == len(closed["issued"])
    return found


def amounts(invoice: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return units and amount in minor units of each line, by name."""
    return {line["name"]: (line["units"], line["amount_minor"]) for line in invoice["lines"]}


def expected_basic(air: OnAir, held_ms: int, whole_ms: int, viewed_ms: int) -> dict[str, tuple[int, int]]:
    """Work out the lines of `basic`, in cents, for who was there all the time and had keys so long."""
    size, count = sum(packet.payload_bytes for packet in air.packets), len(air.packets)
    lines = {
        "Subscription": (held_ms, rounded(100 * A_PERIOD * held_ms / whole_ms)),
        "Data": (size, rounded(100 * A_MB * max(0, size - FREE_BYTES) / MB)),
        "Packets": (count, rounded(100 * A_THOUSAND * count / 1_000)),
        "Viewing": (viewed_ms, rounded(100 * A_MINUTE * viewed_ms / 60_000)),
    }
    net = sum(amount for _, amount in lines.values())
    return {**lines, "tax": (0, rounded(net * TAX))}


def expected_by_key(epochs: list[int], held_ms: int) -> dict[str, tuple[int, int]]:
    """Work out the lines of `by-key`, in yen, for who had these keys."""
    return {"Entry": (held_ms, 500), "Keys": (len(epochs), rounded(A_KEY * len(epochs)))}


def test_bills_are_of_what_was_on_the_air(tmp_path: Path, card: Path) -> None:
    """Each line of two bills, one in euros and one in yen, is what was counted on the interface costs."""
    today = dt.datetime.fromtimestamp(SystemClock().wall_ns() / NS_PER_S, dt.UTC).date()
    anchor_day = far_anchor(today)
    station = Station(tmp_path, "239.255.78.31:5004", "--lifetime", f"{LIFETIME_S}s", viewers=2)
    station.terminal.environment["SEALCAST_BILLING_SETTLE_S"] = str(SETTLE_S)
    station.terminal.environment["SEALCAST_BILLING_EVIDENCE_DAYS"] = "1"
    with station.terminal.key_server():
        set_up(station, anchor_day)
        with capture(tmp_path, station.group) as air:
            given = run_the_stream(station, card)
        withdraw(station, 1)
        time.sleep(SETTLE_S + MARGIN_S)
        bills = close(station)
        audit = json.loads(station.terminal.good("billing", "usage", "audit", "--json"))
    first, second = (subscribed_ms(station, device) for device in ("tv-1", "tv-2"))
    # On a busy machine the next key is on air before the subscription ends, and was never asked for.
    had = [epoch for epoch in until(station, air, second[1]) if epoch in given]
    assert KEYS_BEFORE <= len(had) < len(air.epochs)
    basic = amounts(bills["tv-1"])
    viewed_ms, whole_ms = basic["Viewing"][0], month_around(first[0], anchor_day)
    assert abs(viewed_ms - 1_000 * air.duration_s) < APART_MS
    assert basic == expected_basic(air, first[1] - first[0], whole_ms, viewed_ms)
    assert amounts(bills["tv-2"]) == expected_by_key(had, second[1] - second[0])
    for bill in bills.values():
        assert bill["total_minor"] == sum(line["amount_minor"] for line in bill["lines"])
    assert audit["findings"] == []
    assert audit["checked"]["grants"] >= len(had) + len(air.epochs)
    assert audit["checked"]["requests"] > 0
