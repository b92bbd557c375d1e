"""Owns a real key server for tests, in a task or a process, and callers made by hand from the messages."""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from sealcast.device.vault import Credential
from sealcast.messages import answers, jose, operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.jwk import Jwk, new_oct_key, new_sealing_pair, new_signing_pair
from sealcast.messages.operation import Operation
from sealcast.messages.problems import HEADER_CERTIFICATE, HEADER_NONCE, Problem, problem_name
from sealcast.messages.requests import RegisteredKeys, Role
from sealcast.messages.sealedanswers import open_answer
from sealcast.server.run import serve_keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import create_server_state
from sealcast.transport.system import SystemClock, SystemRandom
from storage.places import address

RANDOM = SystemRandom()
OPERATOR = "Example Operator"


@dataclass(frozen=True)
class Reply:
    """What came back: the problem's name or the opened answer, and the nonce for the next request.

    `certified_s` is how long the caller's certificate is still good for, if the answer says so.
    """

    status: int
    problem: str
    detail: str
    answer: Any
    nonce: str
    certified_s: int | None = None


@dataclass
class Caller:
    """A party that asks: signs by hand, opens what is sealed, keeps the nonce of the last answer."""

    credential: Credential
    url: str
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    nonce: str = ""
    escrow: str | None = None

    def token(self, operation: Operation, *, jti: str | None = None, **fields: Any) -> str:
        """Return a signed request; `fields` may also replace any of the four claims."""
        claims: dict[str, Any] = {
            "aud": self.credential.operator + (f"/{self.escrow}" if self.escrow else ""),
            "op": operation.name,
            "jti": jti or b64url_encode(RANDOM.bytes(16)),
            "nonce": self.nonce,
        }
        request = operation.request(**{**claims, **fields})
        return jose.sign(
            encode(request), self.credential.signing, kid=self.credential.id, typ=jose.TYP_REQUEST
        )

    async def fetch_nonce(self) -> None:
        """Take a fresh nonce."""
        async with self.session.get(f"{self.url}/v1/nonce", ssl=self.tls) as response:
            assert response.status == 204
            self.nonce = response.headers[HEADER_NONCE]

    async def post(self, operation: Operation, body: str | bytes) -> Reply:
        """Send a body as it is."""
        data = body.encode() if isinstance(body, str) else body
        headers = {"Content-Type": "application/jose"}
        async with self.session.post(
            self.url + operation.path, data=data, headers=headers, ssl=self.tls
        ) as response:
            content = await response.read()
            nonce = response.headers.get(HEADER_NONCE, "")
            remaining = response.headers.get(HEADER_CERTIFICATE)
            certified_s = int(remaining) if remaining is not None else None
            if response.status != 200:
                assert response.content_type == "application/problem+json"
                no = decode(content, Problem)
                assert no.status == response.status
                return Reply(response.status, problem_name(no.type), no.detail, None, nonce, certified_s)
            assert response.content_type == ("application/jose" if operation.sealed else "application/json")
        if operation.sealed:
            content = open_answer(content, self.credential.kek, server_key=self.credential.server_key)
        return Reply(200, "", "", decode(content, operation.answer), nonce, certified_s)

    def renamed(self, name: str, role: Role = "device") -> "Caller":
        """Return the side of the same keys under another name, as after enrolment."""
        return replace(self, credential=msgspec.structs.replace(self.credential, id=name, role=role))

    def sealed_keys(self) -> str:
        """Return its own two keys sealed to the server, as an enrolment carries them."""
        keys = RegisteredKeys(signing=self.credential.signing, kek=self.credential.kek)
        server_kek = self.credential.server_kek
        return jose.seal(encode(keys), server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY)

    async def ask(self, operation: Operation, **fields: Any) -> Reply:
        """Sign and send a request, under a nonce of this server."""
        if not self.nonce:
            await self.fetch_nonce()
        reply = await self.post(operation, self.token(operation, **fields))
        self.nonce = reply.nonce
        return reply

    async def must(self, operation: Operation, **fields: Any) -> Any:
        """Do as `ask` and return the answer; the server must say yes."""
        reply = await self.ask(operation, **fields)
        assert reply.status == 200, (reply.problem, reply.detail)
        return reply.answer


@dataclass
class Running:
    """A key server that runs, and its first operator."""

    directory: Path
    url: str
    operator: Caller
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def caller(self, credential: Credential) -> Caller:
        """Return another party's side."""
        return Caller(credential, self.url, self.operator.session, self.operator.tls)

    def newcomer(self, signing: Jwk, kek: Jwk) -> Caller:
        """Return the side of somebody whom the server does not know yet."""
        credential = msgspec.structs.replace(
            self.operator.credential, role="device", id=NEWCOMER, signing=signing, kek=kek
        )
        return self.caller(credential)

    async def register(
        self, name: str, role: Role, *, symmetric: bool | None = None, channels: Sequence[str] = ()
    ) -> Caller:
        """Register a device (symmetric unless told) or another party (key pairs) and return its side."""
        if symmetric is None:
            symmetric = role == "device"
        signing = new_oct_key(RANDOM) if symmetric else new_signing_pair(RANDOM)
        kek = new_oct_key(RANDOM) if symmetric else new_sealing_pair(RANDOM)
        sealed = self.sealed_keys(
            signing if symmetric else signing.public(), kek if symmetric else kek.public()
        )
        await self.operator.must(
            operations.REGISTRY_ADD, id=name, role=role, sealed_keys=sealed, channels=[*channels]
        )
        return self.caller(
            msgspec.structs.replace(self.operator.credential, role=role, id=name, signing=signing, kek=kek)
        )

    def sealed_keys(self, signing: Jwk, kek: Jwk) -> str:
        """Return keys sealed to the server, as a registration carries them."""
        keys = RegisteredKeys(signing=signing, kek=kek)
        return jose.seal(
            encode(keys), self.operator.credential.server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
        )

    async def add_channel(self, name: str, *, group: str = "239.1.2.3", port: int = 5004, **more: Any) -> Any:
        """Add a channel and return its row."""
        senders = more.pop("senders", [])
        data = ChannelData(name=name, group=group, port=port, **more)
        listed = await self.operator.must(operations.CHANNEL_ADD, channel=data, senders=senders)
        return listed.channels[0]

    async def publish(self, sender: Caller, channel: str, material: answers.KeyMaterial) -> Reply:
        """Publish a key as a sender does."""
        sealed = jose.seal(
            encode(material), sender.credential.server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
        )
        epoch = int(material.key_id[8:], 16)
        return await sender.ask(operations.PUBLISH, channel=channel, epoch=epoch, sealed_key=sealed)

    async def report(self, sender: Caller, channel: str, ssrc: int, epoch: int, **more: Any) -> Reply:
        """Report an epoch on air."""
        fields: dict[str, Any] = {
            "cause": "start",
            "remaining_ms": 600_000,
            "lifetime_ms": 600_000,
            "extended": False,
            "roc": 0,
            "seq": 100,
            "totals": [],
        }
        return await sender.ask(
            operations.ON_AIR, channel=channel, ssrc=ssrc, epoch=epoch, **{**fields, **more}
        )


def material(number: int, epoch: int, fill: int | None = None) -> answers.KeyMaterial:
    """Return a key for AES-128: random, or of one repeated byte."""
    key = RANDOM.bytes(16) if fill is None else bytes([fill]) * 16
    return answers.KeyMaterial(
        key_id=f"{number:08x}{epoch:08x}", suite="aes-128-gcm", key=key, salt=RANDOM.bytes(12)
    )


def free_port() -> int:
    """Return a TCP port that is free on the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_state(directory: Path, port: int) -> Credential:
    """Make a key server's state directory."""
    return create_server_state(
        directory,
        operator_name=OPERATOR,
        hosts=("127.0.0.1",),
        urls=(f"https://127.0.0.1:{port}",),
        random=RANDOM,
        wall_ns=SystemClock().wall_ns(),
    )


@contextlib.asynccontextmanager
async def running(
    directory: Path, credential: Credential | None = None, **more: Any
) -> AsyncIterator[Running]:
    """Run a key server in this process; with a `credential` over the state that belongs to it.

    `more` are settings of it.
    """
    port = free_port()
    credential = credential or make_state(directory, port)
    listening, stop = asyncio.Event(), asyncio.Event()
    more.setdefault("database", address(directory / "keyserver.sqlite", is_upgraded=True))
    settings = KeyserverSettings(directory, "127.0.0.1", port, urls=(f"https://127.0.0.1:{port}",), **more)
    serving = asyncio.create_task(
        serve_keyserver(
            settings, clock=SystemClock(), random=RANDOM, ready=lambda _: listening.set(), stop=stop
        )
    )
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        await serving
    async with client(credential, f"https://127.0.0.1:{port}") as operator:
        try:
            yield Running(directory, operator.url, operator, stop)
        finally:
            stop.set()
            await serving


@contextlib.asynccontextmanager
async def client(credential: Credential, url: str) -> AsyncIterator[Caller]:
    """Give the operator's side of a server that runs somewhere."""
    tls = ssl.create_default_context(cadata=credential.ca_pem)
    async with aiohttp.ClientSession() as session:
        yield Caller(credential, url, session, tls)


@contextlib.asynccontextmanager
async def process(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a key server in a process of its own; it listens when this gives it out."""
    program = Path(__file__).with_name("serve.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(directory), str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 30)
        assert line.startswith(b"https://"), line
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
