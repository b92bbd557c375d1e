"""Packets without key ID: their key or pattern is found, whatever is lost, late, doubled or forged."""

import dataclasses
from collections.abc import Iterator

import pytest

from sealcast.core.channel import ChannelSpec, Framing, Suite
from sealcast.core.ids import Epoch
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.material import Tek
from sealcast.messages.answers import StreamState
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import PublishKey
from sealcast.sender.session import SenderSession
from sealcast.testing import SimRandom
from simulation.parts import (
    MS,
    SECOND,
    Media,
    copy_key,
    make_grant,
    make_receiver,
    make_sender,
    make_spec,
    seal,
    serve,
)

LIFETIME_MS = 4_000
SEALED = dataclasses.replace(make_spec(LIFETIME_MS), framing=Framing.RTP, ask="127.0.0.1:9000")
SCRAMBLED = dataclasses.replace(
    SEALED, suite=Suite.SCRAMBLE, patterns=PatternPolicy("inverted", 128, after_ms=300)
)
TWO_TIMES = dataclasses.replace(SCRAMBLED, patterns=PatternPolicy("a+a1@13", 128, after_ms=300))
BARE = dataclasses.replace(SCRAMBLED, framing=Framing.UDP)
SPECS = pytest.mark.parametrize("spec", [SEALED, SCRAMBLED, TWO_TIMES, BARE])
FIRST_SEQ = 65_000
STEP_NS = 20 * MS


def ts_payload(number: int) -> bytes:
    """Return seven TS packets, unlike those of any other number."""
    random = SimRandom(f"ts/{number}")
    return b"".join(b"\x47" + random.bytes(187) for _ in range(7))


class Pair:
    """A sender and a receiver of one channel: the sender publishes, and the test decides what arrives."""

    def __init__(self, spec: ChannelSpec, *, reorder_ms: int = 20) -> None:
        self.spec = spec
        self.sender: SenderSession = make_sender(spec, first_seq=FIRST_SEQ)
        self.receiver: ReceiverSession = make_receiver(reorder_ms=reorder_ms)
        self.published: dict[Epoch, Tek] = {}
        self.number = 0
        self.serve(0)
        self.sender.poll_control(0)
        assert self.receiver.poll_fetch(0) is not None
        self.grant(0)

    def serve(self, now: int) -> None:
        """Answer all the sender asks for, and keep what it publishes."""
        for action in serve(self.sender, now):
            if isinstance(action, PublishKey):
                self.published[action.tek.key_id.epoch] = copy_key(action.tek)

    def grant(self, now: int) -> None:
        """Give the receiver all there is."""
        told = self.sender.told(now)
        assert told is not None
        epoch = told.current.epoch
        streams = [StreamState(ssrc=told.ssrc, roc=told.roc, seq=told.seq, age_ms=0)]
        current, following = copy_key(self.published[epoch]), self.published.get(Epoch(epoch + 1))
        following = None if following is None else copy_key(following)
        grant = make_grant(
            self.spec, current, following, remaining_ms=told.remaining_ms, streams=streams, has_window=False
        )
        self.receiver.handle_grant(grant, now)

    def tell(self, now: int) -> None:
        """Give the receiver the sender's answer."""
        told = self.sender.told(now)
        assert told is not None
        self.receiver.handle_told(told, now)

    def send(self, now: int) -> tuple[bytes, bytes]:
        """Return the next payload and its packet."""
        self.serve(now)
        self.sender.poll_control(now)
        sent = ts_payload(self.number)
        (packet,) = seal(self.sender, [Media(sent, 90 * self.number)], now)
        self.number += 1
        return sent, packet

    def sent_until(self, end_ns: int, start_ns: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Give time, payload and packet, one every 20 ms."""
        for now in range(start_ns, end_ns, STEP_NS):
            yield now, *self.send(now)


@SPECS
def test_keys_and_patterns_change_without_a_word(spec: ChannelSpec) -> None:
    """Two key changes and dozens of patterns: what is sent comes out, told of each key once, late."""
    pair = Pair(spec)
    pair.tell(0)
    sent_all, got = [], []
    for now, sent, packet in pair.sent_until(10 * SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
        got += pair.receiver.poll_payloads(now)
        if now % LIFETIME_MS == 3 * SECOND % LIFETIME_MS:
            pair.grant(now)
        if now % (LIFETIME_MS * MS) == 200 * MS:
            assert pair.receiver.reader is not None
            pair.tell(now)
        if now % SECOND == 0:
            pair.grant(now)
    assert got + pair.receiver.drain(10 * SECOND) == sent_all
    assert pair.receiver.stats.key_changes == 2
    assert pair.receiver.stats.refused == pair.receiver.stats.dropped == 0
