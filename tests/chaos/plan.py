"""Owns which faults come when: drawn from a seed, and so that nobody is without a replica.

At each instant each host of receivers has a replica that lives, has room on its disk, and is cut off neither
from it nor from the bus, whose majority stands. That is what "receivers lose nothing" takes for granted; all
else may fail, also at one time. `MASTER` and `STANDBY` are who that is when the fault comes.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

MASTER, STANDBY = "master", "standby"

AFTER_S = 8.0
"""A program that starts again, or hears of others again, does its work after this at the latest."""

MASTERS_BACK_S = 10.0
"""After a fault of the masters' side one of them is back after this: a lease, and a start."""

MASTERS_AWAY_S_MAX = 28.0
"""All masters together are away for less than the 30 s for which replicas go on giving next keys."""

LEAD_S = 3.0
"""Before the first fault all is well for so long."""


class Kind(StrEnum):
    """What happens to the hosts that a fault names, and is undone after it."""

    KILL = "kill"
    """Their programs are killed with -9; they start again afterwards."""
    CUT = "cut"
    """Nothing passes between the first and each of the others."""
    FULL = "full"
    """The disk of a replica is full."""
    REMOVE = "remove"
    """A device is removed from its channel's list, for good."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `title` is what it stands for among those that the laboratory has to show."""

    title: str
    kind: Kind
    at_s: float
    lasts_s: float
    what: tuple[str, ...]

    @property
    def until_s(self) -> float:
        """When it is undone."""
        return self.at_s + self.lasts_s

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.title}: {self.kind} {' '.join(self.what)} for {self.lasts_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Layout:
    """The hosts by what they do."""

    masters: tuple[str, ...]
    replicas: tuple[str, ...]
    bus: tuple[str, ...]
    database: str
    studios: tuple[str, ...]
    homes: tuple[str, ...]
    office: str = "office"

    @property
    def servers(self) -> tuple[str, ...]:
        """All that are not parties."""
        return *self.masters, *self.replicas, *self.bus, self.database

    def everybody(self) -> tuple[str, ...]:
        """All hosts."""
        return *self.servers, *self.studios, *self.homes, self.office


def serves(layout: Layout, faults: Iterable[Fault], replica: str, home: str, at_s: float) -> bool:
    """Whether a replica can be counted on by the receivers of a host at an instant."""
    now = [fault for fault in faults if fault.at_s <= at_s < fault.until_s + AFTER_S]
    near = {replica, home, *layout.bus}
    for fault in now:
        if fault.kind in {Kind.KILL, Kind.FULL} and replica in fault.what:
            return False
        if fault.kind is Kind.CUT:
            first, *others = fault.what
            ends = {(first, other) for other in others} | {(other, first) for other in others}
            if any(one == replica and other in near for one, other in ends):
                return False
    down = {name for fault in now if fault.kind is Kind.KILL for name in fault.what}
    return 2 * len(set(layout.bus) - down) > len(layout.bus)


def is_sheltered(layout: Layout, faults: Iterable[Fault], home: str, at_s: float) -> bool:
    """Whether the receivers of a host have a replica that they can count on."""
    faults = list(faults)
    return any(serves(layout, faults, replica, home, at_s) for replica in layout.replicas)


def draw(layout: Layout, seed: int, seconds: float, *, overlap: float, removals: int) -> list[Fault]:
    """Return the faults of a run of `seconds`, the last undone before its end; at most `removals` removals.

    `overlap` is the part of faults that begin before the one before them is undone.
    """
    chance = random.Random(seed)  # noqa: S311 - chooses what fails
    plan: list[Fault] = []
    at_s, left = LEAD_S, removals
    for title in _titles(chance):
        if title in OF_DEVICES and not left:
            continue
        drawn = _fault(layout, title, chance, at_s)
        for _ in range(TRIES):
            if _fits(layout, plan, drawn):
                break
            drawn = [replace(fault, at_s=fault.at_s + 1.0) for fault in drawn]
        else:
            continue
        begins_s, end_s = drawn[0].at_s, max(fault.until_s for fault in drawn)
        if end_s > seconds:
            break
        left -= title in OF_DEVICES
        plan += drawn
        pause_s = chance.uniform(0.5, 2.0)
        at_s = (begins_s if chance.random() < overlap else max(at_s, end_s)) + pause_s
    return sorted(plan, key=lambda fault: fault.at_s)


TITLES = (
    "master killed",
    "replica killed",
    "bus node killed",
    "database killed",
    "sender killed",
    "master without database",
    "master without bus",
    "replica without bus",
    "receivers without a replica",
    "two hosts apart",
    "full disk",
    "removal",
    "removal behind a partition",
)
"""All that may happen: each once in an order of chance, then all again in another."""

TITLES_MAX = 2_000

TRIES = 20
"""A fault that would leave somebody without a replica now may come so many seconds later."""

OF_DEVICES = frozenset({"removal", "removal behind a partition"})
OF_MASTERS = frozenset({"master killed", "database killed", "master without database", "master without bus"})


def _titles(chance: random.Random) -> Iterator[str]:
    for _ in range(TITLES_MAX // len(TITLES)):
        yield from chance.sample(TITLES, len(TITLES))


def _fault(layout: Layout, title: str, chance: random.Random, at_s: float) -> list[Fault]:
    """Return what a title means here, as one fault or more that come together."""
    lasts_s = chance.uniform(2.0, 6.0)
    replica, node = chance.choice(layout.replicas), chance.choice(layout.bus)
    simple: dict[str, tuple[Kind, tuple[str, ...]]] = {
        "master killed": (Kind.KILL, (MASTER,)),
        "replica killed": (Kind.KILL, (replica,)),
        "bus node killed": (Kind.KILL, (node,)),
        "database killed": (Kind.KILL, (layout.database,)),
        "sender killed": (Kind.KILL, (chance.choice(layout.studios),)),
        "master without database": (Kind.CUT, (MASTER, layout.database, STANDBY)),
        "master without bus": (Kind.CUT, (MASTER, *layout.bus)),
        "replica without bus": (Kind.CUT, (replica, *layout.bus)),
        "receivers without a replica": (Kind.CUT, (chance.choice(layout.homes), replica)),
        "two hosts apart": (Kind.CUT, tuple(chance.sample(layout.everybody(), 2))),
        "full disk": (Kind.FULL, (replica,)),
    }
    if title in simple:
        kind, what = simple[title]
        if title == "master without database":
            # Longer than a lease, so that the other one takes over.
            lasts_s += 5.0
        return [Fault(title, kind, at_s, lasts_s, what)]
    device = str(chance.randrange(1_000_000))
    if title == "removal":
        return [Fault(title, Kind.REMOVE, at_s, 0.0, (device,))]
    others = tuple(name for name in layout.everybody() if name != replica and name not in layout.homes)
    apart = Fault(title, Kind.CUT, at_s, lasts_s + 5.0, (replica, *others))
    return [apart, Fault(title, Kind.REMOVE, at_s + 1.0, 0.0, (device,))]


def _fits(layout: Layout, plan: list[Fault], drawn: list[Fault]) -> bool:
    """Whether nothing is done twice at a time, and everybody keeps a replica."""
    for new in drawn:
        for old in plan:
            if new.at_s < old.until_s + 1.0 and set(new.what) & set(old.what) and new.kind is not Kind.REMOVE:
                return False
    recent = [fault for fault in plan if fault.until_s + AFTER_S > drawn[0].at_s] + drawn
    if _masters_away_s([*plan, *drawn]) > MASTERS_AWAY_S_MAX:
        return False
    instants = [fault.at_s for fault in recent] + [fault.until_s for fault in recent]
    instants = [at_s for at_s in instants if at_s >= drawn[0].at_s]
    return all(is_sheltered(layout, recent, home, at_s) for home in layout.homes for at_s in instants)


def _masters_away_s(plan: list[Fault]) -> float:
    """Return the longest time for which there may be no master."""
    longest_s, began_s, ends_s = 0.0, 0.0, 0.0
    for fault in sorted(plan, key=lambda fault: fault.at_s):
        if fault.title not in OF_MASTERS:
            continue
        if fault.at_s > ends_s:
            began_s = fault.at_s
        ends_s = max(ends_s, fault.until_s + MASTERS_BACK_S)
        longest_s = max(longest_s, ends_s - began_s)
    return longest_s
