"""The plans of faults: of chance and yet the same for a seed, and nobody is without a replica to count on."""

import pytest

from chaos.plan import MASTERS_AWAY_S_MAX, TITLES, Fault, Kind, Layout, _masters_away_s, draw, is_sheltered

LAYOUT = Layout(
    masters=("master-1", "master-2"),
    replicas=("replica-1", "replica-2"),
    bus=("bus-1", "bus-2", "bus-3"),
    database="database",
    studios=("studio-1", "studio-2"),
    homes=("home-1", "home-2"),
)
SEEDS = range(10)


def test_the_same_for_a_seed() -> None:
    """A run is repeated by its seed, and another seed is another run."""
    plans = [draw(LAYOUT, seed, 60, overlap=0.3, removals=4) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_keeps_a_replica(seed: int) -> None:
    """At each tenth of a second each host has one, and the masters are never away for long."""
    plan = draw(LAYOUT, seed, 120, overlap=0.5, removals=20)
    for tenth in range(1_200):
        assert all(is_sheltered(LAYOUT, plan, home, tenth / 10) for home in LAYOUT.homes)
    assert _masters_away_s(plan) <= MASTERS_AWAY_S_MAX
    assert max(fault.until_s for fault in plan) <= 120


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_bring_all_that_may_happen(seed: int) -> None:
    """No kind of fault is left out of the long form, and removals end where they are told to."""
    plan = draw(LAYOUT, seed, 600, overlap=0.3, removals=5)
    assert {fault.title for fault in plan} == set(TITLES)
    assert sum(fault.kind is Kind.REMOVE for fault in plan) == 5


def test_who_has_no_replica() -> None:
    """A dead replica, a full disk, a cut from it, one from a bus node, half a bus: nobody counts on those."""
    other = Fault("", Kind.KILL, 0, 10, ("replica-2",))
    for kind, what in (
        (Kind.KILL, ("replica-1",)),
        (Kind.FULL, ("replica-1",)),
        (Kind.CUT, ("home-1", "replica-1")),
        (Kind.CUT, ("replica-1", "bus-2")),
        (Kind.CUT, ("replica-1", "office", "bus-2")),
        (Kind.KILL, ("bus-1", "bus-2")),
    ):
        plan = [other, Fault("", kind, 5, 1, what)]
        assert is_sheltered(LAYOUT, plan, "home-1", 4)
        assert not is_sheltered(LAYOUT, plan, "home-1", 6)
        assert not is_sheltered(LAYOUT, plan, "home-1", 13)
        assert is_sheltered(LAYOUT, plan, "home-1", 19)
    assert is_sheltered(LAYOUT, [other, Fault("", Kind.CUT, 0, 9, ("replica-1", "office"))], "home-1", 1)
