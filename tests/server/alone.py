"""Owns a key server without a network: the real pipeline, desks and database, asked by the real client.

For tests that kill, or that ask very often. Only withdrawal is behind the counter.
"""

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import sqlalchemy as sa

from sealcast.client import KeyServerClient
from sealcast.client.transfer import Reply
from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.token import PartyKeys, TokenKeys
from sealcast.device.vault import Credential
from sealcast.keyserver import store_principals, store_requests
from sealcast.keyserver.store_principals import KEY_PAIR, SYMMETRIC, RegistryEntry
from sealcast.keyserver.tables import channels, epochs
from sealcast.keyserver.views import Views
from sealcast.messages.problems import HEADER_NONCE
from sealcast.messages.requests import RegisteredKeys
from sealcast.reception.service import Moment, Seen
from sealcast.server.metrics import Metrics
from sealcast.server.pipeline import Pipeline
from sealcast.server.principals import Principals
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.state import ServerState, load_server_state
from sealcast.server.withdrawing import WithdrawalDesk, withdrawal_handlers
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.unitofwork import UnitOfWork
from sealcast.subscribers import store as allow_list
from sealcast.subscribers.store import Subscription
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemClock, SystemRandom
from server.running import make_state

CHANNELS = ("news", "sport")
STATES = ("DRAINING", "ACTIVE", "PUBLISHED")
"""Of epochs 1 to 3 of each channel; the devices have all three keys."""

BEGAN_MS = 1_700_000_000_000
RANDOM = SystemRandom()


class Alone:
    """A key server over a state directory that `prepare` has made; close it at the end."""

    def __init__(self, folder: Path) -> None:
        self.state: ServerState = load_server_state(folder)
        self.receptions = ReceptionsHere(30_000, "keys")
        self.views = Views(self.state.master_key)
        self.principals = Principals(self.state.operators, self.state.master_key)
        self.unit_of_work = UnitOfWork(open_engine(self.state.database_path), on_undone=self._forget)
        self.desk = WithdrawalDesk(
            operator=self.state.operator,
            signing=self.state.signing,
            views=self.views,
            ends=self.receptions,
            random=RANDOM,
        )
        self._handlers = {each.operation.path: each for each in withdrawal_handlers(self.desk)}
        self._pipeline = Pipeline(
            operator=self.state.operator,
            nonce_key=self.state.nonce_key,
            signing=self.state.signing,
            kek=self.state.kek,
            principals=self.principals,
            unit_of_work=self.unit_of_work,
            clock=SystemClock(),
            metrics=Metrics(),
        )

    def _forget(self) -> None:
        self.views.clear()
        self.principals.clear()
        self.receptions.on_undone()

    def close(self) -> None:
        """Close the database."""
        self.unit_of_work.close()

    async def post(self, server: str, path: str, token: str) -> Reply:
        """Answer a request as the listener would: what `client.transfer` does over a network."""
        _ = server
        answer = await self._pipeline.answer(self._handlers[path], token.encode())
        return Reply(answer.status, answer.body, answer.headers.get(HEADER_NONCE), None)

    @contextlib.asynccontextmanager
    async def client(
        self, credential: Credential, keys: PartyKeys | None = None
    ) -> AsyncIterator[KeyServerClient]:
        """Give the client of a party, which asks this server."""
        client = KeyServerClient(credential, RANDOM, None, keys)
        client._transfer = self  # type: ignore[assignment] # the one thing that is not there is the network
        try:
            yield client
        finally:
            client._transfer = None


def prepare(
    folder: Path, *names: str, kind: KeyKind = KeyKind.SYMMETRIC, token: TokenKeys | None = None
) -> list[Credential]:
    """Make a key server's state: two channels on air, and devices that receive both; return the devices'.

    With `token`, the one device has its keys there.
    """
    if token is not None:
        return _make(folder, names, kind, token)
    template, devices = _template(names, kind)
    shutil.copytree(template, folder)
    return devices


@functools.cache
def _template(names: tuple[str, ...], kind: KeyKind) -> tuple[Path, list[Credential]]:
    """Return a state directory to be copied, which goes with this process: to make one takes a second."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    folder = Path(kept.name) / "server"
    return folder, _make(folder, names, kind, None)


def _make(folder: Path, names: tuple[str, ...], kind: KeyKind, token: TokenKeys | None) -> list[Credential]:
    """Make a key server's state."""
    operator = make_state(folder, 8443)
    state = load_server_state(folder)
    devices = [_credential(operator, name, kind, token) for name in names]
    engine = open_engine(state.database_path)
    upgrade(engine)
    with engine.begin() as connection:
        _put_on_air(connection)
        for device in devices:
            _register(connection, device, state)
            _receive(connection, device.id)
    engine.dispose()
    return devices


def _credential(operator: Credential, name: str, kind: KeyKind, token: TokenKeys | None) -> Credential:
    signing, kek = new_keys(kind, SimRandom(name))
    if token is not None:
        signing, kek = token.signing.public(), token.kek.public()
    return Credential(
        role="device",
        id=name,
        operator=operator.operator,
        signing=signing,
        kek=kek,
        ca_pem=operator.ca_pem,
        servers=operator.servers,
        server_key=operator.server_key,
        server_kek=operator.server_kek,
        token=token.place if token is not None else None,
    )


def _put_on_air(connection: sa.Connection) -> None:
    """Make the channels, with three epochs each."""
    row = (
        "INSERT INTO principals (id, role, kind, registered_at_ms) VALUES ('studio', 'sender', 'key-pair', 0)"
    )
    connection.exec_driver_sql(row)
    for number, name in enumerate(CHANNELS, start=1):
        policy = {"lifetime_ms": 60_000, "publish_at": "50%", "prefetch_at": "30%"}
        place = {"group": "239.1.2.3", "port": 5002 + 2 * number, "suite": "aes-128-gcm", "keys": "keyserver"}
        connection.execute(
            channels.insert(), {"name": name, **place, **policy, "next_epoch": 4, "added_at_ms": BEGAN_MS}
        )
        for epoch, state in enumerate(STATES, start=1):
            fields = {"sender": "studio", "ssrc": epoch, "consumed": True, "state": state}
            connection.execute(
                epochs.insert(), {"channel": number, "epoch": epoch, **fields, "leased_at_ms": BEGAN_MS}
            )


def _register(connection: sa.Connection, device: Credential, state: ServerState) -> None:
    symmetric = device.signing.kty == "oct"
    keys = RegisteredKeys(
        signing=device.signing if symmetric else device.signing.public(),
        kek=device.kek if symmetric else device.kek.public(),
    )
    entry = RegistryEntry(device.id, "device", SYMMETRIC if symmetric else KEY_PAIR, BEGAN_MS)
    store_principals.add(connection, entry, keys, state.master_key)


def _receive(connection: sa.Connection, device: str) -> None:
    """Have a device receive both channels."""
    manager = ReceptionsHere(30_000, "keys").manager
    for number, name in enumerate(CHANNELS, start=1):
        allow_list.add(connection, Subscription(ChannelNumber(number), device, BEGAN_MS))
        turns = tuple(Epoch(epoch) for epoch in range(1, len(STATES) + 1))
        store_requests.grant(connection, device, ChannelNumber(number), turns, BEGAN_MS)
        manager.permit(connection, Seen(device, number, name, turns), Moment(0, BEGAN_MS))
