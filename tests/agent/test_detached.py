"""Shows that nothing opens without the device: its vault or its token taken away, and brought back."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.agents import Agent, Package, buy, credential_of, new_jti, new_order, pack, running_agent
from device.softhsm import PIN, VARIABLE, make_token
from sealcast.agent.holding import Holding
from sealcast.client.agent import AgentClient
from sealcast.core.errors import RefusedError, UsageError
from sealcast.core.secret import Secret
from sealcast.device.chains import read_party
from sealcast.device.holder import open_with_keys
from sealcast.device.token import make_keys, parse_token_uri
from sealcast.device.vault import open_vault, save_vault
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import OrderRequest
from sealcast.messages.jwk import new_oct_key
from sealcast.messages.package import CHUNK_BYTES
from sealpack.makers import RANDOM, WALL_MS, Party, escrow, operator

CONTENT = RANDOM.bytes(40 * CHUNK_BYTES)
TOKEN_PIN = Secret(PIN.encode())
GONE = r"is gone|does not open again"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Agent]:
    """Run an agent over a vault."""
    with running_agent(tmp_path, operator().party("TV-0006", "device")) as started:
        yield started


def with_token(folder: Path) -> Agent:
    """Run an agent over keys in a token of its own; `folder`/tokens is the token."""
    token = make_keys(parse_token_uri(make_token(folder, "TV")), TOKEN_PIN, RANDOM)
    signing, kek = token.signing.public(), token.kek.public()
    issued = operator().issuer.certify(id="TV-0007", role="device", signing=signing, kek=kek, wall_ms=WALL_MS)
    party = Party(read_party(issued.certificates, operator().ca_pem), issued.certificates, signing, kek)
    save_vault(folder / "tv.vault", replace(credential_of(party), token=token.place), RANDOM)
    token.close()
    return Agent(
        folder,
        folder / "tv.vault",
        lambda: open_with_keys(folder / "tv.vault", None, lambda _: TOKEN_PIN),
    )


@pytest.fixture
def softhsm() -> Iterator[None]:
    """Leave the environment as it was."""
    before = os.environ.get(VARIABLE)
    yield
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before


class Silent(AgentClient):
    """A client that says no hello."""

    def __init__(self, path: Path) -> None:
        """Connect."""
        self.path, self._lock = path, threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))


def everything_is_refused(running: Agent, package: Package) -> None:
    """Check each operation that takes the device's key."""
    with pytest.raises(RefusedError, match=GONE) as refused:
        running.client()
    assert refused.value.type == "detached"
    for ask in (
        lambda client: client.blind(package.token, 1, new_order(), jti=new_jti()),
        lambda client: client.unblind(new_order(), 1, b""),
        lambda client: client.sign(b"a.b"),
        lambda client: client.fault(new_order()),
        lambda client: client.entitlements(),
        lambda client: client.forget(package.header.header.id),
    ):
        with Silent(running.path) as client, pytest.raises(RefusedError, match=GONE) as refused:
            ask(client)
        assert refused.value.type == "detached"


def reading(running: Agent, package: Package, taken: list[bytes]) -> tuple[threading.Thread, int]:
    """Read content slowly, in a thread; returns it and where to read the content from."""
    source, sink = os.pipe()

    def copy() -> None:
        with running.client() as client, package.path.open("rb") as head:
            session = client.open(head.fileno())
            written = client.copy(session.session, 0, session.size, head.fileno(), sink)
        os.close(sink)
        taken.append(str(written.error).encode())

    thread = threading.Thread(target=copy)
    thread.start()
    assert os.read(source, 100) == CONTENT[:100]
    return thread, source


def test_vault_is_taken_away(running: Agent, tmp_path: Path) -> None:
    """Without the vault, or its key file, nothing opens and what is read ends; back in place, all goes on."""
    package, unbought = pack(tmp_path / "p", CONTENT), pack(tmp_path / "q", CONTENT)
    with running.client() as client:
        buy(client, package, {1: escrow(0)})
    for path in (running.vault, running.vault.with_suffix(".key")):
        taken: list[bytes] = []
        thread, source = reading(running, package, taken)
        away = path.rename(tmp_path / "away")
        everything_is_refused(running, unbought)
        thread.join(10)
        assert taken == [b"the device was taken away"]
        os.close(source)
        away.rename(path)
        with running.client() as client, package.path.open("rb") as head:
            session = client.open(head.fileno())
            assert client.copy(session.session, 0, 9, head.fileno(), _null()).count == 9


def _null() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def test_session_does_not_outlive_the_device(running: Agent, tmp_path: Path) -> None:
    """A session that was open when the device went away stays closed when it is back."""
    package = pack(tmp_path / "p", CONTENT)
    with running.client() as client, package.path.open("rb") as head:
        buy(client, package, {1: escrow(0)})
        session = client.open(head.fileno()).session
        away = running.vault.rename(tmp_path / "away")
        assert running.desk.watch() is False
        away.rename(running.vault)
        assert running.desk.watch() is True
        written = client.copy(session, 0, 9, head.fileno(), _null())
        assert isinstance(written.error, RefusedError)
        assert written.count == 0


def test_another_vault_in_its_place(running: Agent) -> None:
    """Another device's vault under the same name opens nothing; renewed certificates are taken over."""
    own = open_vault(running.vault)
    stranger = operator().party("TV-0008", "device")
    own.keep(credential_of(stranger))
    with pytest.raises(RefusedError, match="another device's"):
        running.client()
    renewed = (
        operator()
        .issuer.certify(
            id="TV-0006",
            role="device",
            signing=own.credential.signing.public(),
            kek=own.credential.kek.public(),
            wall_ms=WALL_MS,
        )
        .certificates
    )
    own.keep(replace(own.credential, certificates=renewed))
    with running.client() as client:
        assert client.presence.certificates == renewed


@pytest.mark.usefixtures("softhsm")
def test_token_device(tmp_path: Path) -> None:
    """A device whose keys are in a token buys and plays; without the token nothing opens till it is back."""
    running = with_token(tmp_path)
    try:
        package, licensed = pack(tmp_path / "p", CONTENT), pack(tmp_path / "q", CONTENT)
        with running.client() as client:
            assert client.presence.token == "TV"  # noqa: S105 - the label of a token
            buy(client, package, {1: escrow(0)})
            signed = jose.sign(_pay_request(), client.keys().signing, kid="TV-0007", typ=jose.TYP_REQUEST)
            assert jose.verify(signed, client.presence.signing, typ=jose.TYP_REQUEST) == _pay_request()
        taken: list[bytes] = []
        thread, source = reading(running, package, taken)
        away = (tmp_path / "tokens").rename(tmp_path / "away")
        everything_is_refused(running, licensed)
        thread.join(10)
        os.close(source)
        assert len(taken) == 1
        assert b"taken away" in taken[0]
        away.rename(tmp_path / "tokens")
        with running.client() as client, package.path.open("rb") as head:
            session = client.open(head.fileno())
            assert client.copy(session.session, 0, 9, head.fileno(), _null()).count == 9
    finally:
        running.stop()


def _pay_request() -> bytes:
    return encode(
        OrderRequest(aud="example/escrow-0", op="order-pay", jti="A" * 22, nonce="", order="B" * 22)
    )


@pytest.mark.parametrize("kind", ["symmetric", "uncertified", "seller"])
def test_devices_that_cannot_buy(tmp_path: Path, kind: str) -> None:
    """A device with symmetric keys or without certificates, and another role, is told so at the start."""
    credential = credential_of(operator().party("TV-0009", "seller" if kind == "seller" else "device"))
    if kind == "symmetric":
        credential = replace(credential, signing=new_oct_key(RANDOM), kek=new_oct_key(RANDOM))
    if kind != "seller":
        credential = replace(credential, certificates=None)
    path = tmp_path / "one.vault"
    save_vault(path, credential, RANDOM)
    with pytest.raises(UsageError, match="cannot buy"):
        Holding(lambda: open_with_keys(path, None, None))
