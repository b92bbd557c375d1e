"""One scrambled packet of a transport stream gives its pattern away: why the suite protects nothing."""

import pytest

from attacks import pattern_thief
from sealcast.testing import SimRandom
from sealcast.wire import scramble
from sealcast.wire.cycles import Cycle
from sealcast.wire.patterns import Rule
from sender.streams import packet
from simulation.parts import (
    MS,
    SECOND,
    Media,
    copy_key,
    make_grant,
    make_receiver,
    make_sender,
    make_spec,
    on_air,
    seal,
)
from wire.patterning import NUMBER, full_book, scrambled

PAT = packet(0, payload=bytes.fromhex("0000b00d0001c100000001f0002ab104b2"), starts=True)
LENGTHS = (32, 64, 128, 256, 512, 1_024)
"""What an observer tries: nobody told him."""


def cycle_of(rule: str, bits: int) -> Cycle:
    """Return a cycle of random patterns of that many bits."""
    cycle = full_book(Rule.parse(rule), {"a": bits, "b": bits}).cycle(NUMBER)
    assert cycle is not None
    return cycle


def pictures(count: int, seed: int) -> bytes:
    """Return TS packets of compressed video: 184 random bytes in each."""
    random = SimRandom(seed)
    return b"".join(packet(0x100, seed + number, payload=random.bytes(184)) for number in range(count))


@pytest.mark.parametrize("place", [0, 3, 6])
@pytest.mark.parametrize("bits", [32, 128, 512])
@pytest.mark.parametrize("rule", ["single", "inverted", "alternating", "combined", "two-times"])
def test_one_packet_with_a_table(rule: str, bits: int, place: int) -> None:
    """A PAT among seven TS packets gives the whole cycle, whatever the rule; all that follows is open."""
    cycle = cycle_of(rule, bits)
    clear = pictures(place, 1) + PAT + pictures(6 - place, 9)
    found = pattern_thief.recover(scramble.scramble_payload(cycle, clear), LENGTHS)
    assert found is not None
    later = pictures(7, 20)
    assert pattern_thief.undo(scramble.scramble_payload(cycle, later), found) == later


@pytest.mark.parametrize(("bits", "given"), [(32, 8), (128, 32), (512, 56)])
def test_what_the_sync_bytes_alone_give(bits: int, given: int) -> None:
    """Seven 0x47 give 8 of 32, 32 of 128 and 56 of 512 bits: where in the cycle they fall."""
    cycle = cycle_of("single", bits)
    scrambled = scramble.scramble_payload(cycle, pictures(7, 1))
    found = pattern_thief.known_from(scrambled, pattern_thief.sync_bytes(scrambled), bits)
    assert found is not None
    assert len(found) == given
    pattern = pattern_thief.bits_of(cycle.mask(bits // 8).to_bytes(bits // 8))
    assert all(pattern[place] == bit for place, bit in found.items())


def test_one_packet_of_pictures_alone() -> None:
    """Under 32 bits all TS headers meet the same bits: two patterns, a bit apart, are left for a PID."""
    cycle = cycle_of("single", 32)
    scrambled = scramble.scramble_payload(cycle, pictures(7, 5))
    found = list(pattern_thief.recover_from_headers(scrambled, pid=0x100))
    pattern = pattern_thief.bits_of(cycle.mask(4).to_bytes(4))
    assert pattern in found
    assert [sum(a != b for a, b in zip(pattern, each, strict=True)) for each in found] in ([0, 1], [1, 0])


def test_pictures_alone_are_not_taken_for_tables() -> None:
    """Where no TS packet ends in stuffing, nothing is found: what is found above is no accident."""
    scrambled = scramble.scramble_payload(cycle_of("single", 512), pictures(7, 1))
    assert pattern_thief.recover(scrambled, LENGTHS) is None


@pytest.mark.parametrize("rule", ["single", "inverted", "two-times", "a,~a1"])
@pytest.mark.parametrize("bits", [32, 128, 512])
def test_one_packet_on_the_air(rule: str, bits: int) -> None:
    """A packet as a sender sends it, with its 0x47 and a table, gives away all until the pattern changes.

    Whoever found a pattern can also make packets that a receiver gives out. The next pattern is another.
    """
    spec = scrambled(make_spec(600_000), f"{rule};{bits};1000ms")
    sender, receiver = make_sender(spec), make_receiver()
    tek = copy_key(on_air(sender, 0))
    clear = [pictures(2, 1) + PAT + pictures(4, 3), *(pictures(7, 9 + number) for number in range(3))]
    first, *later = seal(sender, [Media(payload, 0) for payload in clear], 0)
    found = pattern_thief.recover(first[12:-12], LENGTHS)
    assert found is not None
    assert [pattern_thief.undo(each[12:-12], found) for each in later] == clear[1:]

    forged = later[-1][:2] + bytes([0, 4]) + later[-1][4:12]
    forged += pattern_thief.undo(pictures(7, 99), found) + later[-1][-12:]
    receiver.poll_fetch(0)
    receiver.handle_grant(make_grant(spec, tek), 0)
    receiver.handle_control(sender.poll_control(0)[0], 0)
    receiver.handle_data([first, *later, forged], 0)
    assert receiver.drain(MS) == [*clear, pictures(7, 99)]

    (changed,) = seal(sender, [Media(clear[1], 0)], SECOND)
    assert pattern_thief.undo(changed[12:-12], found) != clear[1]
