"""The receiver's questions through real sockets: liars are not believed, and the truth is found."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import Framing
from sealcast.receiver.asking import SenderAsker
from sealcast.receiver.keyless import KeylessReader
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.asking import answering
from sealcast.sender.session import SenderSession
from sealcast.transport.system import SystemClock, SystemRandom
from sealcast.wire.asking import build_answer, parse_question
from sealcast.wire.seal import Seal
from simulation.parts import SIGNER, STRANGER, make_grant, make_receiver, make_sender, make_spec, on_air

SPEC = dataclasses.replace(make_spec(600_000), framing=Framing.RTP)
CLOCK = SystemClock()
WAIT_S = 20


class Liar(asyncio.DatagramProtocol):
    """Answers each question with lies, and from the third on with the truth behind them."""

    def __init__(self, sender: SenderSession) -> None:
        self.sender = sender
        self.questions = 0
        self.before: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send rubbish, the question itself, another's signature, and the answer to the question before."""
        self.questions += 1
        nonce, seal = parse_question(data).nonce, self.sender.told(CLOCK.monotonic_ns())
        assert seal is not None
        lie = dataclasses.replace(seal, seq=seal.seq ^ 1, remaining_ms=1)
        signed = build_answer(seal, nonce, SIGNER.sign)
        forged = signed[:-1] + bytes([signed[-1] ^ 1])
        for datagram in (b"rubbish", data, self._by(STRANGER, lie, nonce), forged, *self.before):
            self._transport.sendto(datagram, addr)
        self.before = [self._by(SIGNER, lie, nonce[::-1])]
        if self.questions >= 3:
            self._transport.sendto(signed, addr)

    @staticmethod
    def _by(signer: Ed25519PrivateKey, seal: Seal, nonce: bytes) -> bytes:
        return build_answer(seal, nonce, signer.sign)


async def until(fact: Callable[[], bool]) -> None:
    """Wait until a fact holds."""
    async with asyncio.timeout(WAIT_S):
        while not fact():  # noqa: ASYNC110 - facts of sockets, of which no event tells
            await asyncio.sleep(0.01)


def run_asker(
    port: int, work: Callable[[SenderSession, ReceiverSession, SenderAsker], Awaitable[None]]
) -> None:
    """Have a receiver that was granted a key ask at a port while `work` runs."""

    async def run() -> None:
        now = CLOCK.monotonic_ns()
        spec = dataclasses.replace(SPEC, ask=f"127.0.0.1:{port}")
        sender = make_sender(spec, now)
        tek = on_air(sender, now)
        receiver = make_receiver(now)
        assert receiver.poll_fetch(now) is not None
        grant = make_grant(spec, tek)
        receiver.handle_grant(grant, now)
        asker = SenderAsker(receiver, CLOCK, SystemRandom(), wake=lambda _: None)
        asker.note_grant(grant)
        try:
            await work(sender, receiver, asker)
        finally:
            asker.close()
            asker.note_grant(grant)

    asyncio.run(run())


def test_only_the_truth_is_believed(free_udp_port: int) -> None:
    """Lies from the right address change nothing but a counter; the question is repeated until the truth."""

    async def work(sender: SenderSession, receiver: ReceiverSession, asker: SenderAsker) -> None:
        place = ("127.0.0.1", free_udp_port)
        transport, liar = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Liar(sender), local_addr=place
        )
        reader = receiver.reader
        assert isinstance(reader, KeylessReader)
        try:
            await until(lambda: asker.refused >= 8)
            assert (asker.answered, reader.told) == (0, None)
            await until(lambda: asker.answered == 1)
        finally:
            transport.close()
        assert liar.questions == asker.asked == 3
        assert asker.refused == 4 + 5 + 5
        assert reader.told is not None
        told = sender.told(CLOCK.monotonic_ns())
        assert told is not None
        assert (reader.told[0].current, reader.told[0].seq) == (told.current, told.seq)

    run_asker(free_udp_port, work)


def test_a_sender_that_comes_late_is_found(free_udp_port: int) -> None:
    """Nobody listens at first: that is no error, and the sender's own endpoint answers once it is there."""

    async def work(sender: SenderSession, receiver: ReceiverSession, asker: SenderAsker) -> None:
        await until(lambda: asker.asked >= 2)
        spec = receiver.spec
        assert spec is not None
        async with answering(spec, sender.told, SIGNER.sign, CLOCK) as counts:
            await until(lambda: asker.answered == 1)
        assert counts.answered == 1
        reader = receiver.reader
        assert isinstance(reader, KeylessReader)
        assert reader.told is not None

    run_asker(free_udp_port, work)
