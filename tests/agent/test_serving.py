"""Shows what an agent says over its socket, to whom, and that it signs and tells nothing else."""

import contextlib
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.agents import Agent, asked, buy, new_jti, new_order, pack, running_agent
from sealcast.agent.listening import listen
from sealcast.agent.serving import CONNECTIONS_MAX, Admitted
from sealcast.client.agent import AgentClient
from sealcast.core.errors import LocalError, RefusedError, SealcastError, UnreachableError, UsageError
from sealcast.messages import agent, escrow, jose, operations_escrow
from sealcast.messages.compact import SignedHeader, encode_header, encode_part
from sealcast.messages.encoding import encode
from sealcast.messages.jwk import native_private_key
from sealcast.transport.frames import FRAME_BYTES_MAX, HEADER, receive_frame, send_frame
from sealcast.transport.guarding import Peer
from sealpack.makers import OPERATOR, operator
from sealpack.makers import escrow as escrow_server

NOBODY = 65_534


@pytest.fixture(scope="module")
def party():
    """Return a device."""
    return operator().party("TV-0004", "device")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, party) -> Iterator[Agent]:
    """Run an agent."""
    with running_agent(tmp_path_factory.mktemp("agent"), party) as started:
        yield started


def request_of(**changed: object) -> escrow.OrderRequest:
    """Return a request that a device makes."""
    fields = {
        "aud": f"{OPERATOR}/escrow-0",
        "op": "order-pay",
        "jti": new_jti(),
        "nonce": "",
        "order": new_order(),
    }
    return escrow.OrderRequest(**{**fields, **changed})


def test_hello(running: Agent, party) -> None:
    """Whoever asks hears who the device is: public halves, certificates, CA."""
    with running.client() as client:
        here = client.presence
    assert (here.id, here.role, here.operator) == ("TV-0004", "device", OPERATOR)
    assert (here.signing, here.kek) == (party.signing.public(), party.kek.public())
    assert here.certificates == party.certificates
    assert here.token is None


def test_requests_are_signed(running: Agent, party) -> None:
    """A request to an escrow, signed through the agent, is as one signed with the key itself."""
    with running.client() as client:
        keys = client.keys()
        request = encode(request_of())
        token = jose.sign(request, keys.signing, kid="TV-0004", typ=jose.TYP_REQUEST)
        assert jose.verify(token, party.signing.public(), typ=jose.TYP_REQUEST) == request
        credential = client.credential(["https://escrow.example:8444"])
        assert credential.servers == ["https://escrow.example:8444"]
        assert not credential.signing.is_secret
        assert not credential.kek.is_secret
        with pytest.raises(LocalError, match="never leaves"):
            native_private_key(keys.signing).private_bytes_raw()


@pytest.mark.parametrize(
    ("kid", "typ", "changed"),
    [
        ("TV-0005", jose.TYP_REQUEST, {}),
        ("TV-0004", "sealcast-package-fault", {}),
        ("TV-0004", jose.TYP_ERASURE, {}),
        ("TV-0004", jose.TYP_REQUEST, {"aud": "elsewhere/escrow-0"}),
        ("TV-0004", jose.TYP_REQUEST, {"aud": OPERATOR}),
        ("TV-0004", jose.TYP_REQUEST, {"aud": f"{OPERATOR}/"}),
        ("TV-0004", jose.TYP_REQUEST, {"op": "certificate-renew"}),
        ("TV-0004", jose.TYP_REQUEST, {"op": "order-open"}),
        ("TV-0004", jose.TYP_REQUEST, {"op": "order-resolve"}),
    ],
)
def test_nothing_else_is_signed(running: Agent, kid: str, typ: str, changed: dict) -> None:
    """Another kind of token, another's name, another operator, no escrow, another operation: none."""
    with running.client() as client, pytest.raises(RefusedError) as refused:
        jose.sign(encode(request_of(**changed)), client.keys().signing, kid=kid, typ=typ)
    assert refused.value.type == "not-signed"


def test_other_bytes_are_not_signed(running: Agent) -> None:
    """Bytes that are no request, or one with more in it than it may have, are refused."""
    header = encode_header(SignedHeader(alg="Ed25519", kid="TV-0004", typ=jose.TYP_REQUEST))
    more = msgspec.json.encode({**msgspec.to_builtins(request_of()), "package": "x"})
    with running.client() as client:
        for signed in (
            b"",
            b"abc",
            header,
            header + b"." + encode_part(b"{}"),
            header + b"." + encode_part(more),
        ):
            with pytest.raises(SealcastError):
                client.sign(signed)
        wrong = encode_header(SignedHeader(alg="HS256", kid="TV-0004", typ=jose.TYP_REQUEST))
        with pytest.raises(RefusedError):
            client.sign(wrong + b"." + encode_part(encode(request_of())))


def test_all_that_a_device_asks(running: Agent) -> None:
    """Each operation in the table has its form here, and is refused with the form of another."""
    names = {each.name for each in operations_escrow.ESCROW}
    assert set(operations_escrow.DEVICE_SIGNS) <= names
    with running.client() as client, pytest.raises(SealcastError, match="OrderPlaceRequest"):
        jose.sign(
            encode(request_of(op="order-place")), client.keys().signing, kid="TV-0004", typ=jose.TYP_REQUEST
        )


class _Wire(AgentClient):
    """A client that keeps all bytes that came."""

    came: list[bytes]

    def _exchange(self, ask, descriptors, wait_s):
        with self._lock:
            self._socket.settimeout(wait_s)
            send_frame(self._socket, msgspec.json.encode(ask), descriptors)
            frame = receive_frame(self._socket)
        assert frame is not None
        self.came = [*getattr(self, "came", []), frame.body]
        return msgspec.json.decode(frame.body, type=agent.Answer)


def test_no_answer_holds_a_secret(running: Agent, party, tmp_path: Path) -> None:
    """Of a whole purchase no answer holds z, r, a share, the content key, or the device's own keys."""
    package, order = pack(tmp_path / "p", b"content", 2, threshold=2), new_order()
    secrets = {"content key": package.content_key.reveal(), "content": b"content"}
    with _Wire(running.path) as client:
        for number in (1, 2):
            buy(client, package, {number: escrow_server(number - 1)}, order)
            part = package.header.parts[number - 1]
            z = escrow_server(number - 1).open(part.encapsulation)
            blinded = asked(msgspec.json.decode(client.came[-2], type=agent.Blinded)).blinded
            m = escrow_server(number - 1).open(blinded)
            modulus = escrow_server(number - 1).public.modulus
            r = int.from_bytes(m, "big") * pow(int.from_bytes(z, "big"), -1, modulus) % modulus
            secrets[f"z {number}"], secrets[f"r {number}"] = z, r.to_bytes(len(z), "big")
        with package.path.open("rb") as head, (tmp_path / "sink").open("wb") as sink:
            session = client.open(head.fileno())
            client.copy(session.session, 0, session.size, head.fileno(), sink.fileno())
        client.fault(order)
        client.entitlements()
        everything = b"".join(client.came)
    for key in (party.signing, party.kek):
        secrets[key.crv] = key.raw_private()
    assert b"progress" in everything
    for name, secret in secrets.items():
        for form in (secret, secret.hex().encode(), b64encode(secret).rstrip(b"="), encode_part(secret)):
            assert form[:40] not in everything, name


def test_another_user_is_turned_away(running: Agent) -> None:
    """A program of another user reaches the socket only if its rights let it, and is turned away even so."""
    script = (
        "import os, socket, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "try:\n    sock.connect(sys.argv[1])\n    print(sock.recv(1000))\n"
        "except OSError as error:\n    print(error)\n"
    )
    if os.geteuid() == 0:
        said = []
        for mode in (0o600, 0o666):
            running.path.chmod(mode)
            _let_pass(running.path)
            done = subprocess.run(
                [sys.executable, "-c", script, str(running.path), str(NOBODY)],
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            said.append(done.stdout + done.stderr)
        running.path.chmod(0o600)
        assert "Permission denied" in said[0]
        assert "does not serve your user" in said[1]
    assert not Admitted(frozenset({0}), 44).admits(Peer(1, NOBODY, frozenset({NOBODY})))
    assert Admitted(frozenset({0}), 44).admits(Peer(1, NOBODY, frozenset({NOBODY, 44})))


def _let_pass(path: Path) -> None:
    """Let other users reach a folder of a test."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"op":"nothing"}', b'{"op":"hello","more":1}', b"\xff\xfe", b'{"op":"copy"}']
)
def test_nonsense(running: Agent, body: bytes) -> None:
    """What is no operation gets a no, and the connection goes on."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(running.path))
        for _ in range(2):
            send_frame(sock, body)
            frame = receive_frame(sock)
            assert frame is not None
            assert msgspec.json.decode(frame.body, type=agent.Answer).kind == "FormatError"


def test_frames_out_of_bounds(running: Agent) -> None:
    """A frame that is too long, or brings more descriptors than any operation takes, ends the connection."""
    for data, descriptors in ((HEADER.pack(FRAME_BYTES_MAX + 1), []), (HEADER.pack(2) + b"{}", [0, 0, 0])):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(running.path))
            socket.send_fds(sock, [data], descriptors)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
    with running.client() as client:
        assert client.presence.id == "TV-0004"


def test_descriptors_are_closed(running: Agent) -> None:
    """An operation with other descriptors than it takes is refused, and the agent keeps none of them."""
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with socket.socket(socket.AF_UNIX) as sock, Path(os.devnull).open("rb") as file:
        sock.connect(str(running.path))
        for body in (b'{"op":"hello"}', b'{"op":"open"}', b'{"op":"copy","session":1,"offset":0,"length":0}'):
            for count in (1, 2):
                send_frame(sock, body, [file.fileno()] * count)
                frame = receive_frame(sock)
                assert frame is not None
                assert msgspec.json.decode(frame.body, type=agent.Answer).kind == "FormatError"
    with running.client():
        assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before + 4


def test_too_many_connections(running: Agent) -> None:
    """Beyond its limit an agent says that it is busy; who leaves makes room."""
    with contextlib.ExitStack() as clients:
        for _ in range(CONNECTIONS_MAX):
            clients.enter_context(running.client())
        with pytest.raises(SealcastError, match="programs use this agent"):
            running.client()
    for _ in range(100):
        with contextlib.suppress(SealcastError), running.client() as client:
            assert client.presence.id == "TV-0004"
            return
    pytest.fail("no room again")


def test_socket_that_is_taken(running: Agent, tmp_path: Path) -> None:
    """Where an agent listens no second one does; what a dead one left, and nothing else, is taken away."""
    with pytest.raises(UsageError, match=r"listens at .* already"):
        listen(running.path, None, None)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is no socket"):
        listen(file, None, None)
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    with listen(left, None, None):
        assert left.stat().st_mode & 0o777 == 0o600


def test_nobody_there(tmp_path: Path) -> None:
    """Without an agent the line says how to start one."""
    with pytest.raises(UnreachableError, match="sealcast device serve"):
        AgentClient(tmp_path / "agent.sock")
