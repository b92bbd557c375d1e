"""Shows silence towards unsold devices on the wire: a TLS connection that ends, without a byte of HTTP."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from sealcast.messages import operations
from sealcast.messages.operation import Operation
from sealcast.server import silence
from sealcast.server.silence import SILENT_S, Silence
from server.newcomers import enrol, invite, keys_of, newcomer, rows
from server.running import Caller, Running, running
from server.test_selling import sell
from server.test_subscribing import open_channel, subscribe

LATE_S = 3.0
"""How much later than told an end may come on a machine that has other things to do."""


def over_http1(operation: Operation, body: bytes) -> bytes:
    """Return a request as HTTP/1.1 has it (RFC 9112)."""
    head = f"POST {operation.path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def converse(server: Running, sent: bytes) -> tuple[bytes, float]:
    """Send bytes over a TLS connection of its own; return all that came until its end, and after how long."""
    context = ssl.create_default_context(cadata=server.operator.credential.ca_pem)
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        began = time.monotonic()
        writer.write(sent)
        got = await asyncio.wait_for(reader.read(), SILENT_S + LATE_S)
        return got, time.monotonic() - began
    finally:
        writer.close()


async def unsold(caller: Caller, token: str, name: str) -> bytes:
    """Return the enrolment of a device that nobody sold."""
    await caller.fetch_nonce()
    return caller.token(operations.ENROL, token=token, id=name, **keys_of(caller)).encode()


def test_no_response_at_all(tmp_path: Path) -> None:
    """Enrolment and subscription: the connection ends in time, without a response.

    Everybody else is answered meanwhile, on other connections, and the refusal is decided and counted.
    """

    async def story() -> None:
        async with running(tmp_path, unsold="silent") as server:
            await open_channel(server)
            device = await server.register("TV-1", "device")
            await sell(server, "TV-2")
            await server.operator.must(operations.SOLD_REMOVE, serial="TV-1")
            before = open_descriptors()
            stranger, token = newcomer(server), await invite(server)
            enrolment = await unsold(stranger, token, "FAKE-1")
            await device.fetch_nonce()
            asked = device.token(operations.SUBSCRIBE, channel="news", user="Ada").encode()
            one, two, _ = await asyncio.gather(
                converse(server, over_http1(operations.ENROL, enrolment)),
                converse(server, over_http1(operations.SUBSCRIBE, asked)),
                _others_are_answered(server, token),
            )
            for got, took_s in (one, two):
                assert got == b""
                assert took_s > SILENT_S - 0.05
            listed = (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers
            assert [row.device for row in listed] == ["TV-3"]
            await _descriptors(before)
            # The device that was meant comes with the same invitation.
            assert (await enrol(stranger, token, id="TV-2")).status == 200

    asyncio.run(story())
    assert rows(tmp_path, "SELECT id FROM principals WHERE id LIKE 'FAKE%'") == []


async def _others_are_answered(server: Running, token: str) -> None:
    began = time.monotonic()
    reply = await enrol(newcomer(server), token[::-1], id="FAKE-2")
    assert (reply.status, reply.problem) == (403, "not-invited")
    sold = await server.register("TV-3", "device")
    assert (await subscribe(sold)).status == 200
    assert time.monotonic() - began < SILENT_S + LATE_S


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    return len([*Path("/dev/fd").iterdir()])


async def _descriptors(before: int) -> None:
    """Wait until the server has closed what was shut down."""
    for _ in range(100):
        if open_descriptors() <= before + 1:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("connections are left open")


def test_few_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all places taken, who comes now has the connection ended at once, without a response either."""
    monkeypatch.setattr(silence, "HELD_MAX", 0)
    monkeypatch.setattr(silence, "SILENT_S", 60.0)

    async def story() -> None:
        async with running(tmp_path, unsold="silent") as server:
            await sell(server, "TV-2")
            enrolment = await unsold(newcomer(server), await invite(server), "FAKE-1")
            sent = over_http1(operations.ENROL, enrolment)
            ends = await asyncio.gather(*(converse(server, sent) for _ in range(3)))
            assert [got for got, _ in ends] == [b""] * 3

    asyncio.run(story())


def test_places_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is taken for one silence: others do not wait meanwhile, and the next one does again."""
    monkeypatch.setattr(silence, "HELD_MAX", 1)
    monkeypatch.setattr(silence, "SILENT_S", 0.3)
    ended: list[str] = []

    async def story() -> None:
        quiet = Silence(is_on=True)

        async def one(name: str) -> None:
            scope = {"client": ("127.0.0.1", "1"), "server": ("127.0.0.1", "2")}
            await quiet.fall(scope, asyncio.get_running_loop().time())
            ended.append(name)

        await asyncio.gather(one("held"), one("second"), one("third"))
        await asyncio.gather(one("held again"), one("fourth"))

    asyncio.run(story())
    assert set(ended[:2]) == {"second", "third"}
    assert ended[2:] == ["held", "fourth", "held again"]
