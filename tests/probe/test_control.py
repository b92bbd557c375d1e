"""Tests of probe.control: SEAL packets that stand to reason, and each way in which one does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.streams import CURRENT, SEAL, SSRC, seal_packet
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.probe.control import SENDERS_MAX, DataView, Oddity, SealJudge
from sealcast.wire.seal import NextKey, SealWindow

DATA = DataView(highest_seq=100, packets=5_000, key_ids=frozenset({CURRENT}), first_data_ns=0)
LATER = 2 * NS_PER_S


def other(channel: int = 7, epoch: int = 3) -> KeyId:
    """Return a key ID."""
    return KeyId(ChannelNumber(channel), Epoch(epoch))


def test_a_stream_of_seal_packets_stands_to_reason() -> None:
    """Ten packets that count down over two seconds and a switch have nothing odd."""
    judge = SealJudge()
    for number in range(10):
        passed = 200 * number
        packet = seal_packet(
            number + 1,
            remaining_ms=4_000 - passed,
            seq=100 + number,
            next=NextKey(other(epoch=4), 4_000 - passed),
            window=None,
        )
        judge.take(packet, lambda _: DATA, passed * NS_PER_MS)
    after = seal_packet(11, current=other(epoch=4), remaining_ms=5_000, seq=110, next=None, window=None)
    judge.take(after, lambda _: DATA, LATER)
    assert (judge.packets, judge.sensible, dict(judge.oddities)) == (11, 11, {})
    assert judge.last is not None
    assert judge.last[0].current.epoch == 4


@pytest.mark.parametrize(
    ("oddity", "changed"),
    [
        (Oddity.KEY_ID, {"mki": other(epoch=9)}),
        (Oddity.REMAINING, {"remaining_ms": 60_000, "next": None, "window": None}),
        (Oddity.NEXT, {"next": NextKey(other(channel=8, epoch=4), 4_000)}),
        (Oddity.NEXT, {"next": NextKey(other(epoch=3), 4_000)}),
        (Oddity.WINDOW, {"window": SealWindow(3_000, 1_000)}),
        (Oddity.WINDOW, {"window": SealWindow(3_000, 9_000)}),
        (Oddity.KEY_SERVER, {"key_servers": ("http://keys.example",)}),
        (Oddity.KEY_SERVER, {"key_servers": ("https://keys\x1b[2J",)}),
        (Oddity.SEQ, {"seq": 40_000}),
        (Oddity.DATA, {"current": other(channel=9), "next": None, "window": None}),
        (Oddity.DATA, {"current": other(epoch=77), "next": None, "window": None}),
    ],
)
def test_a_packet_that_contradicts_itself_or_the_data(oddity: Oddity, changed: dict[str, object]) -> None:
    """A forgery that overlooks one relation is told by it."""
    judge = SealJudge()
    judge.take(seal_packet(1, **changed), lambda _: DATA, 0)  # type: ignore[arg-type]
    assert dict(judge.oddities) == {oddity: 1}
    assert (judge.sensible, judge.last) == (0, None)


@pytest.mark.parametrize(
    ("oddity", "index", "changed"),
    [
        (Oddity.INDEX, 10, {}),
        (Oddity.INDEX, 9, {}),
        (Oddity.EPOCH, 11, {"current": other(epoch=2)}),
        (Oddity.COUNTERS, 11, {"roc": 1}),
        (Oddity.COUNTERS, 11, {"roc": 3}),
        (Oddity.COUNTDOWN, 11, {"remaining_ms": 900}),
    ],
)
def test_a_packet_that_contradicts_the_one_before(
    oddity: Oddity, index: int, changed: dict[str, object]
) -> None:
    """A replayed or invented packet does not go on where the sender's last one stopped."""
    judge = SealJudge()
    judge.take(seal_packet(10), lambda _: DATA, LATER)
    judge.take(seal_packet(index, **changed), lambda _: DATA, LATER)  # type: ignore[arg-type]
    assert dict(judge.oddities) == {oddity: 1}
    assert judge.last == (SEAL, LATER)


def test_an_ssrc_without_data_is_strange() -> None:
    """Once data of another SSRC has come for a while, a SEAL packet of one without any is told."""
    judge = SealJudge()
    silent = DataView(None, 0, None, first_data_ns=0)
    judge.take(seal_packet(1), lambda _: silent, NS_PER_S // 10)
    judge.take(seal_packet(2, ssrc=1), lambda _: silent, LATER)
    assert dict(judge.oddities) == {Oddity.SSRC: 1}


def test_an_extended_epoch_does_not_count_down() -> None:
    """While the key server is away the remaining time stands at 0, and that is no contradiction."""
    judge = SealJudge()
    judge.take(seal_packet(1, remaining_ms=300, next=None, window=None), lambda _: DATA, 0)
    late = seal_packet(2, remaining_ms=0, extended=True, next=None, window=None)
    judge.take(late, lambda _: DATA, 60 * NS_PER_S)
    assert judge.sensible == 2


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_are_judged(noise: bytes, at: int) -> None:
    """Noise, and a true packet with noise in it, are judged without raising."""
    judge = SealJudge()
    packet = seal_packet(1)
    for datagram in (noise, packet[:at], packet[:at] + noise + packet[at:], packet[:at] + noise):
        judge.take(datagram, lambda _: DATA, 0)
    assert judge.packets == 4


def test_a_flood_of_senders_costs_little() -> None:
    """SSRCs beyond the most that are followed are judged, and not remembered."""
    judge = SealJudge()
    silent = replace(DATA, highest_seq=None, first_data_ns=None)
    for ssrc in range(200):
        judge.take(seal_packet(1, ssrc=ssrc), lambda _: silent, 0)
    assert (judge.packets, judge.senders) == (200, SENDERS_MAX)
    assert SSRC not in judge._senders
