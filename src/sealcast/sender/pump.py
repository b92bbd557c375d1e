"""Owns the departures of one stream: what waits, when the next is due, and sealing and sending what is.

It has no timer of its own: `departures` calls `depart` when `next_due_ns` says so, for hundreds of streams,
and `attend` when no other stream is due.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from sealcast.core.errors import UnreachableError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random
from sealcast.sender.pacing import rtp_timestamp, rtp_timestamps
from sealcast.sender.runs import Run
from sealcast.sender.session import SenderSession
from sealcast.wire.sealing import BATCH_PACKETS_MAX, SealedBatch

EARLY_NS = NS_PER_MS
"""So early a datagram may leave, along with one that is due."""

BATCH_SPAN_NS = 2 * NS_PER_MS
"""A batch holds no more of the stream than this (one packet where a packet lasts longer): nothing bursts."""

PIECE_SPAN_NS = NS_PER_MS * 7 // 5
"""What a batch holds while the stream is on time: the last is early by a millisecond at most, so that the
first has 1.6 ms until it is late."""

ON_TIME_NS = 2 * NS_PER_MS
"""A departure within so much of its time counts as on schedule."""

BEHIND_NS_MAX = NS_PER_S
"""Further behind than this (a suspended process), the schedule moves instead of sending a burst."""

AHEAD_NS = 45 * NS_PER_MS
"""So much of a stream with times is sealed together, and leaves in pieces: by itself a packet of a slow
stream costs twice as much to seal. After a key change this much still leaves under the key before."""

ATTEND_NS = 5 * NS_PER_MS
"""What is due within so much is sealed when there is time, so that sealing stands in nobody's way."""

BATCHES_PER_TURN = 8
"""So many batches leave before other streams get their turn."""

SEND_TRIES = 100
"""How often a full socket is offered a batch, a millisecond apart, before the rest is counted as unsent."""

BACKLOG_NS = NS_PER_S // 5
"""A source is asked for more when less than this of the stream waits."""

BACKLOG_PACKETS = 2_000
"""And when fewer payloads wait, 11 ms of 2 Gbit/s: what was just read is still in the core's cache."""

BACKLOG_RUNS = 64
"""A live input, whose payloads have no times, is held up when so many runs wait."""

_Piece = tuple[int, int, memoryview, int, int]
"""Packets that leave together: the first one's time and the time from which on they may leave, both on the
stream's clock; their bytes, how many they are, and which payload of `_offsets_ns` the first is."""


PlainSend = Callable[[memoryview], object]
"""Sends one piece with one system call; raises OSError for what did not leave."""


class TrainSocket(Protocol):
    """What sends: see `transport.batches.DatagramSender`."""

    def plain_send(self, segment_bytes: int) -> PlainSend | None:
        """Return what sends a train with datagrams of that length at once; None where it cannot."""
        ...

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Send, and return how many datagrams are done with."""
        ...


class Pump:
    """Sends one stream.

    `sent` counts departures and `on_time` those within 2 ms of the schedule; `unsent` what the socket did not
    take; `late_ns_max` is the worst delay. `wants_attention` says that `attend` has something to do.
    """

    def __init__(
        self,
        session: SenderSession,
        socket: TrainSocket,
        *,
        random: Random,
        payload_type: int,
        departed: Callable[[int], None],
    ) -> None:
        """`departed` is called with the time by `attend`: SEAL packets are due by number as well."""
        self._session = session
        self._socket = socket
        self._send_train = socket.send_train
        self._departed = departed
        self._payload_type = payload_type
        self._timestamp_base = random.below(1 << 32)
        self._start_ns = 0
        self._runs: deque[Run] = deque()
        self._sealed_count = 0
        """How many payloads of the first run were sealed."""
        self._pieces: list[_Piece] = []
        """What is sealed and waits, the next one last."""
        self._is_away = False
        """Whether the pieces were handed over."""
        self._segment_bytes = 0
        self._offsets_ns: Sequence[int] = ()
        self._last_offset_ns = 0
        self._waiting_packets = 0
        self._stuck: SealedBatch | None = None
        self._tries = 0
        self._retry_ns = 0
        self.wants_attention = False
        self.sent = 0
        self.on_time = 0
        self.unsent = 0
        self.late_ns_max = 0

    def start(self, now: int) -> None:
        """Put the zero of the stream's clock at this instant."""
        self._start_ns = now

    def stream_ns(self, now: int) -> int:
        """Return the time on the stream's clock."""
        return now - self._start_ns

    def feed(self, run: Run) -> None:
        """Take payloads in, behind those that wait."""
        if not len(run):
            return
        self._runs.append(run)
        self._waiting_packets += len(run)
        if run.offsets_ns is not None:
            self._last_offset_ns = run.offsets_ns[-1]

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to leave."""
        return not self._runs and not self._pieces and self._stuck is None

    def wants_more(self, now: int) -> bool:
        """Whether so little waits that the source should be asked for more."""
        if not self._runs:
            return True
        if self._runs[-1].offsets_ns is None:
            return len(self._runs) < BACKLOG_RUNS
        left_ns = self._last_offset_ns - self.stream_ns(now)
        return left_ns < BACKLOG_NS and self._waiting_packets < BACKLOG_PACKETS

    def next_due_ns(self, now: int) -> int | None:
        """Return when `depart` has something to do, in monotonic ns; None while nothing waits here."""
        if self._stuck is not None:
            return self._retry_ns
        if self._pieces:
            return None if self._is_away else self._start_ns + self._pieces[-1][1]
        if not self._runs:
            return None
        run, first = self._runs[0], self._sealed_count
        if run.offsets_ns is None:
            return now
        end = min(first + BATCH_PACKETS_MAX, len(run))
        return self._start_ns + _cut_at(run.offsets_ns, first, end, PIECE_SPAN_NS)[1]

    def end_ns(self) -> int:
        """Return when the last payload's time has come, so that BYE does not overtake it."""
        return self._start_ns + self._last_offset_ns + EARLY_NS

    def depart(self, now: int) -> int | None:
        """Send what is due, a bounded number of batches, and seal it if need be; return `next_due_ns`.

        About 1.5 µs a batch beside sealing and the system call, on a quiet 2.5 GHz core.
        """
        if self._stuck is not None:
            self._offer(self._stuck, now)
        pieces, turns = self._pieces, BATCHES_PER_TURN
        while turns and self._stuck is None and (pieces or self._seal(now, now)):
            due_ns, ready_ns, data, count, first = pieces[-1]
            stream_ns = now - self._start_ns
            if ready_ns > stream_ns:
                return self._start_ns + ready_ns
            pieces.pop()
            turns -= 1
            self._note_departure(stream_ns - due_ns, count, first)
            self._offer(SealedBatch(data, self._segment_bytes, count), now)
        if not pieces:
            self.wants_attention = True
        return self.next_due_ns(now)

    def hand_over(self) -> tuple[PlainSend, int, list[_Piece]] | None:
        """Return what sends a sealed piece at once, the zero of their times, and the pieces, the last first.

        They are the caller's to send until `take_back`. None where the socket is full or cannot, and where
        `depart` does as well: a single piece.
        """
        if self._stuck is not None or len(self._pieces) <= 1:
            return None
        send = self._socket.plain_send(self._segment_bytes)
        if send is None:
            return None
        self._is_away = True
        return send, self._start_ns, self._pieces

    def take_back(self, left: int) -> None:
        """Go on with the last `left` of the pieces that were handed over; the caller sent the others."""
        self._is_away = False
        del self._pieces[left:]
        if not left:
            self.wants_attention = True

    def resend(self, data: memoryview, due_ns: int, count: int, first: int, now: int) -> int | None:
        """Send with more care a piece that did not leave; return `next_due_ns`. Call `take_back` before."""
        self._note_departure(now - due_ns, count, first)
        self._offer(SealedBatch(data, self._segment_bytes, count), now)
        return self.next_due_ns(now)

    def attend(self, now: int) -> None:
        """Do what is better done before the next departure is due: SEAL packets, and sealing ahead."""
        self.wants_attention = False
        self._departed(now)
        if self._stuck is None and not self._pieces:
            self._seal(now, now + ATTEND_NS)

    def flush(self, now: int) -> None:
        """Send at once what is sealed, before a stream ends in the middle: its packets are counted."""
        if self._stuck is not None:
            self._offer(self._stuck, now)
        while self._pieces:
            _, _, data, count, _ = self._pieces.pop()
            self.sent += count
            self.on_time += count
            if self._stuck is None:
                self._offer(SealedBatch(data, self._segment_bytes, count), now)
            else:
                self.unsent += count
        if self._stuck is not None:
            self.unsent += len(self._stuck)
            self._stuck = None

    def _seal(self, now: int, until_ns: int) -> bool:
        """Seal the next payloads if the first is due by then, and cut them into pieces.

        Of a run with times `AHEAD_NS`, of a live one all that fits a batch. False if nothing is due.
        """
        if not self._runs:
            return False
        run, first = self._runs[0], self._sealed_count
        end = min(first + BATCH_PACKETS_MAX, len(run))
        offsets_ns, timestamps = run.offsets_ns, run.timestamps
        if offsets_ns is not None:
            due_ns = self._start_ns + offsets_ns[first]
            if due_ns > until_ns:
                return False
            if now - due_ns > BEHIND_NS_MAX:
                self._catch_up(now - due_ns)
            end = bisect_right(offsets_ns, offsets_ns[first] + AHEAD_NS, first + 1, end)
            stamps: Sequence[int] = rtp_timestamps(offsets_ns[first:end], self._timestamp_base)
        elif timestamps is not None:
            stamps = timestamps[first:end]
        else:
            # Live payloads that brought none: all have the present one.
            stamps = [rtp_timestamp(self.stream_ns(now), self._timestamp_base)] * (end - first)
        sealed = self._session.seal_batch(
            run.payloads[first:end],
            stamps,
            now,
            payload_type=self._payload_type if run.payload_type is None else run.payload_type,
            marker=run.marker,
            skipped=0 if first else run.skipped,
        )
        self._cut(sealed, offsets_ns, first, now)
        self._sealed_count = first + sealed.count
        self._waiting_packets -= sealed.count
        if self._sealed_count == len(run):
            self._runs.popleft()
            self._sealed_count = 0
        return True

    def _cut(self, sealed: SealedBatch, offsets_ns: Sequence[int] | None, first: int, now: int) -> None:
        """Note in which pieces a batch leaves, and when."""
        self._segment_bytes = size = sealed.segment_bytes
        if offsets_ns is None:
            present_ns = self.stream_ns(now)
            self._offsets_ns = ()
            self._pieces.append((present_ns, present_ns, sealed.data, sealed.count, 0))
            return
        self._offsets_ns, data, begin, pieces = offsets_ns, sealed.data, 0, self._pieces
        is_late = self.stream_ns(now) - offsets_ns[first] > EARLY_NS
        span_ns = BATCH_SPAN_NS if is_late else PIECE_SPAN_NS
        at, until = first, first + sealed.count
        if isinstance(offsets_ns, range):
            pieces += _cut_evenly(offsets_ns, first, sealed, span_ns)
            return
        while at < until:
            end, ready_ns = _cut_at(offsets_ns, at, until, span_ns)
            stop = begin + (end - at) * size
            pieces.append((offsets_ns[at], ready_ns, data[begin:stop], end - at, at))
            at, begin = end, stop
        pieces.reverse()

    def _note_departure(self, late_ns: int, count: int, first: int) -> None:
        self._tries = 0
        self.sent += count
        self.on_time += count if late_ns <= ON_TIME_NS else self.count_on_time(late_ns, first, count)
        self.late_ns_max = max(self.late_ns_max, late_ns)

    def count_on_time(self, late_ns: int, first: int, count: int) -> int:
        """Return how many of a late piece's packets are on time; the first is the latest of all."""
        if late_ns > BEHIND_NS_MAX:
            self._catch_up(late_ns)
        offsets_ns = self._offsets_ns
        if not offsets_ns:
            return count
        in_time_ns = offsets_ns[first] + late_ns - ON_TIME_NS
        return first + count - bisect_left(offsets_ns, in_time_ns, first, first + count)

    def _catch_up(self, late_ns: int) -> None:
        """Move the schedule to the present."""
        self._start_ns += late_ns
        self.late_ns_max = max(self.late_ns_max, late_ns)

    def _offer(self, batch: SealedBatch, now: int) -> None:
        """Give the socket a batch; keep what it does not take for a millisecond, and at last give it up."""
        self._stuck = None
        try:
            done = self._send_train(batch.data, batch.segment_bytes)
        except UnreachableError:
            self.unsent += len(batch)
            return
        if done == batch.count:
            return
        rest = batch.after(done)
        self._tries += 1
        if self._tries >= SEND_TRIES:
            self.unsent += len(rest)
        else:
            self._stuck, self._retry_ns = rest, now + NS_PER_MS


def _cut_evenly(offsets_ns: range, first: int, sealed: SealedBatch, span_ns: int) -> list[_Piece]:
    """Return the pieces of a batch whose payloads are equally far apart, the last first: without a search."""
    step_ns, data, until = offsets_ns.step, sealed.data, first + sealed.count
    per_piece = span_ns // step_ns + 1
    piece_bytes = per_piece * sealed.segment_bytes
    wait_ns = max(0, (per_piece - 1) * step_ns - EARLY_NS)
    due_ns, begin, pieces = offsets_ns[first], 0, []
    for at in range(first, until - per_piece + 1, per_piece):
        pieces.append((due_ns, due_ns + wait_ns, data[begin : begin + piece_bytes], per_piece, at))
        due_ns += per_piece * step_ns
        begin += piece_bytes
    rest = sealed.count % per_piece
    if rest:
        wait_ns = max(0, (rest - 1) * step_ns - EARLY_NS)
        pieces.append((due_ns, due_ns + wait_ns, data[begin:], rest, until - rest))
    pieces.reverse()
    return pieces


def _cut_at(offsets_ns: Sequence[int], first: int, end: int, span_ns: int) -> tuple[int, int]:
    """Return before which payload a piece ends that begins with `first`, and when it may leave.

    The first is due by then, and the last within `EARLY_NS`.
    """
    due_ns = offsets_ns[first]
    end = bisect_right(offsets_ns, due_ns + span_ns, first + 1, end)
    return end, max(due_ns, offsets_ns[end - 1] - EARLY_NS)
