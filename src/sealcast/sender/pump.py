"""Owns the departures of one stream: what waits, when the next is due, and sealing and sending what is.

It has no timer of its own: `departures` calls `depart` when `next_due_ns` says so, for hundreds of streams.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from typing import Protocol

from sealcast.core.errors import LocalError, UnreachableError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random
from sealcast.sender.pacing import RTP_MODULUS, rtp_timestamp
from sealcast.sender.runs import Run
from sealcast.sender.session import SenderSession
from sealcast.wire.sealing import BATCH_PACKETS_MAX, SealedBatch

EARLY_NS = NS_PER_MS
"""Datagrams due within the next millisecond leave with those due now: the timer is no finer."""

BATCH_SPAN_NS = 2 * NS_PER_MS
"""A batch holds no more of the stream than this (one packet where a packet lasts longer): nothing bursts."""

ON_TIME_NS = 2 * NS_PER_MS
"""A departure within so much of its time counts as on schedule."""

BEHIND_NS_MAX = NS_PER_S
"""Further behind than this (a suspended process), the schedule moves instead of sending a burst."""

AHEAD_NS = 20 * NS_PER_MS
"""So much of a stream with times is sealed together, and leaves in pieces: by itself a packet of a slow
stream costs twice as much to seal. After a key change this much still leaves under the key before."""

BATCHES_PER_TURN = 8
"""So many batches leave before other streams get their turn."""

SEND_TRIES = 100
"""How often a full socket is offered a batch, a millisecond apart, before the rest is counted as unsent."""

BACKLOG_NS = NS_PER_S // 5
"""A source is asked for more when less than this of the stream waits."""

BACKLOG_RUNS = 64
"""A live input, whose payloads have no times, is held up when so many runs wait."""


class TrainSocket(Protocol):
    """What sends: see `transport.batches.DatagramSender.send_train`."""

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Send, and return how many datagrams are done with."""
        ...


class Pump:
    """Sends one stream.

    `sent` counts departures and `on_time` those within 2 ms of the schedule; `unsent` what the socket did not
    take; `late_ns_max` is the worst delay.
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
        """`departed` is called with the time after each turn: SEAL packets are due by number as well."""
        self._session = session
        self._socket = socket
        self._departed = departed
        self._payload_type = payload_type
        self._timestamp_base = random.below(1 << 32)
        self._start_ns = 0
        self._runs: deque[Run] = deque()
        self._done = 0
        self._sealed: SealedBatch | None = None
        """What was sealed of the first run, from the payload `_sealed_first` to that before `_sealed_end`."""
        self._sealed_first = 0
        self._sealed_end = 0
        self._last_offset_ns = 0
        self._stuck: SealedBatch | None = None
        self._tries = 0
        self._retry_ns = 0
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
        if run.offsets_ns is not None:
            self._last_offset_ns = run.offsets_ns[-1]
            base = self._timestamp_base
            # `rtp_timestamp`, written out: this is for every packet. (90 kHz is 9 for each 100 µs.)
            run.timestamps = [(base + offset_ns * 9 // 100_000) % RTP_MODULUS for offset_ns in run.offsets_ns]

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to leave."""
        return not self._runs and self._stuck is None

    def wants_more(self, now: int) -> bool:
        """Whether so little waits that the source should be asked for more."""
        if not self._runs:
            return True
        if self._runs[-1].offsets_ns is None:
            return len(self._runs) < BACKLOG_RUNS
        return self._last_offset_ns - self.stream_ns(now) < BACKLOG_NS

    def next_due_ns(self, now: int) -> int | None:
        """Return when `depart` has something to do, in monotonic ns; None while nothing waits."""
        if self._stuck is not None:
            return self._retry_ns
        if not self._runs:
            return None
        offsets_ns = self._runs[0].offsets_ns
        return now if offsets_ns is None else self._start_ns + offsets_ns[self._done]

    def end_ns(self) -> int:
        """Return when the last payload's time has come, so that BYE does not overtake it."""
        return self._start_ns + self._last_offset_ns + EARLY_NS

    def depart(self, now: int) -> None:
        """Seal and send what is due, a bounded number of batches; call again when `next_due_ns` says so.

        About 3 µs a batch beside sealing and the system call, on a quiet 2.5 GHz core.
        """
        if self._stuck is not None:
            self._offer(self._stuck, now)
        turns, runs = BATCHES_PER_TURN, self._runs
        while turns and runs and self._stuck is None:
            offsets_ns = runs[0].offsets_ns
            if offsets_ns is not None and self._start_ns + offsets_ns[self._done] > now + EARLY_NS:
                break
            self._depart_some(runs[0], now)
            turns -= 1
        self._departed(now)

    def _depart_some(self, run: Run, now: int) -> None:
        """Send one batch of a run, the first of whose payloads is due; seal more if need be."""
        first, offsets_ns = self._done, run.offsets_ns
        end = min(first + BATCH_PACKETS_MAX, len(run.payloads))
        if offsets_ns is not None:
            late_ns = now - self._start_ns - offsets_ns[first]
            if late_ns > BEHIND_NS_MAX:
                late_ns = self._catch_up(late_ns)
            until_ns = offsets_ns[first] + min(late_ns + EARLY_NS, BATCH_SPAN_NS)
            end = bisect_right(offsets_ns, until_ns, first + 1, end)
        if self._sealed is None or first >= self._sealed_end:
            self._seal(run, first, now)
        end = min(end, self._sealed_end)
        count = end - first
        self.sent += count
        self.on_time += count
        if offsets_ns is not None:
            self.late_ns_max = max(self.late_ns_max, late_ns)
            if late_ns > ON_TIME_NS:
                # The first of a batch is the latest of all; the last is early by a millisecond at most.
                in_time_ns = now - self._start_ns - ON_TIME_NS
                self.on_time -= bisect_left(offsets_ns, in_time_ns, first, first + count) - first
        batch = self._part(first, count)
        self._done = end
        if end == len(run.payloads):
            self._runs.popleft()
            self._done = self._sealed_end = 0
        self._tries = 0
        self._offer(batch, now)

    def _seal(self, run: Run, first: int, now: int) -> None:
        """Seal from a payload on: of a run with times `AHEAD_NS`, of a live one all that fits a batch."""
        end = min(first + BATCH_PACKETS_MAX, len(run.payloads))
        if run.offsets_ns is not None:
            end = bisect_right(run.offsets_ns, run.offsets_ns[first] + AHEAD_NS, first + 1, end)
        timestamps = run.timestamps
        self._sealed = self._session.seal_batch(
            run.payloads[first:end],
            self._present(end - first, now) if timestamps is None else timestamps[first:end],
            now,
            payload_type=self._payload_type if run.payload_type is None else run.payload_type,
            marker=run.marker,
            skipped=0 if first else run.skipped,
        )
        self._sealed_first, self._sealed_end = first, first + self._sealed.count

    def _part(self, first: int, count: int) -> SealedBatch:
        """Return some of the packets that are sealed, the first being that of payload `first`."""
        sealed = self._sealed
        if sealed is None:
            raise LocalError("nothing is sealed")
        if count == sealed.count:
            return sealed
        size = sealed.segment_bytes
        begin = (first - self._sealed_first) * size
        return SealedBatch(sealed.data[begin : begin + count * size], size, count)

    def flush(self, now: int) -> None:
        """Send at once what is sealed, before a stream ends in the middle: its packets are counted."""
        if self._stuck is None and self._runs and self._done < self._sealed_end:
            count = self._sealed_end - self._done
            batch = self._part(self._done, count)
            self._done = self._sealed_end
            self.sent += count
            self.on_time += count
            self._offer(batch, now)

    def _catch_up(self, late_ns: int) -> int:
        """Move the schedule to the present; return how late the first departure is now."""
        self._start_ns += late_ns
        self.late_ns_max = max(self.late_ns_max, late_ns)
        return 0

    def _present(self, count: int, now: int) -> list[int]:
        """Return the timestamps of live payloads that brought none: all have the present one."""
        return [rtp_timestamp(self.stream_ns(now), self._timestamp_base)] * count

    def _offer(self, batch: SealedBatch, now: int) -> None:
        """Give the socket a batch; keep what it does not take for a millisecond, and at last give it up."""
        self._stuck = None
        try:
            done = self._socket.send_train(batch.data, batch.segment_bytes)
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
