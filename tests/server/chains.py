"""Owns a chain's side for tests of the key server: keys as a sender makes them, on a channel on air."""

from typing import Any

from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keys.material import Tek
from sealcast.keys.schedule import ChainSchedule
from sealcast.messages import operations
from sealcast.messages.answers import FenceOrder, Grant
from sealcast.messages.material import key_material, read_key
from server.running import RANDOM, Caller, Reply, Running

FRESH_EPOCHS = 6
"""T2 / T1 of the channel: an hour and ten minutes."""


class Chain:
    """A channel `news` whose keys follow from each other, its sender, and all keys that were made."""

    def __init__(self, server: Running, number: int, sender: Caller, ssrc: int) -> None:
        self.server, self.number, self.sender, self.ssrc = server, number, sender, ssrc
        self.teks: dict[int, Tek] = {}
        self._schedule = ChainSchedule(Suite.AES_128_GCM, RANDOM, fresh_epochs=FRESH_EPOCHS)

    @classmethod
    async def at(cls, server: Running, *, is_on_air: bool = True) -> "Chain":
        """Add the channel; with epoch 1 on air and 2, which follows from it, published, unless told."""
        row = await server.add_channel("news", schedule="chain", fresh_every_ms=FRESH_EPOCHS * 600_000)
        sender = await server.register("studio", "sender", channels=["news"])
        lease = await sender.must(operations.LEASE, channel="news")
        chain = cls(server, row.channel.number, sender, lease.slots[0].ssrc)
        if is_on_air:
            await chain.publish(1)
            await chain.report(1)
            await chain.publish(2, follows=1)
        return chain

    def key_id(self, epoch: int) -> KeyId:
        """Return the key ID of an epoch."""
        return KeyId(ChannelNumber(self.number), Epoch(epoch))

    def make(self, epoch: int, follows: int | None = None) -> Tek:
        """Make the key of an epoch, a fresh start unless it follows from another; it is not kept."""
        before = None if follows is None else self.teks[follows]
        return self._schedule.make(self.key_id(epoch), before, is_fresh=follows is None).tek

    async def offer(self, tek: Tek) -> Reply:
        """Publish a key, and keep it if it was taken."""
        reply = await self.server.publish(self.sender, "news", key_material(tek))
        if reply.status == 200:
            self.teks[tek.key_id.epoch] = tek
        return reply

    async def publish(self, epoch: int, follows: int | None = None) -> Tek:
        """Make and publish a key that must be taken."""
        tek = self.make(epoch, follows)
        reply = await self.offer(tek)
        assert reply.status == 200, (reply.problem, reply.detail)
        return tek

    async def report(self, epoch: int, **more: Any) -> FenceOrder | None:
        """Report an epoch on air; return the order that comes back."""
        reply = await self.server.report(self.sender, "news", self.ssrc, epoch, **more)
        assert reply.status == 200, reply.detail
        order: FenceOrder | None = reply.answer.fence
        return order

    async def device(self, name: str) -> Caller:
        """Register a device that may receive the channel."""
        return await self.server.register(name, "device", channels=["news"])

    def held(self, *epochs: int) -> list[str]:
        """Return what a device says that it holds."""
        return [str(self.key_id(epoch)) for epoch in epochs]


async def keys_of(device: Caller, *held: str) -> Grant:
    """Return the grant that a device gets, which says that it holds some keys."""
    grant: Grant = await device.must(operations.KEYS, channel="news", held=[*held])
    return grant


def read(grant: Grant, *before: Tek) -> list[Tek]:
    """Return the keys of a grant as a device reads them that holds those before."""
    known = {str(tek.key_id): tek for tek in before}
    found = []
    for each in grant.keys:
        tek = read_key(each.material, known.get(each.material.follows))
        known[each.material.key_id] = tek
        found.append(tek)
    return found
