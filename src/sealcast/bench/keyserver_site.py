"""Owns what a measurement of key servers needs: a server process, channels on air, devices."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import psutil

from sealcast.client.keyserver import KeyServerClient
from sealcast.client.transfer import Transfer
from sealcast.core.errors import LocalError
from sealcast.core.ports import Random
from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import Credential
from sealcast.messages import jose, operations
from sealcast.messages.answers import LeaseAnswer
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import JTI_BYTES, KeyRequest, RegisteredKeys
from sealcast.server.state import create_server_state

OPERATOR = "Sealcast bench"
START_S_MAX = 60.0
"""A second or two; a machine that others keep busy takes longer."""

STOP_S_MAX = 6.0
POLL_S = 0.05
NONCE_PATH = "/v1/nonce"
SENDER = "studio"
LIFETIME_MS = 600_000


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device: its id and the key that signs its requests."""

    id: str
    signing: Jwk


class Program:
    """A program of ours that listens on a port of its own; `core` is where it runs."""

    def __init__(self, arguments: Sequence[str], folder: Path, port: int, core: int | None) -> None:
        """Start it; raises LocalError if nothing listens within `START_S_MAX`."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("SEALCAST_")}
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", *arguments],
                cwd=folder,
                env=surroundings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._watched = psutil.Process(self._process.pid)
        if core is not None:
            self._watched.cpu_affinity([core])
        self._log = folder / "log"
        self._wait_until_listening(port)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """Processor time that it took so far, user and system."""
        took = self._watched.cpu_times()
        return float(took.user + took.system)

    def stop(self) -> None:
        """End it, with SIGKILL if it takes longer than it should."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_listening(self, port: int) -> None:
        ends_s = time.monotonic() + START_S_MAX
        while time.monotonic() < ends_s and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return
            time.sleep(POLL_S)
        self.stop()
        raise LocalError(f"a server does not start: {self._log.read_text()[-2_000:]}")


class Site:
    """A key server with channels on air; devices are registered as they are wanted. Use it in a `with`."""

    def __init__(
        self, folder: Path, random: Random, wall_ns: int, *, channels: int, core: int | None
    ) -> None:
        """Make the state, start the server on `core`, add the channels and put each on air."""
        self._random = random
        self.port = free_port()
        self.folder = folder
        self.state = folder / "state"
        self.url = f"https://127.0.0.1:{self.port}"
        self._operator = create_server_state(
            self.state, operator_name=OPERATOR, hosts=(), urls=(self.url,), random=random, wall_ns=wall_ns
        )
        serve = ("sealcast.cli", "serve", "keyserver", "--state", str(self.state))
        where = ("--listen", f"127.0.0.1:{self.port}", "--events", "off")
        self.server = Program((*serve, *where, *self.arguments(wall_ns)), folder, self.port, core)
        self.channels = [f"bench-{number:02}" for number in range(channels)]
        self._slots: dict[str, dict[int, int]] = {}
        self._epoch = 1
        try:
            self._sender = asyncio.run(self._begin())
        except BaseException:
            self.server.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def arguments(self, wall_ns: int) -> tuple[str, ...]:
        """Return further arguments of the server, whose state is made by now."""
        _ = wall_ns
        return ()

    @property
    def random(self) -> Random:
        """Where its keys come from."""
        return self._random

    @property
    def epoch(self) -> int:
        """The epoch on air on every channel."""
        return self._epoch

    @property
    def ca_pem(self) -> str:
        """What everybody trusts."""
        return self._operator.ca_pem

    def register(self, kind: KeyKind, count: int) -> list[Device]:
        """Register devices of a kind, on the list of every channel: with secrets, or certificates."""
        return asyncio.run(self._register(kind, count))

    def turn(self) -> None:
        """Put the next epoch on air on every channel, and publish one more."""
        asyncio.run(self._turn())

    def requests(self, devices: Sequence[Device]) -> list[bytes]:
        """Return signed requests of each device for each channel, in an order that mixes them."""
        nonce = asyncio.run(self._fetch_nonce())
        made = []
        for step in range(len(self.channels)):
            for place, device in enumerate(devices):
                channel = self.channels[(place + step) % len(self.channels)]
                asked = KeyRequest(
                    aud=OPERATOR,
                    op=operations.KEYS.name,
                    jti=b64url_encode(self._random.bytes(JTI_BYTES)),
                    nonce=nonce,
                    channel=channel,
                )
                token = jose.sign(encode(asked), device.signing, kid=device.id, typ=jose.TYP_REQUEST)
                made.append(token.encode("ascii"))
        return made

    def grants(self) -> int:
        """Return how many grants are on disk."""
        with contextlib.closing(sqlite3.connect(self.state / "keyserver.sqlite")) as database:
            return int(database.execute("SELECT count(*) FROM grants").fetchone()[0])

    def _as(self, credential: Credential) -> KeyServerClient:
        return KeyServerClient(credential, self._random)

    async def _begin(self) -> Credential:
        signing, kek = new_keys(KeyKind.ED25519, self._random)
        keys = RegisteredKeys(signing=signing.public(), kek=kek.public())
        async with self._as(self._operator) as client:
            for place, name in enumerate(self.channels):
                data = ChannelData(name=name, group=f"239.192.7.{place + 1}", port=5004, keys="keyserver")
                await client.call(operations.CHANNEL_ADD, channel=data, senders=[])
            sealed = self._sealed(keys)
            await client.call(
                operations.REGISTRY_ADD, id=SENDER, role="sender", sealed_keys=sealed, channels=self.channels
            )
        sender = msgspec.structs.replace(self._operator, role="sender", id=SENDER, signing=signing, kek=kek)
        async with self._as(sender) as client:
            for name in self.channels:
                lease = await client.expect(operations.LEASE, LeaseAnswer, channel=name)
                self._slots[name] = {slot.epoch: slot.ssrc for slot in lease.slots}
                await client.call(operations.GENERATE, channel=name, epoch=1)
                await self._go_on(client, name)
        return sender

    async def _turn(self) -> None:
        self._epoch += 1
        async with self._as(self._sender) as client:
            for name in self.channels:
                await self._go_on(client, name)

    async def _go_on(self, client: KeyServerClient, channel: str) -> None:
        """Publish the next epoch of a channel, and put the present one on air."""
        await client.call(operations.GENERATE, channel=channel, epoch=self._epoch + 1)
        await client.call(
            operations.ON_AIR,
            channel=channel,
            ssrc=self._slots[channel][self._epoch],
            epoch=self._epoch,
            cause="start",
            remaining_ms=LIFETIME_MS,
            lifetime_ms=LIFETIME_MS,
            extended=False,
            roc=0,
            seq=0,
            totals=[],
        )

    async def _register(self, kind: KeyKind, count: int) -> list[Device]:
        parties = [(f"{kind.value}-{number:05}", *new_keys(kind, self._random)) for number in range(count)]
        async with self._as(self._operator) as client:
            for begin in range(0, count, 64):
                some = parties[begin : begin + 64]
                await asyncio.gather(*(self._register_one(client, *party) for party in some))
        return [Device(name, signing) for name, signing, _ in parties]

    async def _register_one(self, client: KeyServerClient, name: str, signing: Jwk, kek: Jwk) -> None:
        known: dict[str, object] = {"id": name, "role": "device", "channels": self.channels}
        if signing.kty == "oct":
            sealed = self._sealed(RegisteredKeys(signing=signing, kek=kek))
            await client.call(operations.REGISTRY_ADD, sealed_keys=sealed, **known)
        else:
            csr = make_csr(signing)
            await client.call(operations.CERTIFICATE_ISSUE, csr=csr, kek=kek.public(), **known)

    def _sealed(self, keys: RegisteredKeys) -> str:
        server = self._operator.server_kek
        return jose.seal(encode(keys), server, kid="keyserver", typ=jose.TYP_SEALED_KEY)

    async def _fetch_nonce(self) -> str:
        transfer = Transfer(self.ca_pem)
        try:
            reply = await transfer.get(self.url, NONCE_PATH)
        finally:
            await transfer.close()
        return reply.nonce or ""


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
