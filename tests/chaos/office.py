"""Owns the office: a program that registers many devices at once, as an operator's own system would.

Arguments: the operator's vault, and for each host of receivers `FILE:FIRST:COUNT:CHANNEL,CHANNEL…`. Devices
watch the channels in turn; each file takes the list of `Watcher` in JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from chaos.records import Watcher
from sealcast.client import KeyServerClient
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import Credential, load_vault
from sealcast.messages import jose, operations
from sealcast.messages.answers import Done
from sealcast.messages.encoding import encode
from sealcast.messages.requests import RegisteredKeys
from sealcast.transport.system import SystemRandom

AT_ONCE = 8


def device_name(number: int) -> str:
    """Return the serial number of a device."""
    return f"tv-{number:03}"


async def register(client: KeyServerClient, operator: Credential, number: int, channel: str) -> Watcher:
    """Make a device's secrets and register it on a channel's list."""
    signing, kek = new_keys(KeyKind.SYMMETRIC, SystemRandom())
    device = msgspec.structs.replace(
        operator, role="device", id=device_name(number), signing=signing, kek=kek, certificates=None
    )
    sealed = jose.seal(
        encode(RegisteredKeys(signing=signing, kek=kek)),
        operator.server_kek,
        kid=operator.operator,
        typ=jose.TYP_SEALED_KEY,
    )
    await client.expect(
        operations.REGISTRY_ADD, Done, id=device.id, role="device", sealed_keys=sealed, channels=[channel]
    )
    return Watcher(channel, device)


async def fill(operator: Credential, order: str) -> None:
    """Register the devices of one host and write its file."""
    file, first, count, channels = order.split(":")
    names = channels.split(",")
    turns = asyncio.Semaphore(AT_ONCE)
    async with KeyServerClient(operator, SystemRandom()) as client:

        async def one(number: int) -> Watcher:
            async with turns:
                return await register(client, operator, number, names[number % len(names)])

        watchers = await asyncio.gather(*map(one, range(int(first), int(first) + int(count))))
    Path(file).write_bytes(msgspec.json.encode(watchers))


async def main() -> None:
    """Carry out all orders."""
    operator = load_vault(Path(sys.argv[1]))
    for order in sys.argv[2:]:
        await fill(operator, order)


if __name__ == "__main__":
    asyncio.run(main())
