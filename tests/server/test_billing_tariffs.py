"""Shows how operators add tariffs and assign them, and that whatever does not fit changes nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError
from sealcast.keyserver.calls import Call, Principal
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.jwk import Jwk
from sealcast.server.billing.closed import Closed, Subject, check_open, read_ahead
from server.charging import DAY_MS, Charging, charging, flat

YEN = Terms(
    prices=[PriceTerms(name="Data", quantity="bytes", steps=[StepTerms(price_micro=50_000_000, per=10**9)])]
)


def a_call(connection: sa.Connection, ahead: Closed | None) -> Call:
    """Return a call that brings what was read ahead."""
    key = Jwk(kty="oct")
    return Call(connection, Principal("admin", "operator", key, key), 0, 0, ahead)


@pytest.fixture
def server() -> Iterator[Charging]:
    """Give a key server with two channels and two devices."""
    with charging() as found:
        yield found


def basic(server: Charging, **more: Any) -> Any:
    """Add the tariff basic to news."""
    fields = {"name": "basic", "currency": "EUR", "terms": flat(), "channels": ["news"], **more}
    return server.ask(operations.TARIFF_ADD, **fields)


def test_a_tariff_begins_now(server: Charging) -> None:
    """A tariff is valid, and its channels have it, from the server's own now on, unless told."""
    row = basic(server).tariffs[0]
    assert (row.name, row.currency) == ("basic", "EUR")
    assert [(each.from_ms, each.until_ms, each.terms) for each in row.versions] == [
        (server.now_ms, None, flat())
    ]
    listed = server.ask(operations.ASSIGNMENT_LIST).assignments
    assert [(each.channel_name, each.device, each.tariff, each.from_ms) for each in listed] == [
        ("news", None, "basic", server.now_ms)
    ]
    assert server.ask(operations.TARIFF_LIST, name="basic").tariffs == [row]
    assert server.rows()["audit"][-1][-2:] == ("tariff-add", "basic from 2026-01-01T00:00:00Z")


def test_versions_of_a_tariff(server: Charging) -> None:
    """Another version needs no channel and leaves the first as it was; both are listed in order of time."""
    basic(server, from_ms=2 * DAY_MS, until_ms=3 * DAY_MS)
    fields = {"name": "basic", "currency": "EUR"}
    server.ask(operations.TARIFF_ADD, **fields, terms=flat(5), from_ms=3 * DAY_MS)
    server.ask(operations.TARIFF_ADD, **fields, terms=flat(1), from_ms=DAY_MS, until_ms=2 * DAY_MS)
    row = server.ask(operations.TARIFF_LIST, name="basic").tariffs[0]
    assert [(each.from_ms, each.until_ms) for each in row.versions] == [
        (DAY_MS, 2 * DAY_MS),
        (2 * DAY_MS, 3 * DAY_MS),
        (3 * DAY_MS, None),
    ]
    assert [each.terms.prices[0].steps[0].price_micro for each in row.versions] == [1, 9_990_000, 5]


def test_what_no_tariff_is(server: Charging) -> None:
    """Each absurdity is refused in a line that names it, and leaves the database as it was."""
    negative = Terms(prices=[PriceTerms(name="Data", quantity="bytes", steps=[StepTerms(price_micro=-1)])])
    dear = Terms(prices=[PriceTerms(name="Data", quantity="bytes", steps=[StepTerms(price_micro=10**6)])])
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"channels": []}, "bad-request", "a new tariff needs a channel"),
        ({"channels": ["nowhere"]}, "unknown-channel", "there is no channel 'nowhere'"),
        ({"channels": ["news", "nowhere"]}, "unknown-channel", "there is no channel 'nowhere'"),
        ({"currency": "EUX"}, "bad-request", "no currency has the code 'EUX'"),
        ({"currency": "XAU"}, "bad-request", "nothing is paid in it"),
        ({"terms": negative}, "bad-request", "amounts are from 0 on"),
        ({"terms": dear}, "bad-request", "more money than there is"),
        ({"terms": Terms(prices=[])}, "bad-request", "1 to 32 prices"),
        ({"terms": flat(minimum_micro=2, cap_micro=1)}, "bad-request", "between 0 and the cap"),
        ({"terms": flat(tax_ppm=1_000_001)}, "bad-request", "between 0 and 100 %"),
        ({"from_ms": DAY_MS, "until_ms": DAY_MS}, "bad-request", "ends after it begins"),
        ({"from_ms": -1}, "bad-request", "from_ms"),
        ({"from_ms": 10**18}, "bad-request", "from_ms"),
        ({"name": " basic"}, "bad-request", "without spaces around it"),
        ({"name": "two\nlines"}, "bad-request", "one line"),
        ({"name": ""}, "bad-request", "name"),
    ]
    for change, problem, why in cases:
        fields = {"name": "new", "currency": "EUR", "terms": flat(), "channels": ["news", "sport"]}
        found = server.refused(operations.TARIFF_ADD, **{**fields, **change})
        assert found[0] == problem, change
        assert why in found[1]


def test_what_does_not_fit_a_known_tariff(server: Charging) -> None:
    """Validities that overlap, another currency, and a channel that has a tariff from then on already."""
    basic(server, from_ms=2 * DAY_MS, until_ms=4 * DAY_MS)
    fields: dict[str, Any] = {"name": "basic", "currency": "EUR", "terms": flat(1)}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"from_ms": 2 * DAY_MS}, "overlap", "two versions begin at one instant"),
        ({"from_ms": 3 * DAY_MS}, "overlap", "overlap"),
        ({"from_ms": DAY_MS, "until_ms": 3 * DAY_MS}, "overlap", "overlap"),
        ({"from_ms": 4 * DAY_MS, "currency": "JPY"}, "bad-request", "is in EUR; make another one for JPY"),
        ({"from_ms": 4 * DAY_MS, "channels": ["sport", "x"]}, "unknown-channel", "no channel 'x'"),
    ]
    for change, problem, why in cases:
        found = server.refused(operations.TARIFF_ADD, **{**fields, **change})
        assert found[0] == problem, change
        assert why in found[1]
    found = server.refused(
        operations.TARIFF_ADD,
        **{**fields, "name": "other", "from_ms": 2 * DAY_MS, "channels": ["sport", "news"]},
    )
    assert found == ("overlap", "news has another tariff from 1970-01-03T00:00:00Z on; take another instant")


def test_assignments(server: Charging) -> None:
    """A channel and a device on it are assigned tariffs, and none again; lists say what was made."""
    basic(server)
    server.clock.advance(10**9)
    staff = {"name": "staff", "currency": "JPY", "terms": YEN, "channels": ["sport"]}
    server.ask(operations.TARIFF_ADD, **staff, from_ms=server.now_ms - 500)
    assign = operations.TARIFF_ASSIGN
    made = server.ask(assign, channel="news", tariff="staff", device="TV-1").assignments
    assert [(each.device, each.tariff, each.from_ms) for each in made] == [("TV-1", "staff", server.now_ms)]
    later = server.now_ms + DAY_MS
    server.ask(assign, channel="news", tariff=None, device="TV-1", from_ms=later)
    server.ask(assign, channel="1", tariff=None, from_ms=later)

    def listed(**fields: Any) -> list[tuple[str, str | None, str | None]]:
        rows = server.ask(operations.ASSIGNMENT_LIST, **fields).assignments
        return [(each.channel_name, each.device, each.tariff) for each in rows]

    everything = [
        ("news", None, "basic"),
        ("sport", None, "staff"),
        ("news", "TV-1", "staff"),
        ("news", "TV-1", None),
        ("news", None, None),
    ]
    assert listed() == everything
    assert listed(channel="news", device="") == [everything[0], everything[4]]
    assert listed(tariff="staff") == everything[1:3]
    assert listed(after=2, limit=2) == everything[2:4]
    assert server.ask(operations.ASSIGNMENT_LIST, limit=4).more
    assert not server.ask(operations.ASSIGNMENT_LIST, limit=5).more


def test_what_cannot_be_assigned(server: Charging) -> None:
    """Unknown names, an instant that is taken or without a price, and an end of nothing change nothing."""
    basic(server, from_ms=2 * DAY_MS, until_ms=4 * DAY_MS)
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"channel": "nowhere"}, "unknown-channel", "nowhere"),
        ({"tariff": "none"}, "unknown-tariff", "there is no tariff 'none'"),
        ({"device": "TV-9"}, "unknown-device", "no device 'TV-9' is registered"),
        ({"channel": "news", "from_ms": 2 * DAY_MS}, "overlap", "another tariff from 1970-01-03"),
        ({"from_ms": DAY_MS}, "bad-request", "says no price at 1970-01-02T00:00:00Z; it is valid from"),
        ({"from_ms": 4 * DAY_MS}, "bad-request", "says no price"),
        ({"from_ms": None}, "bad-request", "says no price"),
        ({"tariff": None}, "unknown-tariff", "sport has no tariff of its own"),
        ({"tariff": None, "channel": "news", "from_ms": DAY_MS}, "unknown-tariff", "no tariff of its own"),
        ({"tariff": None, "channel": "news", "device": "TV-1"}, "unknown-tariff", "TV-1 on news has no"),
    ]
    for change, problem, why in cases:
        fields = {"channel": "sport", "tariff": "basic", "from_ms": 3 * DAY_MS, **change}
        found = server.refused(operations.TARIFF_ASSIGN, **fields)
        assert found[0] == problem, change
        assert why in found[1]
    assert server.refused(operations.ASSIGNMENT_LIST, channel="nowhere")[0] == "unknown-channel"
    assert server.refused(operations.TARIFF_LIST, name="none")[0] == "unknown-tariff"


def test_a_closed_period_keeps_its_prices(server: Charging) -> None:
    """What would touch a period that somebody got the bill of is refused; what touches none is not."""
    server.ask(operations.CUSTOMER_SET, id="ada", devices=["TV-2"])
    begin = server.now_ms
    basic(server)
    server.subscribe("TV-1", "news")
    server.subscribe("TV-2", "sport")
    server.let_days_pass(3)
    server.close_period("TV-1", begin, begin + DAY_MS)
    server.close_period("ada", begin, begin + 2 * DAY_MS)
    version = {"name": "basic", "currency": "EUR", "terms": flat(1)}
    early = begin + DAY_MS - 1
    why = ("period-closed", "periods until 2026-01-02T00:00:00Z are billed; take an instant from then on")
    assert server.refused(operations.TARIFF_ADD, **version, from_ms=early) == why
    assign = operations.TARIFF_ASSIGN
    for device in (None, "TV-1"):
        fields = {"channel": "news", "tariff": "basic", "device": device, "from_ms": early}
        assert server.refused(assign, **fields) == why
    # Of sport it is ada's period, a day longer.
    found = server.refused(assign, channel="sport", tariff="basic", from_ms=early + 1)
    assert "until 2026-01-03T00:00:00Z" in found[1]
    new = {"name": "new", "currency": "EUR", "terms": flat(), "from_ms": early}
    assert server.refused(operations.TARIFF_ADD, **new, channels=["sport"])[0] == "period-closed"
    # TV-2 never had news, so nobody's bill changes.
    server.ask(assign, channel="news", tariff="basic", device="TV-2", from_ms=early)
    server.ask(operations.TARIFF_ADD, **version, from_ms=early + 1)
    server.ask(assign, channel="sport", tariff="basic", from_ms=begin + 2 * DAY_MS)


def test_a_period_closed_meanwhile(server: Charging) -> None:
    """What is closed between the look at closed periods and the writing counts too; so do new subjects."""
    begin = server.now_ms
    basic(server)
    server.subscribe("TV-1", "news")
    news: Subject = (1, None)
    before = server.look(lambda c: read_ahead(c, [news], begin))
    assert before == Closed(frozenset([news]), None, 0)
    server.close_period("TV-1", begin, begin + DAY_MS)
    for subject in (news, (1, "TV-1")):
        with pytest.raises(RefusedError, match="periods until 2026-01-02T00:00:00Z are billed"):
            server.look(lambda c, s=subject: check_open(a_call(c, before), [s], begin))
    server.look(lambda c: check_open(a_call(c, before), [news], begin + DAY_MS))
    server.look(lambda c: check_open(a_call(c, before), [(2, None), (1, "TV-2")], begin))
    with pytest.raises(LocalError, match="nobody looked"):
        server.look(lambda c: check_open(a_call(c, None), [news], begin))


def test_pages_of_tariffs(server: Charging) -> None:
    """Tariffs come in pages by name; long ones make a page shorter, and none grows beyond one answer."""
    steps = [StepTerms(price_micro=1, per=10**9, up_to=n + 1) for n in range(31)] + [StepTerms(price_micro=1)]
    long = Terms(prices=[PriceTerms(name=f"p{n}", quantity="bytes", steps=steps) for n in range(32)])
    for name in ("a", "b", "c", "d", "e"):
        fields = {"name": name, "currency": "EUR", "channels": ["news"], "from_ms": ord(name)}
        server.ask(operations.TARIFF_ADD, **fields, terms=long)
    names: list[str] = []
    pages = 0
    while True:
        page = server.ask(operations.TARIFF_LIST, after=names[-1] if names else "")
        names += [each.name for each in page.tariffs]
        pages += 1
        if not page.more:
            break
    assert names == ["a", "b", "c", "d", "e"]
    assert pages == 2
    for n in range(20):
        fields = {"name": "a", "currency": "EUR", "terms": long, "from_ms": DAY_MS + n}
        reply = server.run(server.operator.ask(operations.TARIFF_ADD, **fields))
        if reply.status != 200:
            assert "too many versions" in reply.detail
            break
    assert reply.status == 400
