"""Shows how newcomers become parties: once, in time, under their own keys, and how parties cease to be."""

import asyncio
from pathlib import Path
from typing import Any

from sealcast.messages import operations
from sealcast.messages.enrolment import NEWCOMER, Enrolled, new_token, token_hash
from sealcast.messages.jwk import new_oct_key
from server.running import RANDOM, Caller, Reply, Running, running


async def invite(server: Running, **fields: Any) -> str:
    """Invite somebody and return the token."""
    token = new_token(RANDOM)
    await server.operator.must(operations.INVITE, token_hash=token_hash(token), **fields)
    return token


async def enrol(newcomer: Caller, token: str, **fields: Any) -> Reply:
    """Enrol as a device with symmetric secrets does."""
    sealed = newcomer.sealed_keys()
    return await newcomer.ask(operations.ENROL, token=token, sealed_keys=sealed, **fields)


def test_a_device_enrols_and_gets_keys(tmp_path: Path) -> None:
    """Secrets sealed to the server under an invitation make a device that is subscribed and served."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            token = await invite(server, channels=["news"])
            newcomer = server.newcomer(new_oct_key(RANDOM), new_oct_key(RANDOM))
            reply = await enrol(newcomer, token)
            assert (reply.status, reply.problem) == (200, ""), reply.detail
            answer: Enrolled = reply.answer
            assert (answer.role, answer.channels, answer.certificates) == ("device", ["news"], None)
            assert answer.id.startswith("device-")
            device = newcomer.renamed(answer.id)
            assert (await device.must(operations.KEYS, channel="news")).channel.name == "news"
            assert newcomer.credential.id == NEWCOMER

    asyncio.run(story())
