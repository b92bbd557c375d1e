"""Owns what a run says to the key server beside its key requests, and hears: heartbeats, the stop, events."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError, SealcastError, UnreachableError
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.messages.subscribing import Event, HeartbeatAnswer
from sealcast.receiver.presence import Presence, sign_of
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.stopping import STOP_S_MAX, ReceptionEnd, stop_reception

SETTLE_S = 0.5
"""What is under way at the end is waited for so long: a heartbeat after the stop would begin a reception."""

REPORT_S = 0.05
"""Linux reports a leave to the router two to three ticks later, 10 to 30 ms: the stop notice waits for it."""

log = structlog.get_logger("sealcast.receiver")


class Attendance:
    """One run's. Calling order: `note_grant` after each grant, `leave` once the group is left, `close`."""

    def __init__(
        self,
        client: KeyServerClient,
        session: ReceiverSession,
        clock: Clock,
        random: Random,
        *,
        wake: Callable[[int], None],
        refused: Callable[[RefusedError], None],
    ) -> None:
        """`wake` has the session asked what it wants now; `refused` takes the key server's no."""
        self._client, self._session, self._clock = client, session, clock
        self._wake, self._refused = wake, refused
        self._presence = Presence(random)
        self._channel: int | None = None
        self._addresses: tuple[str, ...] = ()
        self._unfollow: Callable[[], None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._reason = ""
        self._has_left = False
        self.answered = 0
        """Heartbeats that the key server answered."""

    def note_grant(self, grant: Grant, now: int) -> None:
        """Go by what a grant that the session took says of heartbeats and events."""
        self._channel = grant.channel.number
        if self._has_left:
            return
        self._presence.handle_grant(grant.heartbeat_ms, now)
        self._moved.set()
        if self._presence.next_timeout() is not None and (self._beating is None or self._beating.done()):
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        addresses = tuple(grant.events)
        if addresses != self._addresses:
            self._stop_following()
            self._addresses = addresses
            self._unfollow = self._client.events.follow(
                grant.channel.number, addresses, self._take_event, spread_ms=grant.spread_ms
            )

    async def leave(self, under_way: Iterable[asyncio.Task[None] | None]) -> ReceptionEnd | None:
        """End the reception at the key server, within `STOP_S_MAX`; None if it never permitted one.

        `under_way` are questions that might begin a reception if they came after the stop.
        """
        began_ns = self._clock.monotonic_ns()
        self._stop_following()
        tasks = [task for task in under_way if task is not None]
        if self._beating is not None and self._presence.is_under_way:
            tasks.append(self._beating)
        self._has_left = True
        self._moved.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SETTLE_S)
            for task in late:
                task.cancel()
        if self._channel is None:
            return None
        await asyncio.sleep(REPORT_S)
        left_s = STOP_S_MAX - (self._clock.monotonic_ns() - began_ns) / NS_PER_S
        sign = sign_of(self._session, self._clock.monotonic_ns())
        return await stop_reception(self._client, str(self._channel), sign, left_s)

    def close(self) -> None:
        """End what runs beside the run."""
        self._stop_following()
        if self._beating is not None:
            self._beating.cancel()

    async def _beat(self) -> None:
        """Send heartbeats for as long as any is due."""
        while not self._has_left and (due_ns := self._presence.next_timeout()) is not None:
            self._moved.clear()
            wait_s = max(0, due_ns - self._clock.monotonic_ns()) / NS_PER_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._moved.wait()
            if not self._has_left and self._presence.poll(self._clock.monotonic_ns()):
                await self._send()

    async def _send(self) -> None:
        """Send one heartbeat, and note what came of it."""
        sign = sign_of(self._session, self._clock.monotonic_ns())
        try:
            async with asyncio.timeout(self._presence.every_ns / NS_PER_S):
                answer = await self._client.expect(
                    operations.HEARTBEAT,
                    HeartbeatAnswer,
                    channel=str(self._channel),
                    key_id=sign.key_id,
                    packets=sign.packets,
                )
        except RefusedError as error:
            wait_ns = None if error.retry_after_s is None else int(error.retry_after_s * NS_PER_S)
            self._presence.handle_failure(self._clock.monotonic_ns(), wait_ns)
            if error.type != self._reason:
                # One line, not one for each heartbeat.
                self._reason = error.type
                log.warning("the key server refuses us", reason=error.detail, type=error.type)
            self._refused(error)
        except (TimeoutError, UnreachableError, RemoteError) as error:
            self._presence.handle_failure(self._clock.monotonic_ns())
            log.info("no answer to a heartbeat", reason=_reason(error), missed=self._presence.missed)
        else:
            self._reason = ""
            self.answered += 1
            self._presence.handle_answer(answer.every_ms, self._clock.monotonic_ns())

    def _take_event(self, event: Event) -> None:
        now = self._clock.monotonic_ns()
        if self._session.notices.handle(event, now):
            log.info("told", kind=event.kind, next=event.key_id, within_ms=event.closes_in_ms)
            self._wake(now)

    def _stop_following(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        self._addresses = ()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SealcastError) else "not in time"
