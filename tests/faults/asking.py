"""Owns those who ask the key server all the time, and the memory of every answer that they were given.

Devices ask for keys; one sender leases, publishes, has keys generated and reports, as fast as it is answered.
Whoever has an answer in hand may rely on it: `books` compares the memory with the database.
"""

import asyncio
import random
import threading
from dataclasses import dataclass, field
from typing import Self

from faults.site import Site
from sealcast.client import KeyServerClient
from sealcast.core.channel import Suite
from sealcast.core.errors import RefusedError, UnreachableError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.device.vault import Credential
from sealcast.keys.material import make_tek
from sealcast.messages import jose, operations
from sealcast.messages.answers import AirAnswer, Done, GeneratedKey, Grant, LeaseAnswer
from sealcast.messages.encoding import encode
from sealcast.messages.material import key_material
from sealcast.transport.system import SystemRandom

CLOSE_S = 0.2
"""TLS connections take a few turns of the loop to close."""

PAUSE_S = 0.02
"""Between two questions of one party: many are under way at any moment, and a core stays free."""


@dataclass
class Memory:
    """What was answered. Grants as (device, channel, epoch); epochs of the asking sender in four stages."""

    grants: set[tuple[str, int, int]] = field(default_factory=set)
    leased: dict[int, int] = field(default_factory=dict)
    published: dict[int, bytes] = field(default_factory=dict)
    generated: dict[int, bytes] = field(default_factory=dict)
    on_air: list[int] = field(default_factory=list)
    answers: int = 0
    silences: int = 0
    refusals: list[str] = field(default_factory=list)


class Askers:
    """Asks from a thread with an event loop of its own, from `with` to its end."""

    def __init__(self, site: Site, devices: list[str], channels: list[str], lab: str, seed: int) -> None:
        """`lab` is the channel whose sender does nothing but ask; nobody sends on it."""
        self.memory = Memory()
        self._devices = [site.credential(device) for device in devices]
        self._channels = [*channels, lab]
        self._sender = site.credential(site.channels[lab].studio)
        self._lab = site.channels[lab]
        self._random = random.Random(seed)  # noqa: S311 - chooses what to ask
        self._held: list[int] = []
        self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._ask())
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            self._error = error

    async def _ask(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for device in self._devices:
                    group.create_task(self._watch(device))
                group.create_task(self._lease_and_publish())
        finally:
            await asyncio.sleep(CLOSE_S)

    async def _watch(self, device: Credential) -> None:
        """Ask for the keys of a channel, over and over."""
        async with KeyServerClient(device, SystemRandom()) as client:
            while not self._over:
                channel = self._random.choice(self._channels)
                answer = await self._ask_once(client, operations.KEYS, Grant, channel=channel)
                if isinstance(answer, Grant):
                    for key in answer.keys:
                        key_id = KeyId.parse(key.material.key_id)
                        self.memory.grants.add((device.id, key_id.channel, key_id.epoch))
                await asyncio.sleep(PAUSE_S)

    async def _lease_and_publish(self) -> None:
        """Do as a sender does that is started anew for each epoch."""
        first_unused = 0
        async with KeyServerClient(self._sender, SystemRandom()) as client:
            while not self._over:
                first_unused = await self._one_epoch(client, first_unused)
                await asyncio.sleep(PAUSE_S)

    async def _one_epoch(self, client: KeyServerClient, first_unused: int) -> int:
        number = str(self._lab.number)
        lease = await self._ask_once(
            client, operations.LEASE, LeaseAnswer, channel=number, first_unused=first_unused, held=self._held
        )
        if not isinstance(lease, LeaseAnswer):
            return first_unused
        self._held = [slot.epoch for slot in lease.slots]
        for slot in lease.slots:
            assert self.memory.leased.setdefault(slot.epoch, slot.ssrc) == slot.ssrc
        epoch, ssrc = lease.slots[0].epoch, lease.slots[0].ssrc
        assert epoch >= first_unused
        if not await (self._publish(client, epoch) if epoch % 2 else self._generate(client, epoch)):
            return epoch + 1
        if await self._report(client, ssrc, epoch):
            self.memory.on_air.append(epoch)
        return epoch + 1

    async def _publish(self, client: KeyServerClient, epoch: int) -> bool:
        tek = make_tek(
            KeyId(ChannelNumber(self._lab.number), Epoch(epoch)), Suite.AES_128_GCM, SystemRandom()
        )
        sealed = jose.seal(
            encode(key_material(tek)), self._sender.server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
        )
        number = str(self._lab.number)
        done = await self._ask_once(
            client, operations.PUBLISH, Done, channel=number, epoch=epoch, sealed_key=sealed
        )
        if done is None:
            return False
        self.memory.published[epoch] = tek.key.reveal()
        return True

    async def _generate(self, client: KeyServerClient, epoch: int) -> bool:
        number = str(self._lab.number)
        made = await self._ask_once(client, operations.GENERATE, GeneratedKey, channel=number, epoch=epoch)
        if not isinstance(made, GeneratedKey):
            return False
        self.memory.generated[epoch] = made.material.key
        return True

    async def _report(self, client: KeyServerClient, ssrc: int, epoch: int) -> bool:
        done = await self._ask_once(
            client,
            operations.ON_AIR,
            AirAnswer,
            channel=str(self._lab.number),
            ssrc=ssrc,
            epoch=epoch,
            cause="start",
            remaining_ms=1_000,
            lifetime_ms=1_000,
            extended=False,
            roc=0,
            seq=1,
            totals=[],
        )
        return done is not None

    async def _ask_once(
        self, client: KeyServerClient, operation: operations.Operation, kind: type, **fields: object
    ) -> object | None:
        """Ask, and return the answer, or None if there was none or a no."""
        try:
            answer = await client.expect(operation, kind, **fields)
        except UnreachableError:
            self.memory.silences += 1
            return None
        except RefusedError as no:
            self.memory.refusals.append(f"{operation.name}: {no.type}: {no.detail}")
            return None
        self.memory.answers += 1
        return answer
