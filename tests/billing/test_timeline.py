"""Timelines: what applies to a device on a channel, of all that was assigned there."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.tariffs import Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, Source, timelines
from sealcast.core.errors import LocalError

BASIC = Tariff("basic", (TariffVersion("EUR", 0, (Price("Keys", Quantity.EPOCHS, (Step(1),)),)),))


@pytest.mark.parametrize(
    "assignments",
    [
        (),
        (Assignment(10, None),),
        (Assignment(10, None), Assignment(20, None, "tv")),
        (Assignment(5, "basic", "another"),),
    ],
)
def test_nothing_applies(assignments: tuple[Assignment, ...]) -> None:
    """A channel that was never assigned a tariff, or was assigned none, has no timeline."""
    assert timelines(assignments, "tv", {"basic": BASIC}) == ()


def test_from_then_to_then() -> None:
    """What is assigned applies from its instant to that of the next assignment."""
    (found,) = timelines((Assignment(10, "basic"), Assignment(30, None)), "tv", {"basic": BASIC})
    assert [(each.valid_from_ms, each.valid_until_ms) for each in found.tariff.versions] == [(10, 30)]


def test_a_tariff_that_is_not_recorded() -> None:
    """An assignment to a tariff that nobody knows is a fault of ours."""
    with pytest.raises(LocalError, match="basic"):
        timelines((Assignment(0, "basic"),), "tv", {})


def version(start: int, end: int | None, micro: int, code: str = "EUR") -> TariffVersion:
    """Return a version that is told by its price."""
    return TariffVersion(code, start, (Price("Keys", Quantity.EPOCHS, (Step(micro),)),), end)


TARIFFS = {
    "basic": Tariff("basic", (version(0, None, 1), version(40, None, 2))),
    "staff": Tariff("staff", (version(0, 25, 3), version(35, 70, 4))),
    "yen": Tariff("yen", (version(10, None, 5, "JPY"),)),
}


def test_a_device_has_its_own_until_it_is_assigned_none() -> None:
    """The basic of its channel, staff from 20 to 60 as far as that is valid, and basic again."""
    assigned = [Assignment(5, "basic"), Assignment(20, "staff", "tv"), Assignment(60, None, "tv")]
    (found,) = timelines(assigned, "tv", TARIFFS)
    spans = [(each.valid_from_ms, each.valid_until_ms) for each in found.tariff.versions]
    assert spans == [(5, 20), (20, 25), (35, 60), (60, None)]
    assert [found.sources[start] for start, _ in spans] == [
        Source("basic", 0), Source("staff", 0), Source("staff", 35), Source("basic", 40),
    ]  # fmt: skip
    assert [each.prices[0].steps[0].price_micro for each in found.tariff.versions] == [1, 3, 4, 2]
    (others,) = timelines(assigned, "pc", TARIFFS)
    assert [each.valid_from_ms for each in others.tariff.versions] == [5, 40]


def test_what_goes_on_is_not_cut() -> None:
    """The same tariff assigned again, or changed behind a device's own, begins nothing new."""
    assigned = [
        Assignment(0, "basic"), Assignment(10, "basic"), Assignment(12, "basic", "tv"),
        Assignment(15, "yen"), Assignment(20, "basic"), Assignment(22, None, "tv"),
    ]  # fmt: skip
    (found,) = timelines(assigned, "tv", TARIFFS)
    assert [each.valid_from_ms for each in found.tariff.versions] == [0, 40]


def test_a_timeline_for_each_currency() -> None:
    """Euros, then yen, then euros: two timelines with gaps, of which no instant lies in both."""
    assigned = [Assignment(0, "basic"), Assignment(20, "yen"), Assignment(50, "basic")]
    euro, yen = timelines(assigned, "tv", TARIFFS)
    assert (euro.tariff.currency, yen.tariff.currency) == ("EUR", "JPY")
    assert [(each.valid_from_ms, each.valid_until_ms) for each in euro.tariff.versions] == [
        (0, 20),
        (50, None),
    ]
    assert [(each.valid_from_ms, each.valid_until_ms) for each in yen.tariff.versions] == [(20, 50)]


def applies(assigned: list[Assignment], at_ms: int) -> TariffVersion | None:
    """Return what applies to the TV at an instant, looked up plainly."""
    names: dict[str | None, str | None] = {None: None, "tv": None}
    for each in sorted(assigned, key=lambda one: one.from_ms):
        if each.from_ms <= at_ms:
            names[each.device] = each.tariff
    name = names["tv"] or names[None]
    return None if name is None else TARIFFS[name].version_at(at_ms)


CHANGES = st.dictionaries(
    st.tuples(st.integers(0, 80), st.sampled_from([None, "tv"])),
    st.sampled_from([None, "basic", "staff", "yen"]),
    max_size=8,
)


@given(CHANGES, st.integers(0, 80))
def test_at_every_instant_what_is_assigned_applies(
    changes: dict[tuple[int, str | None], str | None], cut: int
) -> None:
    """Whatever is assigned when; and what is assigned later begins nothing anew before it."""
    assigned = [Assignment(at_ms, tariff, device) for (at_ms, device), tariff in changes.items()]
    found = timelines(assigned, "tv", TARIFFS)
    for at_ms in range(90):
        live = [each for each in (line.tariff.version_at(at_ms) for line in found) if each is not None]
        wanted = applies(assigned, at_ms)
        assert [replace(each, valid_from_ms=0, valid_until_ms=None) for each in live] == (
            [] if wanted is None else [replace(wanted, valid_from_ms=0, valid_until_ms=None)]
        )
    starts = [start for line in found for start in line.sources]
    assert len(set(starts)) == len(starts)
    earlier = timelines([each for each in assigned if each.from_ms < cut], "tv", TARIFFS)
    known = {start: source for line in earlier for start, source in line.sources.items() if start < cut}
    assert known == {start: source for line in found for start, source in line.sources.items() if start < cut}
