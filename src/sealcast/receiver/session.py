"""Owns a receiver's run on one channel: datagrams and grants in; ordered payloads and key requests out.

It does no I/O and knows no clock: `now` is monotonic nanoseconds that never fall. Its methods are of three
kinds, and the caller's loop uses them in this order:

* inputs: `handle_data`, `handle_control`, `handle_grant`, `handle_fetch_failed`, `handle_timeout`;
* outputs: `poll_fetch`, `poll_payloads` (with trains `pop_opened` after each, and `poll_slabs`), then wait
  until `next_timeout` or more input;
* getters: `stats`, `state`, `is_over`.

A packet's key is found by its MKI: current, next, previous, else ask (S1-3). Nothing unverified changes
state beyond a counter, a place in a bounded queue, and one rate-limited question.
"""

from itertools import groupby

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import AuthenticationError, FormatError, RemoteError, ReplayError
from sealcast.core.ids import KEY_ID_BYTES, KeyId
from sealcast.core.ports import NS_PER_MS, Random
from sealcast.keys.policy import SPREAD_MS_MAX, Window
from sealcast.messages.answers import Grant
from sealcast.receiver.control import ControlJudge
from sealcast.receiver.farewells import Farewells
from sealcast.receiver.fetch import FetchPlanner
from sealcast.receiver.following import Follower
from sealcast.receiver.keyring import HeldKey, KeyRing, granted_channel, granted_keys
from sealcast.receiver.notices import Notices
from sealcast.receiver.ordering import OrderedOutput
from sealcast.receiver.pending import PendingPackets
from sealcast.receiver.readers import Parts, Reader, reader_of
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import Stream, Streams
from sealcast.receiver.trains import TrainReader
from sealcast.receiver.values import FetchRequest, ReceiverState, Slab
from sealcast.wire.seal import Seal, SealWindow
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES

RECENT_NS = 10_000 * NS_PER_MS
"""A receiver that opened a packet this recently is still watching."""

HINTED_SERVERS_MAX = 8
"""Key servers remembered from unverified packets; each costs a try where ours do not answer."""


class ReceiverSession:
    """One run of a receiver."""

    def __init__(self, *, channel: str | None, reorder_ms: int, random: Random, now: int) -> None:
        """Begin; `channel` is a name or number, or None to learn the number from the stream."""
        self._asked_channel = channel
        self._spec: ChannelSpec | None = None
        self._spread_ms = 0
        self._ring = KeyRing()
        self._judge = ControlJudge(self._ring)
        self._fetch = FetchPlanner(random, now)
        self.notices = Notices(self._ring, self._fetch)
        """Takes what the key server pushes."""
        self._pending = PendingPackets()
        self._streams = Streams(reorder_ms)
        self.stats = ReceiverStats()
        self._follower = Follower(self._ring, self.stats)
        ways = self._take_one, self._hold_without_key, self._note_opened
        self._trains: TrainReader | Reader = TrainReader(self._ring, self._streams, *ways, stats=self.stats)
        self.reader: Reader | None = None
        """Takes the packets of a channel that is scrambled, or whose packets carry no key ID."""
        self._output = OrderedOutput(self._streams, self.stats)
        self._ends_ns, self._extended = now, False
        self._farewells = Farewells(self._streams)
        self._first_opened_ns: int | None = None
        self._joined: Stream | None = None
        self._opened_ns: int | None = None
        self.hinted_servers: tuple[str, ...] = ()
        """Key servers that an unverified SEAL names: where to ask, if nowhere else."""

    # Inputs

    def handle_data(self, packets: list[bytes], now: int) -> None:
        """Take datagrams of the data port. About 8 µs each."""
        self.stats.received += len(packets)
        for packet in packets:
            self._take_one(packet, now)

    @property
    def train_buffer(self) -> memoryview:
        """Where to receive a train that is handed to `handle_train`."""
        return self._trains.buffer

    def handle_train(self, size_bytes: int, packet_bytes: int, now: int) -> None:
        """Take the datagrams that stand in `train_buffer`, each `packet_bytes` long, the last maybe shorter.

        About 0.5 µs each beside the cipher, where they follow each other.
        """
        self.stats.received += self._trains.take(size_bytes, packet_bytes, now)

    def handle_control(self, packet: bytes, now: int) -> None:
        """Take a datagram of the control port. About 150 µs for the signature of a good one."""
        try:
            key_id = self._judge.key_of(packet)
            if self._ring.find(key_id.pack()) is None:
                self._take_hint(packet, key_id, now)
                return
            ssrc = self._judge.ssrc_of(packet)
            known = self._streams.get(ssrc)
            seal = self._judge.verify(packet, known.control_index if known else -1)
            self._streams.vouch(ssrc).control_index = int.from_bytes(packet[-12:-8], "big")
        except RemoteError:
            self.stats.control_refused += 1
            return
        self.stats.control += 1
        self._apply(seal, now)

    def handle_told(self, seal: Seal, now: int) -> None:
        """Take what a sender answered to a question, verified and fresh, as if it were a SEAL packet."""
        if self._ring.find(seal.current.pack()) is None and not self._is_past(seal.current):
            self._ask_for(seal.current, now)
        self._apply(seal, now)

    def handle_grant(self, grant: Grant, now: int) -> None:
        """Take a grant from a key server; raises FormatError, and changes nothing, if it does not fit."""
        spec = granted_channel(grant, self._spec)
        teks = granted_keys(grant, spec, self._ring)
        self._judge.set_senders([sender.key.raw_public() for sender in grant.senders])
        self._spec = spec
        self._spread_ms = max(0, min(grant.spread_ms, SPREAD_MS_MAX))
        if self.reader is None:
            self._choose_reader(spec)
        for stream in grant.streams:
            self._streams.vouch(stream.ssrc).counter.add_candidate(stream.roc, stream.seq)
        for tek, key in teks:
            self._ring.learn(tek, key.lifetime_ms, now)
            if key.state == "current":
                self._set_current(tek.key_id, key.remaining_ms, now, extended=key.extended)
        # A key server does not send again what we hold: then a grant without keys is no reason to hurry.
        self._fetch.handle_answer(now, has_keys=bool(self._ring.held), has_next=self._ring.holds_next())
        self._open_pending(now)
        current = self._ring.current
        if current is not None and not self._ring.holds_next() and grant.window is not None:
            self._fetch.want_next(current, grant.window.opens_in_ms, grant.window.closes_in_ms, now)

    def handle_fetch_failed(self, now: int, retry_after_ns: int | None = None) -> None:
        """Note that a key request got no grant; it is made again later."""
        self._fetch.handle_failure(now, retry_after_ns)

    def forget_channel(self) -> None:
        """Give up a channel number that only an unverified packet told; the next packet tells again."""
        if self._spec is None:
            self._asked_channel = None

    def handle_timeout(self, now: int) -> None:
        """Do what is due by time alone: drop keys and packets that are too old."""
        if self._ring.expire(now):
            self._forget_keys()
        self._pending.expire(now)
        self._count_dropped()

    # Outputs

    def poll_fetch(self, now: int) -> FetchRequest | None:
        """Return the key request to make now, or None. At most one is under way."""
        channel = self._channel_to_ask()
        if channel is None or not self._fetch.poll(now):
            return None
        self.stats.fetches += 1
        seen, coming = self._fetch.seen, self._fetch.announced
        named = tuple(str(key_id) for key_id in self._ring.named)
        return FetchRequest(channel, str(seen) if seen else None, named, str(coming) if coming else None)

    def pop_opened(self) -> list[Slab]:
        """Return what the last train brought in order; `poll_slabs` gives the rest, when its turn comes."""
        return self._trains.pop_ready()

    def poll_slabs(self, now: int) -> list[Slab]:
        """Return the payloads that leave now, each stream's in order of its index, as they stand together."""
        ready = self._trains.pop_ready()
        ready += [Slab(payload, len(payload)) for payload in self._output.pop_ready(now)]
        return ready

    def poll_payloads(self, now: int) -> list[bytes]:
        """Do as `poll_slabs`, and return the payloads one by one."""
        return [payload for slab in self.poll_slabs(now) for payload in slab.payloads()]

    def drain(self, now: int) -> list[bytes]:
        """Return all payloads that still wait, at the end, one by one."""
        ready = [payload for slab in self._trains.pop_ready() for payload in slab.payloads()]
        return ready + self._output.drain(now)

    def next_timeout(self) -> int | None:
        """Return when to call `handle_timeout` and the outputs again, in monotonic ns."""
        times = [self._ring.next_timeout(), self._pending.next_timeout(), self._output.next_timeout()]
        if self._channel_to_ask() is not None:
            times.append(self._fetch.next_timeout())
        times.append(self._farewells.next_timeout())
        return min((time for time in times if time is not None), default=None)

    # Getters

    @property
    def spec(self) -> ChannelSpec | None:
        """The channel, once a grant told."""
        return self._spec

    def is_over(self, now: int) -> bool:
        """Whether the senders said BYE and the last packet left, or can no longer be expected."""
        return self._farewells.is_over(now, has_waiting=bool(len(self._pending)))

    def heard(self, now: int, within_ns: int) -> frozenset[int]:
        """Return the SSRCs of the runs of which a packet verified within the last `within_ns`."""
        return frozenset(
            ssrc
            for ssrc, each in self._streams.items()
            if each.heard_ns >= 0 and now - each.heard_ns <= within_ns
        )

    def opened_since(self, now: int, within_ns: int = RECENT_NS) -> bool:
        """Whether a packet was opened within the last `within_ns`."""
        return self._opened_ns is not None and now - self._opened_ns <= within_ns

    def state(self, now: int) -> ReceiverState:
        """Return a snapshot for people."""
        current = self._ring.current
        return ReceiverState(
            channel=self._spec.name if self._spec else self._asked_channel,
            key_id=current,
            last_index=self._streams.last_index,
            holds_next=self._ring.holds_next(),
            remaining_ms=max(0, (self._ends_ns - now) // NS_PER_MS),
            extended=self._extended,
            lost=self._output.lost,
            held_back=len(self._pending),
            first_opened_ns=self._first_opened_ns,
            joined_at_roc=self._joined.first_index >> 16 if self._joined else None,
        )

    def erase(self) -> None:
        """Erase all keys and patterns; call it when the run is over."""
        self._ring.erase()
        self._forget_keys()

    # Below this line nobody calls from outside.

    def _choose_reader(self, spec: ChannelSpec) -> None:
        parts = Parts(self._ring, self._streams, self._pending, self._trains.buffer, self.stats)
        hold, noted = self._hold_without_key, (self._note_opened, self._note_unproven)
        self.reader = reader_of(
            spec, parts, hold, lambda now: self._fetch.want_why(now, self._spread_ms), noted
        )
        self._trains = self.reader or self._trains

    def _take_one(self, packet: bytes, now: int) -> None:
        if self.reader is not None:
            self.reader.take_packets([packet], now)
            return
        if len(packet) < PACKET_OVERHEAD_BYTES:
            self.stats.refused += 1
            return
        held = self._ring.find(packet[-KEY_ID_BYTES:])
        if held is None:
            self._hold_without_key([packet], now)
        else:
            self._open(held, packet, now, now)

    def _open(self, held: HeldKey, packet: bytes, arrived_ns: int, now: int) -> None:
        stream = self._streams.get(int.from_bytes(packet[8:12], "big"))
        if stream is None:
            self._pending.hold(held.key_id, packet, arrived_ns)
            self._count_dropped()
            return
        try:
            index, payload = stream.open(held, packet, now, is_announced=held.key_id == self._ring.current)
        except ReplayError:
            self.stats.replayed += 1
            return
        except (AuthenticationError, FormatError):
            self.stats.refused += 1
            return
        self._note_opened(held, stream, 1, len(payload), now)
        if not stream.reorder.push(index, payload, now):
            self.stats.late += 1

    def _note_opened(self, held: HeldKey, stream: Stream, packets: int, size_bytes: int, now: int) -> None:
        self._ring.mark_used(held.key_id, now)
        self.stats.opened += packets
        self.stats.opened_bytes += size_bytes
        self._note_unproven(stream, now)

    def _note_unproven(self, stream: Stream, now: int) -> None:
        """Note that something left; of a scrambled channel nobody knows whether it was the sender's."""
        self._opened_ns = now
        if self._first_opened_ns is None:
            self._first_opened_ns, self._joined = now, stream

    def _hold_without_key(self, packets: list[bytes], now: int) -> None:
        key_id = KeyId.unpack(packets[0][-KEY_ID_BYTES:])
        if self._is_foreign(key_id):
            self.stats.foreign += len(packets)
        elif self._is_past(key_id):
            self.stats.dropped += len(packets)
        else:
            self._pending.hold_run(key_id, packets, now)
            self._count_dropped()
            self._ask_for(key_id, now)

    def _take_hint(self, packet: bytes, key_id: KeyId, now: int) -> None:
        if self._is_foreign(key_id) or self._is_past(key_id):
            self.stats.control_refused += 1
            return
        hint = self._judge.hint(packet)
        # The newest first: a forged packet that came before the sender's must not hide it.
        hinted = dict.fromkeys((*hint.key_servers, *self.hinted_servers))
        self.hinted_servers = tuple(hinted)[:HINTED_SERVERS_MAX]
        self._ask_for(key_id, now)

    def _is_foreign(self, key_id: KeyId) -> bool:
        return self._spec is not None and key_id.channel != self._spec.number

    def _is_past(self, key_id: KeyId) -> bool:
        """Whether a key that we do not hold was on air before the present one: nobody is given it."""
        current = self._ring.current
        return current is not None and key_id < current

    def _ask_for(self, key_id: KeyId, now: int) -> None:
        if self._spec is None and self._asked_channel is None:
            self._asked_channel = str(key_id.channel)
        self._fetch.want_unknown(key_id, now, self._spread_ms)

    def _apply(self, seal: Seal, now: int) -> None:
        stream = self._streams.vouch(seal.ssrc)
        stream.counter.check(seal.roc, seal.seq, now)
        self._set_current(seal.current, seal.remaining_ms, now, extended=seal.extended)
        if self.reader is not None:
            self.reader.note_told(seal, now)
        self._open_pending(now)
        if self._ring.current == seal.current or not seal.bye:
            self._farewells.note(seal, now)
        if self._ring.current != seal.current:
            return  # What an earlier run said when it ended, or planned, is not of this one.
        if seal.rekeys and self._follower.take(seal.rekeys, seal.lifetime_ms, now):
            self._fetch.handle_followed()
            self._open_pending(now)
        if not self._ring.holds_next(seal.next.key_id if seal.next else None):
            self._plan_fetch(seal, now)

    def _plan_fetch(self, seal: Seal, now: int) -> None:
        """Draw the instant of the next fetch: in the window announced, else in that of the schedule.

        A slow stream's SEAL packets are rare, so the notice may be missed; the schedule is known without it.
        """
        window: SealWindow | Window | None = seal.window if seal.next else None
        if window is None and self._spec is not None and not seal.extended:
            window = self._follower.window_untold(self._spec, seal.remaining_ms)
        if window is not None:
            opens_ms, closes_ms = window.opens_in_ms, window.closes_in_ms
            announced = seal.next.key_id if seal.next else None
            self._fetch.want_next(seal.current, opens_ms, closes_ms, now, announced=announced)

    def _set_current(self, key_id: KeyId, remaining_ms: int, now: int, *, extended: bool) -> None:
        before = self._ring.current
        if self._ring.announce(key_id, now) and before is not None:
            self.stats.key_changes += 1
            self._forget_keys()
            self._output.note_change(now)
        if key_id == self._ring.current:
            self._ends_ns = now + remaining_ms * NS_PER_MS
            self._extended = extended

    def _forget_keys(self) -> None:
        held = self._ring.held
        for stream in self._streams.values():
            stream.keep_only(held)
        if self.reader is not None:
            self.reader.keep_only(held)

    def _open_pending(self, now: int) -> None:
        for key_id in sorted(self._ring.held):
            if self.reader is not None:
                self.reader.take_waiting(key_id, now)
                continue
            if (held := self._ring.find(key_id.pack())) is None:
                continue
            for is_placed, waiting in groupby(self._pending.take(key_id), self._has_stream):
                if is_placed:
                    self._trains.take_packets([packet for _, packet in waiting], now)
                else:
                    for arrived_ns, packet in waiting:
                        self._open(held, packet, arrived_ns, now)

    def _has_stream(self, waiting: tuple[int, bytes]) -> bool:
        return int.from_bytes(waiting[1][8:12], "big") in self._streams

    def _channel_to_ask(self) -> str | None:
        return str(self._spec.number) if self._spec is not None else self._asked_channel

    def _count_dropped(self) -> None:
        self.stats.dropped += self._pending.dropped
        self._pending.dropped = 0
