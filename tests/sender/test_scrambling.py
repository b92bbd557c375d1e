"""A sender's scrambled packets: which pattern each goes under, and what receivers are told."""

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.material import Tek
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.sender.scrambling import Scrambling
from sealcast.wire import scramble
from sealcast.wire.cycles import PatternBook
from sealcast.wire.patterns import Component, Pattern, Rule
from sealcast.wire.seal import MS_MAX, PatternState
from simulation.parts import (
    MS,
    SECOND,
    copy_key,
    make_key,
    make_sender,
    make_spec,
    media,
    on_air,
    payload,
    seal,
    serve,
)
from wire.patterning import cycle_of, scrambled

TEK = make_key(3)
SSRC = 0x5EA10001


def scrambling(policy: str, now: int = 0) -> Scrambling:
    """Return what scrambles under TEK by a policy."""
    return Scrambling(TEK, PatternPolicy.parse(policy), SSRC, now)


def numbers(made: Scrambling, payloads: list[bytes], now: int) -> list[int]:
    """Scramble all payloads; return the number that each went under."""
    found: list[int] = []
    while len(found) < len(payloads):
        rest = payloads[len(found) :]
        batch = made.scramble(len(found), rest, [0] * len(rest), now, second=33)
        found += [scramble.parse_packet(bytes(packet)).number for packet in batch]
    return found


def clear(tek: Tek, spec: ChannelSpec, packet: bytes) -> bytes:
    """Return a packet's payload, by a book that is filled pattern by pattern."""
    assert spec.patterns is not None
    parsed, bits = scramble.parse_packet(packet), spec.patterns.bits
    assert parsed.key_id == tek.key_id
    book = PatternBook(Rule.parse(spec.patterns.rule))
    for number in range(max(0, parsed.number - 7), parsed.number + 1):
        book.add(Component("a", number, Pattern(bits, derive_pattern_bits(tek, "a", number, bits))))
    cycle = book.cycle(parsed.number)
    assert cycle is not None
    return scramble.descramble_packet(cycle, parsed)


def test_numbers_follow_the_policy() -> None:
    """By packets and bytes exactly, in batches; a rule that reaches back begins with its first number."""
    assert numbers(scrambling("single;128;3p"), [bytes(100)] * 8, 0) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert numbers(scrambling("two-times;128;250B"), [bytes(100)] * 7, 0) == [1, 1, 1, 2, 2, 2, 3]
    assert numbers(scrambling("a+a3;32;1p"), [bytes(9)] * 3, 0) == [3, 4, 5]


def test_time_goes_on_without_packets() -> None:
    """What is told counts on in a pause, from the epoch's start, and the next packet has that number."""
    made = scrambling("single;128;1000ms", 5 * SECOND)
    assert made.state(5 * SECOND) == PatternState(0, 1_000)
    assert made.state(5 * SECOND + 999 * MS) == PatternState(0, 1)
    assert made.state(8 * SECOND + 250 * MS) == PatternState(3, 750)
    assert numbers(made, [bytes(10)], 9 * SECOND) == [4]
    assert scrambling("single;128;5p").state(0) == PatternState(0, MS_MAX)


def test_the_past_is_erased() -> None:
    """Once the number has moved on the patterns before it are gone, and at the end all are."""
    made = scrambling("two-times;128;1p")
    numbers(made, [bytes(10)] * 5, 0)
    assert {number for _, number in made._book._patterns} == {4, 5}
    made.erase()
    assert not made._book._patterns


POLICIES = ["single;32;100ms", "inverted;128;7p", "two-times;512;9000B", "a,~a1@13;61;1p", "a+a7;4;1p,100ms"]


@pytest.mark.parametrize("policy", POLICIES)
def test_over_key_changes(policy: str) -> None:
    """Each epoch's packets open by patterns of its key alone, and its numbers begin anew."""
    spec = scrambled(make_spec(1_000), policy)
    sender = make_sender(spec, first_seq=65_500)
    teks = {1: copy_key(on_air(sender, 0))}
    first: dict[int, int] = {}
    for number in range(300):
        now = number * 10 * MS
        for action in serve(sender, now):
            if tek := getattr(action, "tek", None):
                teks[tek.key_id.epoch] = tek
        (packet,) = seal(sender, media(number), now)
        parsed = scramble.parse_packet(packet)
        epoch = parsed.key_id.epoch
        assert clear(teks[epoch], spec, packet) == payload(number)
        assert first.setdefault(epoch, parsed.number) == Rule.parse(policy.partition(";")[0]).first_number
    assert len(first) >= 3
    state = sender.state(3 * SECOND)
    assert (state.packets, state.bytes) == (300, 300 * 1316)


def test_figures_by_the_sender_itself() -> None:
    """S1's A = 1101 (Figs. 25 to 28) and its inverted pair (31 and 32), as batches for the air have them."""
    for rule, text, expected in (("single", "9a", "47"), ("inverted", "9a9a", "4848")):
        cycle = cycle_of(rule, a="1101")
        batch = scramble.Scrambler(SSRC).scramble(cycle, b"", 0, [bytes.fromhex(text)], [0], second=33)
        assert bytes(batch.data[12:]).hex() == expected
