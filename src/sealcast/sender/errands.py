"""Owns carrying out a sender session's actions: key server calls and the durable slot file."""

import asyncio
from collections.abc import Callable

import structlog

from sealcast.client import KeyServerClient
from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import LocalError, RefusedError, RemoteError, UnreachableError
from sealcast.core.ids import Epoch, KeyId, Ssrc
from sealcast.core.ports import Clock
from sealcast.device.vault import Credential
from sealcast.keys.lease import RunSlot
from sealcast.keys.material import Tek
from sealcast.messages import jose, operations
from sealcast.messages.answers import AirAnswer, Done, GeneratedKey, KeyMaterial, LeaseAnswer, Shared
from sealcast.messages.encoding import encode
from sealcast.messages.material import key_material, read_key
from sealcast.messages.requests import EpochTotals
from sealcast.sender.actions import (
    Action,
    ConsumeSlot,
    GenerateKey,
    PublishKey,
    RenewLease,
    ReportAir,
    ShareKeys,
)
from sealcast.sender.session import SenderSession
from sealcast.sender.sharing import shared_keys
from sealcast.sender.slots import SlotStore

SERVER_FAULT_STATUS = 500
"""From this HTTP status on a no is no decision: the server is overloaded, or its disk is full."""

log = structlog.get_logger("sealcast.sender")


def slots_of(answer: LeaseAnswer) -> tuple[RunSlot, ...]:
    """Return the slots in a lease."""
    return tuple(RunSlot(Ssrc(slot.ssrc), Epoch(slot.epoch)) for slot in answer.slots)


class Errands:
    """Carries out actions, each in a task of its own, and brings the answers back to the session."""

    def __init__(
        self,
        *,
        session: SenderSession,
        spec: ChannelSpec,
        store: SlotStore,
        client: KeyServerClient,
        credential: Credential,
        clock: Clock,
        answered: Callable[[], None],
        overtaken: Callable[[], None],
    ) -> None:
        """`answered` is called after each answer, so that the session's outputs are polled again.

        `overtaken` is called when the key server says that another run of this channel is on air.
        """
        self._session = session
        self._spec = spec
        self._store = store
        self._client = client
        self._credential = credential
        self._clock = clock
        self._answered = answered
        self._overtaken = overtaken
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk = asyncio.Lock()
        self._fence_epoch: int | None = None

    def start(self, action: Action) -> None:
        """Begin to carry out an action."""
        task = asyncio.get_running_loop().create_task(self._carry_out(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, within_s: float) -> None:
        """Wait for what is under way, at most `within_s`, then give it up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            task.cancel()

    async def _carry_out(self, action: Action) -> None:
        try:
            await self._do(action)
        except (RefusedError, UnreachableError, RemoteError, LocalError) as error:
            if isinstance(error, RefusedError) and error.status < SERVER_FAULT_STATUS:
                log.warning("the key server refused", action=type(action).__name__, reason=error.detail)
                self._session.handle_refused(action, self._now())
            else:
                log.warning("not done, will try again", action=type(action).__name__, reason=str(error))
                if isinstance(error, RefusedError) and error.retry_after_s is not None:
                    # Under way until then, so that the session asks nothing of the kind meanwhile.
                    await asyncio.sleep(error.retry_after_s)
                self._session.handle_failed(action, self._now())
        self._answered()

    async def _do(self, action: Action) -> None:
        match action:
            case RenewLease():
                await self._renew(action)
            case PublishKey():
                await self._publish(action)
            case GenerateKey():
                await self._generate(action)
            case ConsumeSlot():
                await self._durably(lambda: self._store.consume(action.epoch))
                self._session.handle_consumed(action.epoch, self._now())
            case ReportAir():
                await self._report(action)
            case ShareKeys():
                answer = await self._client.expect(
                    operations.SHARE, Shared, channel=str(self._spec.number), ssrc=action.ssrc
                )
                self._session.handle_shared(shared_keys(answer, self._spec), self._now())

    async def _renew(self, action: RenewLease) -> None:
        answer = await self._client.expect(
            operations.LEASE,
            LeaseAnswer,
            channel=str(self._spec.number),
            first_unused=action.first_unused,
            held=self._store.held,
        )
        self._client.use_servers(answer.key_servers)
        slots = slots_of(answer)
        await self._durably(lambda: self._store.extend_lease(slots))
        self._session.handle_lease(slots, self._now())

    async def _publish(self, action: PublishKey) -> None:
        tek = action.tek
        sealed = jose.seal(
            encode(key_material(tek)), self._credential.server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
        )
        epoch = tek.key_id.epoch
        channel = str(self._spec.number)
        # Kept before the server has it: a key that receivers may fetch must survive our crash.
        await self._durably(lambda: self._store.remember_key(tek))
        await self._client.expect(operations.PUBLISH, Done, channel=channel, epoch=epoch, sealed_key=sealed)
        self._session.handle_published(epoch, self._now())

    async def _generate(self, action: GenerateKey) -> None:
        answer = await self._client.expect(
            operations.GENERATE, GeneratedKey, channel=str(self._spec.number), epoch=action.epoch
        )
        tek = _tek(answer.material, self._spec, action.epoch)
        await self._durably(lambda: self._store.remember_key(tek))
        self._session.handle_generated(tek, self._now())

    async def _report(self, action: ReportAir) -> None:
        totals = [
            EpochTotals(epoch=t.epoch, duration_ms=t.duration_ms, packets=t.packets, bytes=t.bytes)
            for t in action.totals
        ]
        answer = await self._client.expect(
            operations.ON_AIR,
            AirAnswer,
            channel=str(self._spec.number),
            ssrc=action.ssrc,
            epoch=action.epoch,
            cause=action.cause.value,
            remaining_ms=action.remaining_ms,
            lifetime_ms=action.lifetime_ms,
            extended=action.extended,
            roc=action.roc,
            seq=action.seq,
            totals=totals,
            ended=action.ended,
            shared=action.shared,
        )
        if answer.fence is not None and answer.fence.epoch != self._fence_epoch:
            self._fence_epoch = answer.fence.epoch
            log.info(
                "the key server orders a change: keys below its fence are skipped",
                fence=answer.fence.epoch,
                now=answer.fence.urgent,
            )
        self._session.handle_reported(action, self._now(), answer.fence)
        is_overtaken = answer.overtaken and action.epoch == self._session.state(self._now()).epoch
        if is_overtaken and not self._session.handle_overtaken(self._now()):
            self._overtaken()

    async def _durably(self, write: Callable[[], None]) -> None:
        """Write the slot file in a thread, one write at a time: a disk may be slow, the stream must not."""
        async with self._disk:
            await asyncio.to_thread(write)

    def _now(self) -> int:
        return self._clock.monotonic_ns()


def _tek(material: KeyMaterial, spec: ChannelSpec, epoch: Epoch) -> Tek:
    if material.key_id != str(KeyId(spec.number, epoch)) or material.suite != spec.suite.value:
        raise RemoteError(f"the key server made the key {material.key_id}, not that of epoch {epoch}")
    return read_key(material)
