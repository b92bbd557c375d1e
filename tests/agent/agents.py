"""Owns what the tests of the device agent share: a device in a vault, an agent in this process, packages."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from sealcast.agent.desk import Desk
from sealcast.agent.holding import Holding, Opener
from sealcast.agent.listening import listen
from sealcast.agent.secrets import Secrets
from sealcast.agent.serving import Admitted, Server
from sealcast.client.agent import AgentClient
from sealcast.core.secret import Secret
from sealcast.device.holder import open_with_keys
from sealcast.device.vault import Credential, save_vault
from sealcast.messages import agent
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode
from sealcast.messages.escrow import OrderOpenRequest
from sealcast.messages.jose import unverified_payload
from sealcast.messages.jwk import Jwk, new_sealing_pair, new_signing_pair
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.chunks import ChunkCipher, digest, tops_of
from sealcast.sealpack.header import CheckedHeader, read_header, sign_header
from sealcast.sealpack.layout import Layout, pack_prefix
from sealcast.testing import SimRandom
from sealcast.transport.guarding import own_user
from sealpack.makers import OPERATOR, RANDOM, Escrow, Party, header_of, operator, seller

SERVER_KEY, SERVER_KEK = new_signing_pair(SimRandom(5)).public(), new_sealing_pair(SimRandom(6)).public()


def credential_of(party: Party, signing: Jwk | None = None, kek: Jwk | None = None) -> Credential:
    """Return what a device's vault holds."""
    return Credential(
        role=party.certified.role,  # type: ignore[arg-type]
        id=party.certified.id,
        operator=OPERATOR,
        signing=signing or party.signing,
        kek=kek or party.kek,
        ca_pem=operator().ca_pem,
        servers=["https://keys.example:8443"],
        server_key=SERVER_KEY,
        server_kek=SERVER_KEK,
        certificates=party.certificates,
    )


def make_vault(folder: Path, party: Party) -> Path:
    """Save a device's vault in a folder and return its path."""
    path = folder / f"{party.certified.id}.vault"
    save_vault(path, credential_of(party), RANDOM)
    return path


@dataclass
class Agent:
    """An agent in this process, over a vault; `restart` ends it and begins anew, as a crash would."""

    folder: Path
    vault: Path
    opener: Opener | None = None
    path: Path = field(init=False)
    server: Server = field(init=False)
    desk: Desk = field(init=False)
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path, self.state = self.folder / "agent.sock", self.folder / "state"
        self.state.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """Begin to serve."""
        holding = Holding(self.opener or (lambda: open_with_keys(self.vault, None, None)))
        secrets = Secrets(self.state)
        secrets.tidy(holding.present())
        self.desk = Desk(holding, secrets, RANDOM)
        self.listening: socket.socket = listen(self.path, None, None)
        self.server = Server(self.listening, self.desk, Admitted(frozenset({own_user()})))
        self.server.start()

    def stop(self) -> None:
        """End it, and leave the socket's name behind, as a killed one would."""
        self.server.close()

    def restart(self) -> None:
        """End it and begin anew."""
        self.stop()
        self.start()

    def client(self) -> AgentClient:
        """Return a new connection."""
        return AgentClient(self.path)


@contextlib.contextmanager
def running_agent(folder: Path, party: Party) -> Iterator[Agent]:
    """Run an agent for a device as long as the block."""
    running = Agent(folder, make_vault(folder, party))
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class Package:
    """A package in a file, with what only its seller and the test know."""

    path: Path
    header: CheckedHeader
    content: bytes
    content_key: Secret

    @property
    def token(self) -> str:
        """The header's JWS."""
        return self.header.token

    def place_of(self, chunk: int) -> int:
        """Return where a sealed chunk begins in the file."""
        return self.header.layout.chunk_span(chunk)[0]


def pack(
    path: Path,
    content: bytes,
    count: int = 1,
    *,
    spoiled: int | None = None,
    spoil_share: int | None = None,
    **changed,
) -> Package:
    """Write a package for the first `count` escrows, by a seller that may be a fraud.

    Chunk `spoiled` is sealed under another key; the commitment of share `spoil_share` is none.
    """
    content_key = Secret(RANDOM.bytes(32))
    draft = header_of(count, content_key=content_key, size=len(content), **changed)
    parts = [
        replace(each, commitment=bytes(32)) if each.number == spoil_share else each for each in draft.parts
    ]
    layout = Layout(1, len(content))
    package_id = b64url_decode(draft.id)
    ciphers = ChunkCipher(content_key, package_id), ChunkCipher(Secret(bytes(32)), package_id)
    sealed = []
    for chunk in range(layout.chunks):
        piece = content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        into = bytearray(len(piece) + 16)
        ciphers[chunk == spoiled].seal(chunk, piece, into, is_last=layout.is_last(chunk))
        sealed.append(bytes(into))
    leaves = b"".join(digest(each) for each in sealed)
    tops = tops_of(leaves)
    token = sign_header(replace(draft, root=digest(tops), parts=parts), seller().signing)
    path.write_bytes(pack_prefix(len(token)) + token.encode() + tops + leaves + b"".join(sealed))
    return Package(path, read_header(token, operator().ca_pem), content, content_key)


def new_order() -> str:
    """Return the id of an order that an escrow might have given."""
    return b64url_encode(RANDOM.bytes(16))


def new_jti() -> str:
    """Return a fresh jti."""
    return b64url_encode(RANDOM.bytes(16))


def asked(blinded: agent.Blinded) -> OrderOpenRequest:
    """Return what the agent asks an escrow."""
    return decode(unverified_payload(blinded.request), OrderOpenRequest)


def buy(
    client: AgentClient,
    package: Package,
    escrows: dict[int, Escrow],
    order: str | None = None,
    licence: str | None = None,
) -> agent.Progress:
    """Have the shares of these numbers opened by these escrows; the last word of the agent."""
    order, progress = order or new_order(), None
    for number, escrow in escrows.items():
        blinded = client.blind(package.token, number, order, jti=new_jti(), licence=licence)
        progress = client.unblind(order, number, escrow.open(asked(blinded).blinded))
    assert progress is not None
    return progress
