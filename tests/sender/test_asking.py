"""The sender's endpoint for questions, through real sockets on loopback."""

import asyncio
import dataclasses
import socket

import pytest

from sealcast.core.channel import Framing
from sealcast.core.errors import UsageError
from sealcast.sender.asking import answering
from sealcast.transport.system import SystemClock
from sealcast.wire.asking import Question, build_question, parse_answer, verify_answer
from sealcast.wire.seal import Seal
from simulation.parts import SIGNER, make_sender, make_spec, serve

SPEC = dataclasses.replace(make_spec(600_000), framing=Framing.RTP)
WAIT_S = 10


def on_air_seal(now: int) -> Seal | None:
    """Return what a sender on air would say."""
    session = make_sender(SPEC, now)
    serve(session, now)
    return session.told(now)


async def exchange(place: tuple[str, int], datagrams: list[bytes], expected: int) -> list[bytes]:
    """Send datagrams and return the first answers."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(place)
        for datagram in datagrams:
            await loop.sock_sendall(sock, datagram)
        async with asyncio.timeout(WAIT_S):
            return [await loop.sock_recv(sock, 4_096) for _ in range(expected)]


def test_questions_are_answered_over_udp(free_udp_port: int) -> None:
    """Rubbish and another's question bring nothing; a good one brings one signed answer with its nonce."""

    async def run() -> None:
        spec = dataclasses.replace(SPEC, ask=f"127.0.0.1:{free_udp_port}")
        good = build_question(Question(spec.number, b"n" * 16))
        sent = [b"", b"rubbish" * 100, good[:-1], good]
        async with answering(spec, on_air_seal, SIGNER.sign, SystemClock()) as counts:
            (answer,) = await exchange(("127.0.0.1", free_udp_port), sent, 1)
        assert parse_answer(answer).nonce == b"n" * 16
        assert verify_answer(parse_answer(answer), SIGNER.public_key()).current.channel == spec.number
        assert (counts.answered, counts.refused) == (1, 3)

    asyncio.run(run())


def test_the_port_is_free_when_the_block_has_ended(free_udp_port: int) -> None:
    """An endpoint ends with its run, so that the next run opens it again."""

    async def run() -> None:
        spec = dataclasses.replace(SPEC, ask=f"localhost:{free_udp_port}")
        for _ in range(2):
            async with answering(spec, on_air_seal, SIGNER.sign, SystemClock()):
                pass
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ("198.51.100.7:9000", "this host has no such address"),
        ("no-such-host.invalid:9000", "cannot answer receivers' questions at no-such-host.invalid:9000"),
    ],
)
def test_a_place_that_cannot_be_listened_at_is_one_clear_line(ask: str, reason: str) -> None:
    """An address of another host, or a name that is unknown, ends the run before it is on air."""

    async def run() -> None:
        spec = dataclasses.replace(SPEC, ask=ask)
        async with answering(spec, on_air_seal, SIGNER.sign, SystemClock()):
            pass

    with pytest.raises(UsageError, match=reason) as raised:
        asyncio.run(run())
    assert "\n" not in str(raised.value)


def test_a_port_in_use_is_one_clear_line(free_udp_port: int) -> None:
    """Two channels need two ports."""

    async def run() -> None:
        spec = dataclasses.replace(SPEC, ask=f"127.0.0.1:{free_udp_port}")
        async with (
            answering(spec, on_air_seal, SIGNER.sign, SystemClock()),
            answering(spec, on_air_seal, SIGNER.sign, SystemClock()),
        ):
            pass

    with pytest.raises(UsageError, match="the port is in use by another program"):
        asyncio.run(run())


def test_a_channel_without_an_endpoint_opens_none() -> None:
    """The block runs, and nothing listens."""

    async def run() -> None:
        async with answering(SPEC, on_air_seal, SIGNER.sign, SystemClock()) as counts:
            assert counts.answered == 0

    asyncio.run(run())
