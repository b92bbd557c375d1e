"""Owns the verdict on a run of the laboratory, from what its parts wrote down; it looks at nothing by itself.

Each check returns what is wrong, a line each, so that a run that went wrong tells all of it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from chaos.records import CONTROL, DATA, Given, Heard, Home, Life, Run

GrantRow = tuple[str, int, int]
"""Device, channel and epoch, as the database has a grant."""

Sheltered = Callable[[str, int], bool]
"""Whether the receivers of a host (by name) had a replica to count on around an instant in monotonic ns."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A device that was removed: nothing from `fence` on is for it."""

    device: str
    channel: int
    fence: int
    asked_ns: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets that came to a receiver's host and were not opened, one after the other under one key."""

    device: str
    home: str
    run: Run

    @property
    def packets(self) -> int:
        """How many."""
        return (self.run.last - self.run.first & 0xFFFF) + 1

    def __str__(self) -> str:
        run, seconds = self.run, (self.run.last_ns - self.run.first_ns) / 1e9
        return (
            f"{self.device} at {self.home} lost {self.packets} packets of channel {run.channel} epoch"
            f" {run.epoch} over {seconds:.1f} s from {run.first_ns / 1e9:.1f} s on"
        )


def losses(home: Home, removals: Iterable[Removal], until_ns: int) -> Iterator[Loss]:
    """Give what each receiver of a host did not open, from its first packet up to `until_ns`.

    A device that was removed need not open what came after it was asked for.
    """
    asked = {removal.device: removal.asked_ns for removal in removals}
    arrived: dict[int, list[Run]] = defaultdict(list)
    for run in home.arrived:
        arrived[run.channel].append(run)
    for life in home.lives:
        ends_ns = min(until_ns, asked.get(life.device, until_ns))
        if not life.opened:
            yield from (Loss(life.device, home.name, run) for run in arrived[life.channel][:1])
            continue
        begun_ns = life.opened[0].first_ns
        for run in arrived[life.channel]:
            if run.last_ns > begun_ns and run.first_ns < ends_ns:
                yield from _missing(life, home.name, run, (begun_ns, ends_ns))


def _missing(life: Life, home: str, run: Run, span_ns: tuple[int, int]) -> Iterator[Loss]:
    """Give the gaps of what a receiver opened in one run of what came; instants are spread over it evenly."""
    mine = [o for o in life.opened if (o.ssrc, o.epoch) == (run.ssrc, run.epoch)]
    # Counted from the run's first, a sequence number that began anew is one that goes on.
    spans = sorted(
        ((each.first - run.first) & 0xFFFF, ((each.last - run.first) & 0xFFFF) + 1) for each in mine
    )
    size = ((run.last - run.first) & 0xFFFF) + 1
    at = 0
    for first, after in [*spans, (size, size)]:
        if first >= 1 << 15 or after > 1 << 15:
            # Opened before this run began: the host lost a packet in between.
            continue
        if first > at:
            gap = _cut(run, at, min(first, size), size)
            if gap.first_ns >= span_ns[0] and gap.last_ns < span_ns[1]:
                yield Loss(life.device, home, gap)
        at = max(at, after)


def _cut(run: Run, first: int, after: int, size: int) -> Run:
    """Return the part of a run between two counts of its packets."""
    step_ns = (run.last_ns - run.first_ns) / max(1, size - 1)
    instants = (int(run.first_ns + count * step_ns) for count in (first, after - 1))
    ends = ((run.first + count) & 0xFFFF for count in (first, after - 1))
    return Run(run.channel, run.epoch, run.ssrc, *ends, *instants)


def check_losses(
    homes: Iterable[Home], removals: list[Removal], until_ns: int, sheltered: Sheltered
) -> tuple[list[str], int]:
    """Return losses of receivers that had a replica to count on, and how many packets others lost."""
    wrong, excused = [], 0
    for home in homes:
        for loss in losses(home, removals, until_ns):
            if sheltered(home.name, loss.run.first_ns):
                wrong.append(str(loss))
            else:
                excused += loss.packets
        if home.drops:
            wrong.append(f"{home.name}: the kernel dropped {home.drops} packets")
    return wrong, excused


def check_alive(homes: Iterable[Home], removals: list[Removal], since_ns: int) -> list[str]:
    """Return the receivers that opened nothing at the end, when all was well, and those that gave up."""
    gone = {removal.device for removal in removals}
    wrong = []
    for home in homes:
        for life in home.lives:
            if life.device in gone:
                continue
            if life.ended:
                wrong.append(f"{life.device} gave up: {life.ended}")
            elif not life.opened or life.opened[-1].last_ns < since_ns:
                wrong.append(f"{life.device} at {home.name} opens nothing at the end")
    return wrong


def check_fences(
    homes: Iterable[Home], removals: list[Removal], rows: Iterable[GrantRow], air: Iterable[Heard]
) -> list[str]:
    """Return what removed devices opened or were granted from their fences on, and fences never reached."""
    fences = {(removal.device, removal.channel): removal.fence for removal in removals}
    wrong = []
    for life in (life for home in homes for life in home.lives):
        fence = fences.get((life.device, life.channel))
        if fence is None:
            continue
        wrong += [
            f"{life.device} opened epoch {run.epoch} behind its fence {fence}"
            for run in life.opened
            if run.epoch >= fence
        ]
        wrong += [
            f"{life.device} was given epoch {given.epoch} behind its fence {fence} by {given.server}"
            for given in life.given
            if given.epoch >= fence
        ]
    for device, channel, epoch in rows:
        if epoch >= fences.get((device, channel), epoch + 1):
            wrong.append(f"{device} has a grant of epoch {epoch} behind its fence in the database")
    reached: dict[int, int] = defaultdict(int)
    for packet in air:
        reached[packet.channel] = max(reached[packet.channel], packet.epoch)
    wrong += [
        f"fence {removal.fence} of {removal.device} was never reached on channel {removal.channel}"
        for removal in removals
        if reached[removal.channel] < removal.fence
    ]
    return wrong


def check_grants(homes: Iterable[Home], rows: Iterable[GrantRow]) -> list[str]:
    """Return grants in the hands of receivers that the database has not once, and those it has twice."""
    counts = Counter(rows)
    held = {
        (life.device, given.channel, given.epoch)
        for home in homes
        for life in home.lives
        for given in life.given
    }
    wrong = [
        f"grant {grant} is in the database {counts[grant]} times" for grant in held if counts[grant] != 1
    ]
    wrong += [f"grant {grant} stands {count} times" for grant, count in counts.items() if count > 1]
    return sorted(set(wrong))


def check_keys(homes: Iterable[Home]) -> list[str]:
    """Return key IDs with two keys, and keys with two key IDs."""
    keys: dict[tuple[int, int], set[str]] = defaultdict(set)
    names: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for given in _given(homes):
        keys[given.channel, given.epoch].add(given.digest)
        names[given.digest].add((given.channel, given.epoch))
    wrong = [f"key ID {key_id} has {len(found)} keys" for key_id, found in keys.items() if len(found) > 1]
    return wrong + [f"one key has the IDs {sorted(found)}" for found in names.values() if len(found) > 1]


def check_nonces(air: Iterable[Heard]) -> list[str]:
    """Return (key, IV) pairs that were used for two different packets; a packet that came twice is one.

    The IV is made of SSRC, ROC and SEQ, or SSRC and SRTCP index. No run lasts until its SEQ comes again.
    """
    seen: dict[tuple[int, int, int, int, int], bytes] = {}
    wrong = []
    for packet in air:
        place = packet.kind, packet.channel, packet.epoch, packet.ssrc, packet.index
        if seen.setdefault(place, packet.digest) != packet.digest:
            what = {DATA: "data", CONTROL: "control"}[packet.kind]
            wrong.append(f"two {what} packets under channel, epoch, SSRC and index {place[1:]}")
    return wrong


def _given(homes: Iterable[Home]) -> Iterator[Given]:
    return (given for home in homes for life in home.lives for given in life.given)
