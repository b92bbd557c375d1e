"""Owns a whole key server in this process without a network: its application is called as ASGI has it."""

import asyncio
import atexit
import functools
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import Credential
from sealcast.keyserver.calls import Principal
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.operation import Operation
from sealcast.messages.problems import HEADER_NONCE, Problem, problem_name
from sealcast.messages.requests import Role
from sealcast.messages.sealedanswers import open_answer
from sealcast.reception.service import Moment
from sealcast.server.compose import Keyserver, open_keyserver
from sealcast.server.front import Application
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import load_server_state
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.testing import SimClock
from server.running import RANDOM, Caller, Reply, make_state
from storage.places import address, is_on_postgres

PORT = 8443
URL = f"https://127.0.0.1:{PORT}"
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
"""A folder in memory: a test makes thousands of commits, and none has to outlive it."""

Answer = TypeVar("Answer")


@dataclass
class Guest(Caller):
    """A party that calls the application itself."""

    app: Application = field(kw_only=True)

    async def fetch_nonce(self) -> None:
        """Take a fresh nonce."""
        status, headers, _ = await call(self.app, "GET", "/v1/nonce", b"")
        assert status == 204
        self.nonce = headers[HEADER_NONCE.lower()]

    async def post(self, operation: Operation, body: str | bytes) -> Reply:
        """Send a body as it is."""
        data = body.encode() if isinstance(body, str) else body
        status, headers, content = await call(self.app, "POST", operation.path, data)
        nonce = headers.get(HEADER_NONCE.lower(), "")
        if status != 200:
            no = decode(content, Problem)
            return Reply(status, problem_name(no.type), no.detail, None, nonce)
        if operation.sealed:
            content = open_answer(content, self.credential.kek, server_key=self.credential.server_key)
        return Reply(200, "", "", decode(content, operation.answer), nonce)


async def call(app: Application, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Call an application as a server does; return status, headers and body."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/jose")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", PORT),
        "state": {},
        "extensions": {},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type] # an HTTP scope made by hand
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


class InProcess:
    """A key server on simulated time; `run` what it is asked, and `close` it at the end."""

    def __init__(self, **settings: Any) -> None:
        """Begin; `settings` are settings of the key server."""
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self._runner = asyncio.Runner()
        made, credential = template()
        directory = Path(self._folder.name) / "server"
        shutil.copytree(made, directory)
        self.clock = SimClock()
        if is_on_postgres():
            settings = {"database": str(address(directory, is_upgraded=True)), **settings}
        self._settings = KeyserverSettings(
            directory, "127.0.0.1", PORT, urls=(URL,), certificate_days=2, **settings
        )
        self._server = self._open()
        self.operator = self.guest(credential)

    def _open(self) -> Keyserver:
        state = load_server_state(self._settings.state_directory)
        return self.run(open_keyserver(state, self._settings, self.clock, RANDOM))

    def restart(self) -> None:
        """End the server and begin it again, over the same files."""
        self.run(self._server.close())
        self._server = self._open()
        self.operator = self.guest(self.operator.credential)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run something in the server's loop."""
        return self._runner.run(work)

    def read(self, query: str) -> list[Any]:
        """Return what the database says."""

        def rows(connection: sa.Connection) -> list[Any]:
            return [tuple(row) for row in connection.execute(sa.text(query))]

        return self.run(self._server.unit_of_work.run(rows))

    def principal(self, name: str) -> Principal | None:
        """Return a party as the server has it."""
        return self.run(self._server.principals.find(name, self._server.unit_of_work))

    def guest(self, credential: Credential) -> Guest:
        """Return the side of a party."""
        # There is no network, so there is neither a session nor TLS.
        return Guest(credential, URL, None, None, app=self._server.app)  # type: ignore[arg-type]

    def newcomer(self, kind: KeyKind) -> Guest:
        """Return somebody with fresh keys whom the server does not know yet."""
        signing, kek = new_keys(kind, RANDOM)
        return self.party("device", NEWCOMER, signing, kek)

    def party(self, role: Role, name: str, signing: Any, kek: Any) -> Guest:
        """Return the side of a party with these keys."""
        known = self.operator.credential
        kept = {name: getattr(known, name) for name in ("operator", "ca_pem", "servers", "server_key")}
        made = Credential(role=role, id=name, signing=signing, kek=kek, server_kek=known.server_kek, **kept)
        return self.guest(made)

    def let_pass(self, seconds: int) -> None:
        """Let time pass, with the ticks by which the server finds out who is silent."""
        receptions = self._server.desks.manager
        assert isinstance(receptions, ReceptionsHere)
        for _ in range(seconds):
            self.clock.advance(NS_PER_S)
            moment = Moment(self.clock.monotonic_ns(), self.clock.wall_ns() // NS_PER_MS)
            self.run(self._server.unit_of_work.run(partial(receptions.manager.tick, moment=moment)))

    def close(self) -> None:
        """End it, and remove its files."""
        self.run(self._server.close())
        self._runner.close()
        self._folder.cleanup()


@functools.cache
def template() -> tuple[Path, Credential]:
    """Return a state directory to be copied: to make one takes a second."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    directory = Path(kept.name) / "server"
    credential = make_state(directory, PORT)
    engine = open_engine(load_server_state(directory).database_path)
    upgrade(engine)
    engine.dispose()
    return directory, credential
