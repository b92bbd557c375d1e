"""Owns hot standby: a sender that watches a channel, and sends while the other one is silent (S1-7).

```
watching ──► nothing verified for `silent_ms` ──► sending, beside whoever is on air, under an SSRC of its own
    ▲                                                  │ another run is heard for a second
    └──────────────────── BYE ◄────────────────────────┘
```
It watches as a receiver does, with the keys that the key server shares with the channel's senders: a packet
that anybody could have made keeps nobody from taking over.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError, UnreachableError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock, Random
from sealcast.messages import operations
from sealcast.messages.answers import Shared
from sealcast.receiver.group import JoinedGroup
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import Slab
from sealcast.sender.departures import Departures
from sealcast.sender.reports import REPORT_ALONE_NS
from sealcast.sender.run import SendSettings, send
from sealcast.sender.run import Shared as SharedParts
from sealcast.sender.sources import Source
from sealcast.sender.status import SendStatus

SILENT_MS_DEFAULT = 2_000
"""Ten of a stream's SEAL packets; a stream that pauses for longer needs a longer time."""

BACK_NS = NS_PER_S
"""So long the other one is heard again before we stand back."""

RECENT_NS = NS_PER_S // 2
LOOK_S = 0.02
"""How often a watch looks at the time."""

HELD_OFF_NS = 60 * NS_PER_S
"""After standing back a takeover waits a little longer, by chance: two standbys would go on in step."""

log = structlog.get_logger("sealcast.gateway")


class Watch:
    """Listens to a channel as a receiver; knows which runs are heard."""

    def __init__(self, settings: SendSettings, client: KeyServerClient, clock: Clock, random: Random) -> None:
        self._settings, self._client, self._clock = settings, client, clock
        self._session = ReceiverSession(
            channel=settings.channel, reorder_ms=0, random=random, now=clock.monotonic_ns()
        )
        self._group = JoinedGroup(self._session, clock, reorder_ms=0, opened=_drop, advance=self._advance)
        self._asking: asyncio.Task[None] | None = None
        self.own: frozenset[int] = frozenset()
        """SSRCs of our own runs, which come back from the group."""
        self.last_ns = clock.monotonic_ns()
        """When another run was heard last; when the watch began, before that."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the block lasts. Raises RefusedError or UnreachableError if nobody says where."""
        await self._ask()
        try:
            yield
        finally:
            self._group.leave()
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)
            self._session.erase()

    def look(self) -> frozenset[int]:
        """Return the other runs that were heard within half a second; note the time if there are any."""
        now = self._clock.monotonic_ns()
        self._session.handle_timeout(now)
        self._advance(now)
        heard = self._session.heard(now, RECENT_NS) - self.own
        if heard or self._is_unknown(now):
            self.last_ns = now
        return heard

    def _is_unknown(self, now: int) -> bool:
        """Whether something is on the air that we hold no key to judge by: then it is not silence."""
        return self._session.state(now).key_id is None and now - self._group.heard_ns < RECENT_NS

    def _advance(self, now: int) -> None:
        self._session.poll_slabs(now)
        if self._asking is None and (request := self._session.poll_fetch(now)) is not None:
            self._asking = asyncio.get_running_loop().create_task(self._ask_again(list(request.held)))

    async def _ask(self, held: list[str] | None = None) -> None:
        answer = await self._client.expect(
            operations.SHARE, Shared, channel=self._settings.channel, held=held or []
        )
        self._session.handle_grant(answer.grant, self._clock.monotonic_ns())
        spec = self._session.spec
        if not self._group.is_joined and spec is not None:
            self._group.join(spec.group, spec.port, spec.source, self._settings.interface or spec.interface)

    async def _ask_again(self, held: list[str]) -> None:
        try:
            await self._ask(held)
        except (RefusedError, UnreachableError, RemoteError) as error:
            log.debug("no keys to watch with", reason=str(error))
            self._session.handle_fetch_failed(self._clock.monotonic_ns())
        finally:
            self._asking = None


async def stand_by(
    settings: SendSettings,
    open_source: Callable[[], Source],
    *,
    silent_ms: int,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    shared: SharedParts,
    observe: Callable[[SendStatus], None] | None = None,
) -> SendStatus | None:
    """Watch a channel and send whenever the other sender is silent, until our input ends or `stop`.

    Returns the status of the last run, None if there was none. Raises as `sender.run.send`.
    """
    status: SendStatus | None = None
    watch = Watch(settings, shared.client, clock, random)
    wait_ns = silent_ms * NS_PER_MS
    async with watch.listening():
        log.info("standing by", channel=settings.channel, silent_ms=silent_ms)
        stood_back_ns: int | None = None
        while not stop.is_set():
            now = clock.monotonic_ns()
            is_recent = stood_back_ns is not None and now - stood_back_ns < HELD_OFF_NS
            if not await _is_silent(
                watch, wait_ns + (random.below(wait_ns) if is_recent else 0), clock, stop
            ):
                break
            log.warning("the other sender is silent: taking over", channel=settings.channel)
            run = _Turn(settings, open_source, clock=clock, random=random, shared=shared, observe=observe)
            status = await run.until_back(watch, stop) or status
            if run.is_over:
                return status
            stood_back_ns = watch.last_ns = clock.monotonic_ns()
            log.info("the other sender is back: standing by", channel=settings.channel)
    return status


async def alone(
    settings: SendSettings,
    open_source: Callable[[], Source],
    *,
    silent_ms: int,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    observe: Callable[[SendStatus], None] | None = None,
) -> SendStatus | None:
    """Do as `stand_by` with a client and departures of its own."""
    async with contextlib.AsyncExitStack() as stack:
        client = KeyServerClient(settings.credential, random, settings.keep, choice=settings.servers)
        departures = Departures(clock)
        stack.callback(departures.close)
        shared = SharedParts(await stack.enter_async_context(client), departures, REPORT_ALONE_NS)
        if settings.attach is not None:
            settings.attach(client.use_credential)
        return await stand_by(
            settings,
            open_source,
            silent_ms=silent_ms,
            clock=clock,
            random=random,
            stop=stop,
            shared=shared,
            observe=observe,
        )


async def _is_silent(watch: Watch, wait_ns: int, clock: Clock, stop: asyncio.Event) -> bool:
    """Return True once nothing was heard for so long; False if we are told to stop before."""
    while not stop.is_set():
        watch.look()
        if clock.monotonic_ns() - watch.last_ns >= wait_ns:
            return True
        await asyncio.sleep(LOOK_S)
    return False


class _Turn:
    """One run of the standby on air. `is_over`: its input ended, or we were told to stop."""

    def __init__(
        self,
        settings: SendSettings,
        open_source: Callable[[], Source],
        *,
        clock: Clock,
        random: Random,
        shared: SharedParts,
        observe: Callable[[SendStatus], None] | None,
    ) -> None:
        self._settings, self._open_source = replace(settings, is_beside=True), open_source
        self._clock, self._random, self._shared, self._observe = clock, random, shared, observe
        self._ending = asyncio.Event()
        self._watch: Watch | None = None
        self.is_over = False

    async def until_back(self, watch: Watch, stop: asyncio.Event) -> SendStatus | None:
        """Send until another run is heard again; raises what ended the run, but for being overtaken."""
        self._watch = watch
        running = asyncio.ensure_future(self._send())
        try:
            since_ns: int | None = None
            while not running.done() and not stop.is_set():
                now = self._clock.monotonic_ns()
                since_ns = (since_ns or now) if watch.look() else None
                if since_ns is not None and now - since_ns >= BACK_NS:
                    break
                await asyncio.wait((running,), timeout=LOOK_S)
            self.is_over = running.done() or stop.is_set()
            self._ending.set()
            return await running
        except RefusedError as error:
            if error.type != "overtaken":
                raise
            self.is_over = False
            return None
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            return None  # It was told to stop before it had begun.
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _send(self) -> SendStatus:
        return await send(
            self._settings,
            self._open_source(),
            clock=self._clock,
            random=self._random,
            stop=self._ending,
            observe=self._note,
            shared=self._shared,
        )

    def _note(self, status: SendStatus) -> None:
        if self._watch is not None:
            self._watch.own |= {status.ssrc}
        if self._observe is not None:
            self._observe(status)


def _drop(slabs: list[Slab]) -> None:
    """Do nothing with what was opened: we only listen."""
    _ = slabs
