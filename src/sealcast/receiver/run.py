"""Owns the loop of a receiver: its group, timers and key requests around one `ReceiverSession`."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError, SealcastError, UnreachableError
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.messages.scrambling import SCRAMBLE_WARNING
from sealcast.receiver.asking import SenderAsker
from sealcast.receiver.attendance import Attendance
from sealcast.receiver.fetch import REFUSED_RETRY_NS, SERVER_FAULT_STATUS
from sealcast.receiver.group import JoinedGroup
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.settings import ReceiveSettings
from sealcast.receiver.sinks import Sink, SinkClosed
from sealcast.receiver.status import ReceiveStatus, status_of
from sealcast.receiver.stopping import ReceptionEnd
from sealcast.receiver.values import FetchRequest, Slab
from sealcast.transport.address import Endpoint

OBSERVE_S = 0.5
STRAY_CHANNELS_MAX = 5
"""How often a stream may name a channel that the key server does not know before we believe it."""

log = structlog.get_logger("sealcast.receiver")


async def receive(
    settings: ReceiveSettings,
    sink: Sink,
    *,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    observe: Callable[[ReceiveStatus], None] | None = None,
    client: KeyServerClient | None = None,
) -> ReceiveStatus:
    """Receive until BYE, `idle_exit_s`, `stop` or the sink's end; return the summary.

    Raises UsageError (interface, group), UnreachableError (no key server at first contact), RefusedError
    (the key server said no, and nothing opens). `observe` is called twice a second, and once when the run is
    over. A `client` that is open already serves several channels of one device. However it ends, short of
    being cancelled, the group is left and then the key server told, which takes up to `STOP_S_MAX`.
    """
    async with contextlib.AsyncExitStack() as stack:
        if client is None:
            own = KeyServerClient(
                settings.credential, random, settings.keep, settings.keys, choice=settings.servers
            )
            client = await stack.enter_async_context(own)
        if settings.attach is not None:
            settings.attach(client.use_credential)
        run = _ReceiverRun(settings, sink, client, clock, random)
        try:
            summary = await run.until(stop, observe)
        except SealcastError:
            await run.end()
            raise
        else:
            return replace(summary, reception=await run.end())
        finally:
            run.close()


class _ReceiverRun:
    """One run: holds the group and the session, and ends through `_finish`."""

    def __init__(
        self, settings: ReceiveSettings, sink: Sink, client: KeyServerClient, clock: Clock, random: Random
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._client = client
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        now = clock.monotonic_ns()
        channel = settings.target if isinstance(settings.target, str) else None
        self._session = ReceiverSession(
            channel=channel, reorder_ms=settings.reorder_ms, random=random, now=now
        )
        self._group = JoinedGroup(
            self._session,
            clock,
            reorder_ms=settings.reorder_ms,
            opened=self._put_out,
            advance=self._advance,
        )
        self._granted = False
        self._has_output = True
        self._strays = 0
        self._hints_taken: tuple[str, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._fetching: asyncio.Task[None] | None = None
        self._done: asyncio.Future[str] = self._loop.create_future()
        self._asker = SenderAsker(self._session, clock, random, wake=self._advance)
        self._attendance = Attendance(
            client, self._session, clock, random, wake=self._advance, refused=self._on_unwelcome
        )

    async def until(
        self, stop: asyncio.Event, observe: Callable[[ReceiveStatus], None] | None
    ) -> ReceiveStatus:
        """Run to the end."""
        if isinstance(target := self._settings.target, Endpoint):
            self._group.join(target.host, target.port, target.source, self._settings.interface)
        self._on_timer()
        stopping = self._loop.create_task(stop.wait())
        try:
            while not self._done.done():
                await asyncio.wait(
                    (self._done, stopping), timeout=OBSERVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping.done():
                    self._stop()
                self._check_idle()
                if observe is not None:
                    observe(self._status())
            return replace(self._status(), ended_by=self._done.result())
        finally:
            stopping.cancel()
            if observe is not None:
                observe(self._status())

    async def end(self) -> ReceptionEnd | None:
        """Leave the group, then tell the key server so, if it ever permitted us."""
        self._done.cancel()
        self._leave()
        return await self._attendance.leave([self._fetching])

    def close(self) -> None:
        """Leave the group, end the request under way, erase the keys."""
        self._leave()
        self._attendance.close()
        if self._fetching is not None:
            self._fetching.cancel()
        self._session.erase()

    def _leave(self) -> None:
        self._asker.close()
        if self._timer is not None:
            self._timer.cancel()
        self._group.leave()

    # The session

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock.monotonic_ns()
        self._session.handle_timeout(now)
        self._advance(now)

    def _advance(self, now: int) -> None:
        """Carry out what the session wants, and set the timer."""
        if self._done.done():
            return
        self._asker.advance(now)
        self._write(self._session.poll_slabs(now))
        if self._fetching is None and (request := self._session.poll_fetch(now)) is not None:
            self._fetching = self._loop.create_task(self._fetch(request))
        if self._session.is_over(now):
            self._finish("bye")
        due_ns = self._session.next_timeout()
        if due_ns is not None and (self._timer is None or due_ns < self._timer_ns):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_ns = due_ns
            self._timer = self._loop.call_later(max(0, due_ns - now) / NS_PER_S, self._on_timer)

    def _put_out(self, slabs: list[Slab]) -> None:
        if not self._done.done():
            self._write(slabs)

    def _write(self, slabs: list[Slab]) -> None:
        if not slabs:
            return
        try:
            self._sink.write(slabs)
        except SinkClosed as closed:
            self._has_output = False
            self._finish(closed.reason)
        except SealcastError as error:
            self._fail(error)

    def _finish(self, reason: str) -> None:
        if self._done.done():
            return
        self._done.set_result(reason)
        if self._has_output:
            rest = self._session.drain(self._clock.monotonic_ns())
            self._write([Slab(payload, len(payload)) for payload in rest])

    def _stop(self) -> None:
        """End because we are told to, with all that has arrived."""
        if not self._done.done():
            self._group.take_waiting()
        self._finish("stopped")

    def _fail(self, error: SealcastError) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _check_idle(self) -> None:
        idle_exit_s = self._settings.idle_exit_s
        if (
            idle_exit_s is not None
            and self._clock.monotonic_ns() - self._group.heard_ns > idle_exit_s * NS_PER_S
        ):
            self._finish("idle")

    # Key requests

    async def _fetch(self, request: FetchRequest) -> None:
        try:
            grant = await self._client.expect(
                operations.KEYS,
                Grant,
                channel=request.channel,
                key_id=request.key_id,
                held=list(request.held),
            )
            self._take_grant(grant)
            if request.is_short(key.material.key_id for key in grant.keys):
                # It may be cut off from where keys come from, and another one not.
                self._client.pass_over()
        except RefusedError as error:
            self._on_refused(error)
        except (UnreachableError, RemoteError) as error:
            self._on_no_answer(error)
        except SealcastError as error:
            self._fail(error)
        finally:
            self._fetching = None
            self._advance(self._clock.monotonic_ns())

    def _take_grant(self, grant: Grant) -> None:
        target = self._settings.target
        place = grant.channel.group, grant.channel.port
        if isinstance(target, Endpoint) and place != (target.host, target.port):
            raise RefusedError(
                "unknown-channel", f"the stream at {target} is not channel {grant.channel.name}"
            )
        now = self._clock.monotonic_ns()
        self._session.handle_grant(grant, now)
        self._attendance.note_grant(grant, now)
        if self._done.done():
            return  # Too late to join, but not to say that we do not.
        self._client.use_servers(grant.key_servers)
        spec = self._session.spec
        if not self._granted and spec is not None and spec.patterns is not None:
            log.warning(SCRAMBLE_WARNING, channel=spec.name)
        if not self._granted and self._settings.learned is not None and spec is not None:
            self._settings.learned(spec)
        self._granted = True
        log.info("granted", channel=grant.channel.name, keys=[key.material.key_id for key in grant.keys])
        if not self._group.is_joined and spec is not None:
            self._group.join(spec.group, spec.port, spec.source, self._settings.interface)
        self._asker.note_grant(grant)

    def _on_refused(self, error: RefusedError) -> None:
        """End with the key server's reason, unless told to wait or something still opens."""
        now = self._clock.monotonic_ns()
        is_stray = isinstance(self._settings.target, Endpoint) and error.type == "unknown-channel"
        if is_stray and not self._granted and self._strays < STRAY_CHANNELS_MAX:
            # The channel's number came from an unverified packet: a forged one must not end us.
            self._strays += 1
            self._session.forget_channel()
            self._session.handle_fetch_failed(now, NS_PER_S)
            return
        if self._is_end(error, now):
            self._fail(error)
            return
        log.warning("refused", reason=error.detail, type=error.type)
        retry_ns = REFUSED_RETRY_NS if error.retry_after_s is None else int(error.retry_after_s * NS_PER_S)
        self._session.handle_fetch_failed(now, retry_ns)

    def _on_unwelcome(self, error: RefusedError) -> None:
        """Take the no to a heartbeat as one to a key request: keys held open until they change."""
        if self._is_end(error, self._clock.monotonic_ns()):
            self._fail(error)

    def _is_end(self, error: RefusedError, now: int) -> bool:
        is_fault = error.status >= SERVER_FAULT_STATUS
        opens_still = self._granted and (is_fault or self._session.opened_since(now))
        return not self._settings.wait and not opens_still

    def _on_no_answer(self, error: SealcastError) -> None:
        """End if this is the first contact and we are not told to wait; else ask again later."""
        has_hint = self._take_hint()
        if not self._granted and not self._settings.wait and not has_hint:
            self._fail(error)
            return
        log.warning("no grant", reason=str(error))
        self._session.handle_fetch_failed(self._clock.monotonic_ns())

    def _take_hint(self) -> bool:
        """Add the key servers that the stream names to ours (S1-5); False if there is nothing new.

        Whoever answers must show a certificate of our operator, so a forged hint costs a few tries.
        """
        hinted = self._session.hinted_servers
        if hinted == self._hints_taken:
            return False
        self._hints_taken = hinted
        self._client.use_hints(hinted)
        return True

    # The summary

    def _status(self) -> ReceiveStatus:
        return status_of(
            self._session,
            self._clock.monotonic_ns(),
            target=self._settings.target,
            interface=self._group.interface,
            joined_ns=self._group.joined_ns,
            kernel_drops=self._group.drops(),
        )
