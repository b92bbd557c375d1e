"""Shows how operators say who gets bills, when and for what, and what a bill that was sent forbids."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealcast.messages import operations_billing as operations
from sealcast.server.billing import customers as billing_customers
from server.charging import DAY_MS, Charging, charging


@pytest.fixture
def server() -> Iterator[Charging]:
    """Give a key server with two channels and two devices."""
    with charging() as found:
        yield found


def put(server: Charging, **fields: Any) -> Any:
    """Set a customer and return its row."""
    return server.ask(operations.CUSTOMER_SET, **fields).customers[0]


def test_a_customer_is_made_and_changed(server: Charging) -> None:
    """What is not given is that of the settings, or stays; another kind of period begins on its first day."""
    row = put(server, id="ada", anchor_day=15, zone="Europe/Berlin")
    assert (row.name, row.cycle, row.zone, row.anchor_day) == ("", "monthly", "Europe/Berlin", 15)
    assert row.devices == []
    row = put(server, id="ada", name="Ada Lovelace", devices=["TV-2", "TV-1", "TV-2"])
    assert (row.name, row.anchor_day, row.devices) == ("Ada Lovelace", 15, ["TV-1", "TV-2"])
    row = put(server, id="ada", cycle="weekly")
    assert (row.cycle, row.zone, row.anchor_day) == ("weekly", "Europe/Berlin", 1)
    assert put(server, id="ada", anchor_day=7).anchor_day == 7
    assert server.ask(operations.CUSTOMER_LIST, id="ada").customers[0].name == "Ada Lovelace"
    audit = [row[-1] for row in server.rows()["audit"] if row[-2] == "customer-set"]
    assert audit == ["ada", "ada TV-2 …", "ada", "ada"]


def test_devices_move_until_they_are_billed(server: Charging) -> None:
    """A device is its own customer, joins another and comes back; others that it pays for are listed too."""
    put(server, id="ada", devices=["TV-1"])
    put(server, id="bob", devices=["TV-1"])
    assert put(server, id="TV-2", devices=["TV-1"]).devices == ["TV-1", "TV-2"]
    assert put(server, id="ada").devices == []
    assert put(server, id="TV-1", devices=["TV-1"]).devices == ["TV-1"]
    listed = server.ask(operations.CUSTOMER_LIST).customers
    assert [(each.id, each.devices) for each in listed] == [
        ("TV-1", ["TV-1"]),
        ("TV-2", ["TV-2"]),
        ("ada", []),
        ("bob", []),
    ]
    page = server.ask(operations.CUSTOMER_LIST, after="TV-1", limit=2)
    assert ([each.id for each in page.customers], page.more) == (["TV-2", "ada"], True)


def test_what_no_customer_is(server: Charging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake is told in a line and changes nothing, not even what else the request says."""
    put(server, id="ada", name="Ada")
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"id": ""}, "bad-request", "a customer's id"),
        ({"id": "a da"}, "bad-request", "no spaces"),
        ({"id": "x" * 129}, "bad-request", "1 to 128"),
        ({"name": "two\nlines"}, "bad-request", "one line"),
        ({"name": "x" * 201}, "bad-request", "at most 200"),
        ({"zone": "Europe/Atlantis"}, "bad-request", "no time zone is called 'Europe/Atlantis'"),
        ({"zone": "../../etc/passwd"}, "bad-request", "no time zone"),
        ({"zone": ""}, "bad-request", "no time zone"),
        ({"anchor_day": 32}, "bad-request", "between 1 and 31"),
        ({"cycle": "weekly", "anchor_day": 8}, "bad-request", "between 1 and 7"),
        ({"cycle": "daily", "anchor_day": 2}, "bad-request", "between 1 and 1"),
        ({"devices": ["TV-1", "TV-9"]}, "unknown-device", "no device 'TV-9' is registered"),
        ({"devices": ["admin"]}, "unknown-device", "no device 'admin'"),
    ]
    for change, problem, why in cases:
        found = server.refused(operations.CUSTOMER_SET, **{"id": "ada", "name": "other", **change})
        assert found[0] == problem, change
        assert why in found[1]
    monkeypatch.setattr(billing_customers, "DEVICES_MAX", 2)
    too_many = "a customer has at most 2 devices; make another customer"
    for devices in (["TV-1", "TV-2", "TV-3"], ["TV-1", "TV-2"]):
        found = server.refused(operations.CUSTOMER_SET, id="TV-3", devices=devices)
        assert found == ("bad-request", too_many)
    assert server.refused(operations.CUSTOMER_LIST, id="eve")[0] == "unknown-customer"


def test_who_was_billed_stays_so(server: Charging) -> None:
    """With a bill the cycle is fixed and no device leaves; a name may change, and new devices may join."""
    begin = server.now_ms
    put(server, id="ada", devices=["TV-1"])
    server.subscribe("TV-2", "news")
    server.let_days_pass(1)
    server.close_period("ada", begin, begin + DAY_MS)
    for change in ({"cycle": "weekly"}, {"zone": "Asia/Tokyo"}, {"anchor_day": 2}):
        found = server.refused(operations.CUSTOMER_SET, id="ada", name="other", **change)
        assert found == (
            "period-closed",
            "ada has had a bill, so its cycle stays; make another customer",
        )
    found = server.refused(operations.CUSTOMER_SET, id="bob", devices=["TV-1"])
    assert found == ("period-closed", "TV-1 was billed to ada, and stays with it")
    found = server.refused(operations.CUSTOMER_SET, id="ada", devices=["TV-2"])
    assert found[0] == "period-closed"
    assert "TV-2 was subscribed in a period of which ada has the bill" in found[1]
    server.add_device("TV-3")
    server.subscribe("TV-3", "news")
    row = put(server, id="ada", name="Ada", cycle="monthly", devices=["TV-1", "TV-3"])
    assert (row.name, row.devices) == ("Ada", ["TV-1", "TV-3"])


def test_a_device_that_was_billed_on_its_own(server: Charging) -> None:
    """A device that had a bill itself keeps the cycle of the settings, and joins nobody."""
    begin = server.now_ms
    server.close_period("TV-1", begin - DAY_MS, begin)
    assert server.refused(operations.CUSTOMER_SET, id="TV-1", cycle="daily")[0] == "period-closed"
    assert server.refused(operations.CUSTOMER_SET, id="ada", devices=["TV-1"])[0] == "period-closed"
    assert put(server, id="TV-1", name="Set-top box", devices=["TV-2"]).devices == ["TV-1", "TV-2"]
