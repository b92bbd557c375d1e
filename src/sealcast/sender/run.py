"""Owns the loop of a sender: source, socket, timers and errands around one `SenderSession`."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.client import Choice, KeyServerClient, Use
from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import LocalError, RefusedError, UnreachableError
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock, Random
from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.answers import LeaseAnswer
from sealcast.messages.channels import channel_spec
from sealcast.messages.scrambling import SCRAMBLE_WARNING
from sealcast.messages.subscribing import Event
from sealcast.sender.asking import answering
from sealcast.sender.coming import SILENCE_NS
from sealcast.sender.departures import Departures
from sealcast.sender.errands import Errands, slots_of
from sealcast.sender.keyless import check_source
from sealcast.sender.pump import Pump
from sealcast.sender.questions import QuestionCounts
from sealcast.sender.reports import REPORT_ALONE_NS, REPORT_NS
from sealcast.sender.runs import Run
from sealcast.sender.session import SenderSession
from sealcast.sender.slots import SlotStore
from sealcast.sender.sources import Source
from sealcast.sender.stage import Stage, Staged
from sealcast.sender.status import SendStatus, status_of
from sealcast.sender.udpsource import UdpSource
from sealcast.transport.address import format_place
from sealcast.transport.interfaces import InterfaceChoice, choose_interface
from sealcast.transport.multicast import MulticastSender, open_sender

OBSERVE_S = 0.5
ON_AIR_WAIT_S = 30.0
"""A sender that has no key by then says so and ends: no key server makes or takes one."""

BYE_SPACING_S = 0.02
LAST_REPORT_S = 2.0

Result = TypeVar("Result")

log = structlog.get_logger("sealcast.sender")


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What a sender is told. `seconds` ends it after so much of the stream; `first_seq` is for tests.

    `is_beside`: it sends beside other runs of the channel, under their keys, where there are any.

    `keep` takes the credential when its certificates were renewed; `attach` is given the way to hand over one
    that was read anew. `servers` is how to choose among several key servers; a word of theirs holds for
    `silence_s`.
    """

    credential: Credential
    channel: str
    state_directory: Path
    interface: str | None = None
    ttl: int = 16
    seconds: float | None = None
    first_seq: int | None = None
    is_beside: bool = False
    keep: Callable[[Credential], None] | None = None
    attach: Callable[[Use], None] | None = None
    servers: Choice = Choice.LISTED
    silence_s: float = SILENCE_NS / NS_PER_S


@dataclass(frozen=True, slots=True)
class Shared:
    """What the channels of one process share: the client, which is open, and the departures.

    Each reports every `report_ns` at least while it hears no events.
    """

    client: KeyServerClient
    departures: Departures
    report_ns: int = REPORT_NS


async def send(
    settings: SendSettings,
    source: Source,
    *,
    clock: Clock,
    random: Random,
    stop: asyncio.Event,
    observe: Callable[[SendStatus], None] | None = None,
    shared: Shared | None = None,
) -> SendStatus:
    """Send until the source ends, `seconds` or `stop`; return the summary.

    Raises UsageError (input, interface, state folder), UnreachableError (no key server and no run slot
    left) and RefusedError (unknown channel, not this sender's, or another run sends it). `observe` is called
    twice a second, and once when the run is over. Without `shared` this run has its own client.
    """
    store = SlotStore(settings.state_directory, settings.credential, settings.channel)
    try:
        await _unless_told(stop, source.start())
        store.open()
        async with contextlib.AsyncExitStack() as stack:
            if shared is None:
                client = KeyServerClient(settings.credential, random, settings.keep, choice=settings.servers)
                departures = Departures(clock)
                stack.callback(departures.close)
                shared = Shared(await stack.enter_async_context(client), departures, REPORT_ALONE_NS)
            if settings.attach is not None:
                settings.attach(shared.client.use_credential)
            addresses = await _unless_told(stop, _lease(settings, store, shared.client))
            run = _SenderRun(
                settings=settings,
                source=source,
                store=store,
                shared=shared,
                addresses=addresses,
                clock=clock,
                random=random,
            )
            try:
                async with run.answering():
                    return await run.until(stop, observe)
            finally:
                run.close()
    finally:
        source.close()
        store.close()


async def _unless_told(stop: asyncio.Event, work: Coroutine[None, None, Result]) -> Result:
    """Return what `work` gives; raises CancelledError if `stop` is set before: nothing was begun yet."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise asyncio.CancelledError
        return working.result()
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Where key servers answer, and where they push events."""

    servers: list[str]
    events: list[str]


async def _lease(settings: SendSettings, store: SlotStore, client: KeyServerClient) -> _Addresses:
    """Get run slots from the key server, or make do with those kept; return the operator's addresses."""
    try:
        answer = await client.expect(
            operations.LEASE,
            LeaseAnswer,
            channel=settings.channel,
            first_unused=store.first_unused,
            held=store.held,
        )
    except UnreachableError as error:
        if store.spec is None or not store.lease.slots:
            raise UnreachableError(f"{error} (and no run slot is left to start without it)") from error
        log.warning("starting without key server", slots=len(store.lease.slots), reason=str(error))
        return _Addresses(list(settings.credential.servers), [])
    store.take_lease(channel_spec(answer.channel), slots_of(answer), answer.published)
    return _Addresses(answer.key_servers or list(settings.credential.servers), answer.events)


class _SenderRun:
    """One run: holds the sockets and the session."""

    def __init__(
        self,
        *,
        settings: SendSettings,
        source: Source,
        store: SlotStore,
        shared: Shared,
        addresses: _Addresses,
        clock: Clock,
        random: Random,
    ) -> None:
        spec = store.spec
        if spec is None:
            raise LocalError("a run needs a lease")
        check_source(spec, source.payload_type)
        self._settings, self._source, self._clock, self._spec = settings, source, clock, spec
        self._loop = asyncio.get_running_loop()
        self._choice = choose_interface(spec.group, settings.interface or spec.interface)
        self._data = _open(spec, spec.port, self._choice, settings.ttl)
        self._control = _open(spec, spec.control_port, self._choice, settings.ttl)
        self._sign = Ed25519PrivateKey.from_private_bytes(settings.credential.signing.raw_private()).sign
        self._session = SenderSession(
            spec=spec,
            lease=store.lease,
            known=store.known,
            sign=self._sign,
            key_servers=addresses.servers,
            random=random,
            now=clock.monotonic_ns(),
            first_seq=settings.first_seq,
            report_ns=shared.report_ns,
            silence_ns=int(settings.silence_s * NS_PER_S),
            is_beside=settings.is_beside,
        )
        shared.client.use_servers(addresses.servers)
        self._feed, self._departures = shared.client.events, shared.departures
        self._unfollow = self._feed.follow(spec.number, addresses.events, self._take_event)
        self._errands = Errands(
            session=self._session,
            spec=spec,
            store=store,
            client=shared.client,
            credential=settings.credential,
            clock=clock,
            answered=self._advance,
            overtaken=self._note_overtaken,
        )
        self._pump = Pump(
            self._session,
            self._data,
            random=random,
            payload_type=source.payload_type,
            departed=lambda now: self._send_control(self._session.poll_control(now)),
        )
        if isinstance(source, Staged):
            source.take_stage(Stage(self._session, self._pump, self._departures, clock, self._advance))
        self._timer: asyncio.TimerHandle | None = None
        self._on_air = asyncio.Event()
        self._extended = self._is_overtaken = False
        self._epoch: Epoch | None = None

    def answering(self) -> contextlib.AbstractAsyncContextManager[QuestionCounts]:
        """Answer receivers' questions while the block lasts, if the channel has an endpoint for them."""
        return answering(self._spec, self._session.told, self._sign, self._clock)

    async def until(self, stop: asyncio.Event, observe: Callable[[SendStatus], None] | None) -> SendStatus:
        """Run to the end."""
        log.info("sending", channel=self._spec.name, group=self._spec.group, interface=str(self._choice))
        if self._spec.patterns is not None:
            log.warning(SCRAMBLE_WARNING, channel=self._spec.name)
        if isinstance(self._source, UdpSource):
            log.info("live input", place=self._source.place)
            if (advice := self._source.buffer_advice()) is not None:
                log.warning(advice)
        self._advance()
        media = self._loop.create_task(self._send_media())
        stopping = self._loop.create_task(stop.wait())
        try:
            while not (media.done() or stopping.done() or self._is_overtaken):
                await asyncio.wait((media, stopping), timeout=OBSERVE_S, return_when=asyncio.FIRST_COMPLETED)
                if observe is not None:
                    observe(self._status())
            if self._is_overtaken:
                raise RefusedError(
                    "overtaken",
                    f"another run sends channel {self._spec.name} under later keys, so this one has ended;"
                    " only one may send a channel at a time",
                )
            reason = media.result() if media.done() else "stopped"
        finally:
            media.cancel()
            stopping.cancel()
            self._departures.forget(self._pump)
            self._pump.flush(self._clock.monotonic_ns())
            await self._end()
            if observe is not None:
                observe(self._status())
        return replace(self._status(), ended_by=reason)

    def close(self) -> None:
        """Close the sockets."""
        self._unfollow()
        if self._timer is not None:
            self._timer.cancel()
        self._data.close()
        self._control.close()

    async def _send_media(self) -> str:
        try:
            async with asyncio.timeout(ON_AIR_WAIT_S):
                await self._on_air.wait()
        except TimeoutError as error:
            raise UnreachableError("no key server has made or taken a key; nothing was sent") from error
        self._pump.start(self._clock.monotonic_ns())
        async for run in self._source:
            kept = self._within_time(run)
            self._pump.feed(kept)
            await self._departures.feed(self._pump)
            if len(kept) < len(run):
                break
        else:
            await self._departures.drain(self._pump)
            return "end of input"
        await self._departures.drain(self._pump)
        return "time over"

    def _within_time(self, run: Run) -> Run:
        if self._settings.seconds is None:
            return run
        limit_ns = int(self._settings.seconds * NS_PER_S)
        if run.offsets_ns is None and self._pump.stream_ns(self._clock.monotonic_ns()) >= limit_ns:
            return Run([])
        return run.until(limit_ns)

    def _advance(self) -> None:
        """Carry out what the session wants, and set the timer."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock.monotonic_ns()
        self._session.handle_listening(is_listening=self._feed.hears(self._spec.number))
        while (action := self._session.poll_action(now)) is not None:
            self._errands.start(action)
        self._send_control(self._session.poll_control(now))
        if self._session.is_on_air and not self._on_air.is_set():
            self._on_air.set()
        self._note_changes(now)
        delay_ns = max(NS_PER_MS, self._session.next_timeout(now) - now)
        self._timer = self._loop.call_later(delay_ns / NS_PER_S, self._advance)

    def _take_event(self, event: Event) -> None:
        """Report at once when the key server says that it has an order for us."""
        if event.kind == "fence":
            self._session.handle_hint(self._clock.monotonic_ns())
            self._advance()

    def _send_control(self, packets: list[bytes]) -> None:
        if not packets:
            return
        try:
            self._control.send_batch(packets)
        except UnreachableError as error:
            log.warning(str(error))

    def _note_changes(self, now: int) -> None:
        """Log what an operator wants to know of the keys."""
        state = self._session.state(now)
        if state.epoch != self._epoch:
            log.info("on air", epoch=state.epoch, ssrc=self._session.ssrc)
            self._epoch = state.epoch
        if state.extended and not self._extended:
            log.warning("epoch extended: the next key is not at the key server yet", epoch=state.epoch)
        elif self._extended and not state.extended:
            log.info("no longer extended", epoch=state.epoch)
        self._extended = state.extended

    def _note_overtaken(self) -> None:
        self._is_overtaken = True

    async def _end(self) -> None:
        """Say BYE three times, and hand in the last report; one that was overtaken leaves without a word."""
        if self._is_overtaken:
            await self._errands.finish(0)
            return
        for packet in self._session.end(self._clock.monotonic_ns()):
            self._send_control([packet])
            await asyncio.sleep(BYE_SPACING_S)
        self._advance()
        await self._errands.finish(LAST_REPORT_S)

    def _status(self) -> SendStatus:
        return status_of(
            self._session,
            self._pump,
            self._source,
            self._clock.monotonic_ns(),
            channel=self._spec.name,
            group=format_place(self._spec.group, self._spec.port),
            interface=self._choice.interface.name,
        )


def _open(spec: ChannelSpec, port: int, choice: InterfaceChoice, ttl: int) -> MulticastSender:
    source = spec.source if spec.source in choice.interface.addresses(spec.group) else None
    return open_sender(spec.group, port, choice.interface, ttl, source=source)
