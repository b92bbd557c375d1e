"""Timelines: what applies to a device on a channel, of all that was assigned there."""

import pytest

from sealcast.billing.tariffs import Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, timelines
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
