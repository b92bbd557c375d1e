"""Owns the socket through which a receiver asks the sender, and the timer of its questions."""

import asyncio
from typing import Protocol

import structlog

from sealcast.core.channel import Framing
from sealcast.core.errors import RemoteError, UsageError
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.messages.answers import Grant
from sealcast.receiver.keyless import KeylessReader, Wish
from sealcast.receiver.questions import QuestionPlanner
from sealcast.receiver.session import ReceiverSession
from sealcast.transport.address import parse_endpoint

OPEN_S = 10.0
"""How long the sender's name may take to be found; then it is looked for again."""

OPEN_AGAIN_S = 5.0

log = structlog.get_logger("sealcast.receiver")


class Wake(Protocol):
    """Has the run carry out what its session wants now."""

    def __call__(self, now: int) -> None:
        """Take the time in monotonic ns."""
        ...


class SenderAsker:
    """One run's questions: `note_grant` after each grant, `advance` after all that came, then `close`."""

    def __init__(self, session: ReceiverSession, clock: Clock, random: Random, wake: Wake) -> None:
        """`wake` is called when an answer was taken."""
        self._session, self._clock, self._random, self._wake = session, clock, random, wake
        self._planner: QuestionPlanner | None = None
        self._spread_ms = 0
        self._opening: asyncio.Task[None] | None = None
        self._socket: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._is_closed = False
        self._told_ns: int | None = None
        self.asked = 0
        """Questions sent."""
        self.answered = 0
        """Answers taken."""
        self.refused = 0
        """Datagrams that were no answers of the sender to us."""

    def note_grant(self, grant: Grant) -> None:
        """Go by what a grant that the session took says of the channel and its senders."""
        spec = self._session.spec
        if spec is None or spec.framing is Framing.KEYED or spec.ask is None or self._is_closed:
            return
        now = self._clock.monotonic_ns()
        if self._planner is None:
            self._planner = QuestionPlanner(spec.number, self._random, now)
            self._opening = asyncio.get_running_loop().create_task(self._open(spec.ask))
        self._spread_ms = max(0, grant.spread_ms)
        self._planner.set_senders([sender.key.raw_public() for sender in grant.senders])
        self.advance(now)

    def advance(self, now: int) -> None:
        """Ask if it is time, after the session took packets or a control packet; set the timer."""
        planner, reader = self._planner, self._session.reader
        if planner is None or self._is_closed or not isinstance(reader, KeylessReader):
            return
        if reader.told is not None and reader.told[1] != self._told_ns:
            seal, self._told_ns = reader.told
            planner.note_told(seal, self._told_ns, is_answer=False)
        wish = reader.pop_wish()
        if wish is not None:
            planner.want(now, self._spread_ms if wish is Wish.FITS_NOTHING else None)
        if self._socket is None:
            return
        if (question := planner.poll(now)) is not None:
            self.asked += 1
            self._socket.sendto(question)
        self._set_timer(planner.next_timeout(), now)

    def close(self) -> None:
        """Close the socket; nothing is asked any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None:
            self._opening.cancel()
        if self._socket is not None:
            self._socket.close()
            log.info("questions", asked=self.asked, answered=self.answered, refused=self.refused)
        self._socket = None

    def take(self, data: bytes) -> None:
        """Take a datagram that came from where we ask."""
        if self._planner is None or self._is_closed:
            return
        now = self._clock.monotonic_ns()
        try:
            seal = self._planner.take(data, now)
        except RemoteError:
            self.refused += 1
            return
        self.answered += 1
        self._session.handle_told(seal, now)
        self._told_ns = now
        self._planner.note_told(seal, now, is_answer=True)
        self._wake(now)
        self.advance(now)

    async def _open(self, ask: str) -> None:
        """Open the socket, however often the name has to be looked up; then ask."""
        loop = asyncio.get_running_loop()
        while self._socket is None:
            try:
                place = parse_endpoint(ask)
                async with asyncio.timeout(OPEN_S):
                    transport, _ = await loop.create_datagram_endpoint(
                        lambda: _Answers(self), remote_addr=(place.host, place.port)
                    )
            except (OSError, UsageError) as error:
                log.warning("the sender cannot be asked", place=ask, reason=str(error))
                await asyncio.sleep(OPEN_AGAIN_S)
                continue
            self._socket = transport
        self.advance(self._clock.monotonic_ns())

    def _set_timer(self, due_ns: int | None, now: int) -> None:
        if self._timer is not None:
            if due_ns == self._timer_ns:
                return
            self._timer.cancel()
            self._timer = None
        if due_ns is not None:
            self._timer_ns = due_ns
            delay_s = max(0, due_ns - now) / NS_PER_S
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.advance(self._clock.monotonic_ns())


class _Answers(asyncio.DatagramProtocol):
    """Hands over what comes back; that nobody listens there yet is no error."""

    def __init__(self, asker: SenderAsker) -> None:
        self._asker = asker

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take an answer, or what is none."""
        del addr
        self._asker.take(data)

    def error_received(self, exc: Exception) -> None:
        """Go on: the question is repeated."""
