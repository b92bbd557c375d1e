"""The judge: a good history passes, and each bad one is found out by the check that is there for it."""

from chaos.judge import (
    Removal,
    check_alive,
    check_fences,
    check_grants,
    check_keys,
    check_losses,
    check_nonces,
    losses,
)
from chaos.records import CONTROL, DATA, Given, Heard, Home, Life, Run, extend

S = 1_000_000_000
LATE = 1_000 * S
SSRC = 77
REMOVAL = Removal("tv-1", 1, fence=3, asked_ns=25 * S)


def packets(epoch: int, first: int, count: int, from_s: float) -> list[Heard]:
    """Return packets of ten a second."""
    return [
        Heard(int((from_s + i / 10) * S), DATA, 1, epoch, SSRC, (first + i) & 0xFFFF, i.to_bytes(8, "big"))
        for i in range(count)
    ]


AIR = [*packets(1, 65_500, 100, 0), *packets(2, 64, 100, 10), *packets(3, 164, 100, 20)]


def runs(heard: list[Heard]) -> list[Run]:
    """Return packets as runs."""
    found: list[Run] = []
    for packet in heard:
        extend(found, packet)
    return found


def home(opened: list[Heard], *given: int) -> Home:
    """Return a host with one receiver, to which all came."""
    keys = [Given(1, epoch, f"key {epoch}", 0, "a") for epoch in given]
    return Home("home-1", runs(AIR), [Life("tv-1", "home-1", 1, runs(opened), keys)], 0, 0.0)


def test_a_good_history() -> None:
    """Whoever opens all from its first packet on, in whatever order, lost nothing."""
    for opened in (AIR, AIR[30:], [*AIR[50:100], *AIR[40:50], *AIR[100:]]):
        assert check_losses([home(opened)], [], LATE, lambda *_: True) == ([], 0)
    rows = [("tv-1", 1, 1), ("tv-1", 1, 2), ("tv-1", 1, 3)]
    good = home(AIR, 1, 2, 3)
    assert not check_alive([good], [], 29 * S)
    assert not check_grants([good], rows)
    assert not check_keys([good])
    assert not check_nonces([*AIR, *AIR[:7]])
    assert not check_fences([home(AIR[:200], 1, 2)], [REMOVAL], rows[:2], AIR)


def test_lost_packets_are_found() -> None:
    """At a switch, over a wrap of the sequence, at the end, and a whole epoch: each gap, with its packets."""
    for lost in (range(95, 104), range(30, 50), range(100, 200), range(299, 300), range(150, 151)):
        opened = [packet for i, packet in enumerate(AIR) if i not in lost]
        assert sum(loss.packets for loss in losses(home(opened), [], LATE)) == len(lost)
        wrong, _ = check_losses([home(opened)], [], LATE, lambda *_: True)
        assert wrong
        assert "tv-1 at home-1 lost" in wrong[0]


def test_losses_that_nobody_promised_against() -> None:
    """Those without a replica are counted apart; what came after a removal, or the end, is no loss."""
    opened = AIR[:110] + AIR[120:]
    assert check_losses([home(opened)], [], LATE, lambda *_: False) == ([], 10)
    assert check_losses([home(AIR[:250])], [REMOVAL], LATE, lambda *_: True) == ([], 0)
    assert check_losses([home(AIR[:250])], [], 25 * S, lambda *_: True) == ([], 0)
    assert check_losses([home([])], [], LATE, lambda *_: True)[0]


def test_drops_of_the_kernel_are_told() -> None:
    """A host whose socket overflowed proves nothing."""
    crowded = home(AIR)
    crowded.drops = 1
    assert check_losses([crowded], [], LATE, lambda *_: True)[0] == ["home-1: the kernel dropped 1 packets"]


def test_who_ended_is_found() -> None:
    """A receiver that gave up, or opens nothing at the end, is told, unless it was removed."""
    silent, gone = home(AIR[:150]), home(AIR)
    gone.lives[0].ended = "refused"
    assert check_alive([silent], [], 29 * S) == ["tv-1 at home-1 opens nothing at the end"]
    assert check_alive([gone], [], 29 * S) == ["tv-1 gave up: refused"]
    assert not check_alive([silent, gone], [REMOVAL], 29 * S)


def test_a_passed_fence_is_found() -> None:
    """Opened, given or recorded from the fence epoch on; and a fence that never came."""
    kept = [("tv-1", 1, 1), ("tv-1", 1, 2)]
    for one, rows, air in (
        (home(AIR[:201], 1, 2), kept, AIR),
        (home(AIR[:200], 1, 2, 3), kept, AIR),
        (home(AIR[:200], 1, 2), [*kept, ("tv-1", 1, 3)], AIR),
        (home(AIR[:200], 1, 2), kept, AIR[:200]),
    ):
        assert len(check_fences([one], [REMOVAL], rows, air)) == 1
        assert not check_fences([one], [], rows, air)


def test_grants_missing_or_twice_are_found() -> None:
    """What a receiver has in hand is in the database once; more may be there."""
    held = home(AIR, 1, 2)
    one, two, three = (("tv-1", 1, epoch) for epoch in (1, 2, 3))
    assert not check_grants([held], [one, two, three])
    assert check_grants([held], [one]) == ["grant ('tv-1', 1, 2) is in the database 0 times"]
    assert len(check_grants([held], [one, two, two])) == 2
    assert check_grants([held], [one, two, three, three]) == ["grant ('tv-1', 1, 3) stands 2 times"]


def test_keys_given_twice_are_found() -> None:
    """Two keys under one ID, and one key under two."""
    held = home(AIR, 1, 2)
    held.lives[0].given.append(Given(1, 2, "another", 0, "b"))
    assert check_keys([held]) == ["key ID (1, 2) has 2 keys"]
    held.lives[0].given[-1] = Given(1, 3, "key 2", 0, "b")
    assert check_keys([held]) == ["one key has the IDs [(1, 2), (1, 3)]"]


def test_nonces_used_twice_are_found() -> None:
    """Two packets at one place are, the same packet twice is not; data and control have keys of their own."""
    first = AIR[0]
    other = Heard(0, DATA, 1, first.epoch, SSRC, first.index, b"another!")
    assert len(check_nonces([*AIR, other])) == 1
    assert not check_nonces([*AIR, Heard(0, CONTROL, 1, first.epoch, SSRC, first.index, b"another!")])
