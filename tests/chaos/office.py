"""Owns the office: a program that registers channels, senders and many devices at once, as an operator may.

The argument is an `Order` in JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from chaos.records import Order, Watcher
from sealcast.client import KeyServerClient
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import Credential, load_vault, new_vault
from sealcast.messages import jose, operations
from sealcast.messages.answers import ChannelList, Done
from sealcast.messages.encoding import encode
from sealcast.messages.requests import RegisteredKeys, Role
from sealcast.transport.system import SystemRandom

AT_ONCE = 8


def new_party(operator: Credential, role: Role, name: str) -> Credential:
    """Make a party's keys: symmetric ones for a device."""
    kind = KeyKind.SYMMETRIC if role == "device" else KeyKind.ED25519
    signing, kek = new_keys(kind, SystemRandom())
    return msgspec.structs.replace(operator, role=role, id=name, signing=signing, kek=kek, certificates=None)


async def register(client: KeyServerClient, party: Credential, channels: list[str]) -> None:
    """Tell the key server of a party, and on which channels it is."""
    signing, kek = party.signing, party.kek
    if party.role != "device":
        signing, kek = signing.public(), kek.public()
    keys = encode(RegisteredKeys(signing=signing, kek=kek))
    sealed = jose.seal(keys, party.server_kek, kid=party.operator, typ=jose.TYP_SEALED_KEY)
    await client.expect(
        operations.REGISTRY_ADD, Done, id=party.id, role=party.role, sealed_keys=sealed, channels=channels
    )


async def set_up(operator: Credential, order: Order) -> tuple[list[Credential], list[Watcher]]:
    """Register everybody; return the senders, and the devices with what they watch."""
    studios = [new_party(operator, "sender", name) for name in order.studios]
    devices = [
        new_party(operator, "device", f"tv-{number:03}")
        for number in range(1, order.devices_each * len(order.homes) + 1)
    ]
    names = [channel.name for channel in order.channels]
    watchers = [Watcher(names[i % len(names)], device) for i, device in enumerate(devices)]
    turns = asyncio.Semaphore(AT_ONCE)
    async with KeyServerClient(operator, SystemRandom()) as client:
        for studio, channel in zip(studios, order.channels, strict=True):
            await register(client, studio, [])
            await client.expect(operations.CHANNEL_ADD, ChannelList, channel=channel, senders=[studio.id])

        async def one(watcher: Watcher) -> None:
            async with turns:
                await register(client, watcher.credential, [watcher.channel])

        await asyncio.gather(*map(one, watchers))
    return studios, watchers


def main() -> None:
    """Carry the order out."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    operator = msgspec.structs.replace(load_vault(Path(order.operator)), servers=order.servers)
    studios, watchers = asyncio.run(set_up(operator, order))
    for studio in studios:
        new_vault(Path(order.studios[studio.id]), studio, SystemRandom())
    new_vault(Path(order.desk), operator, SystemRandom())
    for number, file in enumerate(order.homes.values()):
        share = watchers[number * order.devices_each : (number + 1) * order.devices_each]
        Path(file).write_bytes(msgspec.json.encode(share))


if __name__ == "__main__":
    main()
