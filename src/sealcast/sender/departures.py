"""Owns the one timer of all streams that a process sends: whose packets are due next, and in what order.

An edge: it asks the event loop for one wake-up, however many streams there are.

```
turn:  pieces that are sealed and due, one system call each   (nothing else stands between them)
       streams that have no sealed pieces, or whose socket was full: live inputs, fast streams
       chores, until the next turn: sealing ahead, SEAL packets, asking sources for more
```
Everything stands in ticks of 0.13 ms, by the time from which on it may leave.
"""

import asyncio
import heapq
from collections import deque
from itertools import islice

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock
from sealcast.sender.pump import ON_TIME_NS, PlainSend, Pump
from sealcast.transport.wakeup import WakeUp

LINGER_NS = NS_PER_MS * 3 // 5
"""The timer waits so long beyond the first departure, and takes along what becomes due until then.

Of many streams that is many batches a wake-up, and a wake-up costs more than a batch. A piece may be due up
to 0.4 ms after its first packet: what is left of the 2 ms is for the way through the turn.
"""

TICK_BITS = 17
"""Streams due within the same 0.13 ms share a place, so that none is sorted by itself."""

TICK_NS = 1 << TICK_BITS

CHORE_NS = NS_PER_MS // 10
"""What sealing ahead or a SEAL packet takes: none is begun so shortly before a turn."""

TURNS_PER_CHORE = 8
"""Of so many departures one had its stream's last sealed piece: chores keep pace with them under any load."""


class _Stream:
    """What is known of one pump: where it or its pieces stand, who waits for it, and what went wrong."""

    __slots__ = ("failure", "has_chore", "piece_ticks", "pump", "tick", "waiting")

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.tick = -1
        self.piece_ticks: list[int] = []
        self.has_chore = False
        self.waiting: asyncio.Future[None] | None = None
        self.failure: Exception | None = None

    def wake(self) -> None:
        """Let whoever feeds the pump go on."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def fail(self, error: Exception) -> None:
        """End a stream whose pump failed: whoever feeds it gets the error."""
        self.failure = error
        self.wake()


_Piece = tuple[PlainSend, memoryview, _Stream, int, int, int, bool]
"""What sends it, its bytes, whose it is, when its first packet was due, how many packets it has, from which
payload on, and whether it is the last that was sealed."""


class Departures:
    """Has all streams depart when they are due, the longest overdue first; `close` it at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, _Stream] = {}
        self._ticks: dict[int, list[_Stream]] = {}
        self._pieces: dict[int, list[_Piece]] = {}
        self._order: list[int] = []
        """A heap of the ticks in which something stands."""
        self._chores: deque[_Stream] = deque()
        self._wake_up = WakeUp(self._loop, self._turn)
        self._wake_ns: int | None = None
        self._turn_ns = 0

    def close(self) -> None:
        """Let the timer go."""
        self._wake_up.close()

    async def feed(self, pump: Pump) -> None:
        """Have a pump that was fed depart in time; return when it wants more.

        Raises what went wrong when it departed.
        """
        stream = self._streams.get(id(pump)) or self._streams.setdefault(id(pump), _Stream(pump))
        now = self._clock.monotonic_ns()
        if stream.tick < 0:
            self._place(stream, pump.next_due_ns(now), now)
            self._set_wake_up(now)
        if pump.wants_more(now):
            # A source that never waits would leave no time for anything else.
            await asyncio.sleep(0)
            self._raise_failure(stream)
        else:
            await self._wait(stream)

    async def drain(self, pump: Pump) -> None:
        """Return when all that a pump was fed has left, and its time has come."""
        while not pump.is_idle:
            stream = self._streams.get(id(pump))
            if stream is None:
                raise LocalError("a pump is drained that was never fed, or was forgotten")
            await self._wait(stream)
        left_ns = pump.end_ns() - self._clock.monotonic_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / NS_PER_S)

    def forget(self, pump: Pump) -> None:
        """Let a pump go; what waits in it does not leave any more."""
        stream = self._streams.pop(id(pump), None)
        if stream is None:
            return
        if stream.tick >= 0:
            self._ticks[stream.tick].remove(stream)
        self._withdraw(stream)
        if stream.has_chore:
            self._chores.remove(stream)
        if stream.waiting is not None:
            stream.waiting.cancel()

    def _place(self, stream: _Stream, due_ns: int | None, now: int) -> None:
        """Put a stream's pieces where they stand, or, where it has none to hand over, the stream itself."""
        if due_ns is None:
            return
        handed = stream.pump.hand_over()
        if handed is None:
            # What is due already does not wait for others.
            self._stand(stream, due_ns if due_ns > now else now - LINGER_NS - TICK_NS)
            return
        send, start_ns, sealed = handed
        by_tick, ticks = self._pieces, stream.piece_ticks
        last = sealed[0]
        for part in reversed(sealed):
            offset_ns, ready_ns, data, count, first = part
            # Rounded up: when a tick begins, all in it are due.
            tick = -(-(start_ns + ready_ns) >> TICK_BITS)
            ticks.append(tick)
            piece = (send, data, stream, start_ns + offset_ns, count, first, part is last)
            if tick in by_tick:
                by_tick[tick].append(piece)
            else:
                by_tick[tick] = [piece]
                heapq.heappush(self._order, tick)

    def _stand(self, stream: _Stream, due_ns: int) -> None:
        stream.tick = tick = -(-due_ns >> TICK_BITS)
        if tick in self._ticks:
            self._ticks[tick].append(stream)
        else:
            self._ticks[tick] = [stream]
            heapq.heappush(self._order, tick)

    def _withdraw(self, stream: _Stream) -> None:
        """Give a pump back those of its pieces that have not left."""
        if not stream.piece_ticks:
            return
        left = 0
        for tick in stream.piece_ticks:
            pieces = self._pieces.get(tick, [])
            kept = [piece for piece in pieces if piece[2] is not stream]
            left += len(pieces) - len(kept)
            pieces[:] = kept
        stream.piece_ticks.clear()
        stream.pump.take_back(left)

    def _next_turn_ns(self) -> int | None:
        """Return when the next turn should begin; None while nothing waits."""
        if not self._order:
            return None
        # What the last turn took, the last streams of the next will be later than the first.
        return (self._order[0] << TICK_BITS) + max(0, LINGER_NS - self._turn_ns)

    def _set_wake_up(self, now: int) -> None:
        """Have the loop wake us for the next turn."""
        turn_ns = self._next_turn_ns()
        if turn_ns is None or (self._wake_ns is not None and self._wake_ns <= turn_ns):
            return
        self._wake_ns = turn_ns
        self._wake_up.set(turn_ns - now)

    def _turn(self) -> None:
        """Let everything that is due depart, then do chores while there is time."""
        self._wake_ns = None
        begun_ns = now = self._clock.monotonic_ns()
        until, order, count = now >> TICK_BITS, self._order, 0
        streams: list[_Stream] = []
        left: list[tuple[list[_Piece], int]] = []
        while order and order[0] <= until:
            tick = heapq.heappop(order)
            streams += self._ticks.pop(tick, ())
            pieces = self._pieces.pop(tick, None)
            if pieces:
                self._send(pieces)
                left.append((pieces, self._clock.monotonic_ns()))
        for pieces, left_ns in left:
            count += len(pieces)
            self._count(pieces, left_ns)
        for stream in streams:
            stream.tick = -1
            self._depart(stream, self._clock.monotonic_ns())
        self._turn_ns = self._clock.monotonic_ns() - begun_ns
        self._do_chores(1 + count // TURNS_PER_CHORE + len(streams))
        self._set_wake_up(self._clock.monotonic_ns())

    def _send(self, pieces: list[_Piece]) -> None:
        """Send the pieces of a tick, one straight after the other; those that failed are taken out."""
        at = 0
        while at < len(pieces):
            try:
                for send, data, _, _, _, _, _ in islice(pieces, at, None):
                    send(data)
                    at += 1
            except OSError:
                self._resend(pieces.pop(at))

    def _count(self, pieces: list[_Piece], now: int) -> None:
        """Count what had left by then."""
        for _, _, stream, due_ns, count, first, is_last in pieces:
            pump, late_ns = stream.pump, now - due_ns
            pump.sent += count
            if late_ns <= ON_TIME_NS:
                pump.on_time += count
            else:
                pump.on_time += pump.count_on_time(late_ns, first, count)
            if late_ns > pump.late_ns_max:  # noqa: PLR1730 - `max` takes longer, for every piece
                pump.late_ns_max = late_ns
            if is_last:
                stream.piece_ticks.clear()
                pump.take_back(0)
                self._note_chore(stream)

    def _resend(self, piece: _Piece) -> None:
        """Send with more care what did not leave, and have its pump do so with all behind it."""
        _, data, stream, due_ns, count, first, _ = piece
        now = self._clock.monotonic_ns()
        self._withdraw(stream)
        try:
            next_ns = stream.pump.resend(data, due_ns, count, first, now)
        except Exception as error:  # noqa: BLE001 - it ends that stream and no other
            stream.fail(error)
            return
        if next_ns is not None:
            # Not before the next turn: this one goes through all that is due.
            self._stand(stream, max(next_ns, now + TICK_NS))
        self._note_chore(stream)

    def _depart(self, stream: _Stream, now: int) -> None:
        """Have a pump send by itself what is due."""
        try:
            due_ns = stream.pump.depart(now)
        except Exception as error:  # noqa: BLE001 - it ends that stream and no other
            stream.fail(error)
            return
        self._place(stream, due_ns, now)
        self._note_chore(stream)

    def _note_chore(self, stream: _Stream) -> None:
        if stream.pump.wants_attention and not stream.has_chore:
            stream.has_chore = True
            self._chores.append(stream)

    def _do_chores(self, least: int) -> None:
        """Attend to streams until the next turn, and to so many at least, that none is forgotten."""
        turn_ns = self._next_turn_ns()
        while self._chores:
            now = self._clock.monotonic_ns()
            if least <= 0 and turn_ns is not None and now >= turn_ns - CHORE_NS:
                return
            least -= 1
            stream = self._chores.popleft()
            stream.has_chore = False
            try:
                stream.pump.attend(now)
            except Exception as error:  # noqa: BLE001 - it ends that stream and no other
                stream.fail(error)
                continue
            if stream.tick < 0 and not stream.piece_ticks:
                self._place(stream, stream.pump.next_due_ns(now), now)
            if stream.waiting is not None and stream.pump.wants_more(now):
                stream.wake()

    async def _wait(self, stream: _Stream) -> None:
        """Return when the pump was attended to and wants more; raises what went wrong."""
        if stream.failure is None:
            stream.waiting = self._loop.create_future()
            await stream.waiting
        self._raise_failure(stream)

    def _raise_failure(self, stream: _Stream) -> None:
        error, stream.failure = stream.failure, None
        if error is not None:
            raise error
