"""Shows playing and unpacking as a user does it: agent, player and web server are processes of their own."""

import contextlib
import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.agents import Package, buy, make_vault, pack
from cli.terminal import Result, Terminal, Typist
from sealcast.client.agent import AgentClient
from sealcast.core.errors import UnreachableError
from sealcast.messages.compact import encode_part
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.chunks import ChunkCipher
from sealpack.makers import RANDOM, escrow, operator

CONTENT = RANDOM.bytes(100 * CHUNK_BYTES + 77)
"""Two windows of what is read over the web."""

MARKER = "marker-that-is-found-4711"


@dataclass
class Living:
    """A device whose agent runs, and a package that it bought."""

    terminal: Terminal
    package: Package
    agent: subprocess.Popen[str]
    z: bytes


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Run `sealcast device serve`, and buy a package through it."""
    folder = tmp_path_factory.mktemp("playing")
    vault = make_vault(folder, operator().party("TV-0020", "device"))
    package = pack(folder / "film.sealpack", CONTENT, title=f"A film {MARKER}")
    terminal = Terminal(folder, SEALCAST_AGENT=str(folder / "agent.sock"), SEALCAST_CONFIG="")
    with terminal.running(
        "device", "serve", "--credential", str(vault), "--state", str(folder / "st")
    ) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == f"device agent of TV-0020 listens at {folder / 'agent.sock'}\n"
        with AgentClient(folder / "agent.sock") as client:
            buy(client, package, {1: escrow(0)})
        z = escrow(0).open(package.header.parts[0].encapsulation)
        yield Living(terminal, package, agent, z)


def typing(living: Living, type_at: Typist) -> tuple[Callable[..., Result], Callable[..., str]]:
    """Return what runs a command in this process, and what runs one that has to end well."""
    run = partial(type_at, living.terminal)

    def good(*arguments: str) -> str:
        result = run(*arguments)
        assert result.status == 0, result.err
        return result.out

    return run, good


@contextmanager
def web(folder: Path, *, ranges: bool = True) -> Iterator[str]:
    """Serve a folder over HTTP, by ranges or whole, and return its address."""
    handler = partial(_Ranged if ranges else _Quiet, directory=str(folder))
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    """Serves players, which may leave before they have all."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Gives whole files."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Ranged(_Quiet):
    """Gives one range of a file, as web servers do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the range that is asked for."""
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


def test_into_a_pipe_and_a_file(living: Living, type_at: Typist) -> None:
    """The content goes into a pipe and into a new file, all of it or a part; a file is never replaced."""
    run, good = typing(living, type_at)
    folder = living.terminal.folder
    piped = folder / "piped"
    with living.terminal.running("play", "film.sealpack", stdout=piped) as player:
        assert player.wait(60) == 0
    assert piped.read_bytes() == CONTENT
    good("play", "film.sealpack", "--output", "part", "--offset", "65530", "--length", "20")
    assert (folder / "part").read_bytes() == CONTENT[65_530:65_550]
    refused = run("play", "film.sealpack", "--output", "part")
    assert refused.status == 2
    assert "never overwritten" in refused.complaint
    assert run("play", "film.sealpack", "--output", "/dev/null").status == 0
    assert not list(folder.glob(".*.part"))


def test_player_that_has_enough(living: Living) -> None:
    """A player that ends early is no error."""
    script = (
        f"{sys.executable} -m sealcast.cli play film.sealpack | head -c 10 | wc -c; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=living.terminal.folder,
        env=living.terminal.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["10", "0"]
    assert done.stderr == ""


def test_from_the_web(living: Living, type_at: Typist) -> None:
    """A package is played from an address, also one that leads on; a copy that is damaged ends there."""
    run, good = typing(living, type_at)
    folder, package = living.terminal.folder, living.package
    damaged = bytearray(package.path.read_bytes())
    damaged[package.place_of(70) + 9] ^= 1
    (folder / "damaged.sealpack").write_bytes(damaged)
    (folder / "short.sealpack").write_bytes(damaged[:-1])
    with web(folder) as address:
        good("play", f"{address}/moved/film.sealpack", "--output", "from-web")
        assert (folder / "from-web").read_bytes() == CONTENT
        good("play", f"{address}/film.sealpack", "--output", "nine", "--offset", "5000000", "--length", "9")
        assert (folder / "nine").read_bytes() == CONTENT[5_000_000:5_000_009]
        with living.terminal.running("play", f"{address}/damaged.sealpack", stdout=folder / "bad") as player:
            assert player.wait(60) == 1
            assert player.stderr is not None
            assert "chunk 70 " in player.stderr.read()
        assert (folder / "bad").read_bytes() == CONTENT[: 70 * CHUNK_BYTES]
        assert "cut short" in run("play", f"{address}/short.sealpack", "--output", "x").complaint
    with web(folder, ranges=False) as address:
        refused = run("play", f"{address}/film.sealpack", "--output", "x")
    assert "whole files only" in refused.complaint
    assert not (folder / "x").exists()


def test_players_over_http(living: Living) -> None:
    """A player may ask for all, for parts from any place, and for none that is there: 200, 206, 416."""
    with living.terminal.running("play", "film.sealpack", "--output", "http://127.0.0.1:0") as player:
        assert player.stdout is not None
        line = player.stdout.readline()
        port = int(line.rstrip().rstrip("/").rpartition(":")[2])
        size = len(CONTENT)
        for asked, status, span in (
            (None, 200, (0, size)),
            ("bytes=0-", 206, (0, size)),
            ("bytes=1000000-1000099", 206, (1_000_000, 1_000_100)),
            ("bytes=-10", 206, (size - 10, size)),
            (f"bytes={size - 5}-{size + 5}", 206, (size - 5, size)),
            (f"bytes={size}-", 416, None),
            ("bytes=5-4", 200, (0, size)),
            ("bytes=0-1,4-5", 200, (0, size)),
        ):
            reply, body = _get(port, {"Range": asked} if asked else {})
            assert reply.status == status, asked
            if span is None:
                assert reply.headers["Content-Range"] == f"bytes */{size}"
                continue
            assert body == CONTENT[slice(*span)], asked
            if status == 206:
                assert reply.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/{size}"
        assert reply.headers["Content-Type"] == "video/mp4"
        assert reply.headers["Accept-Ranges"] == "bytes"
        tag = reply.headers["ETag"]
        assert _get(port, {"Range": "bytes=0-1", "If-Range": tag})[0].status == 206
        assert _get(port, {"Range": "bytes=0-1", "If-Range": '"another"'})[0].status == 200
        head, body = _get(port, {}, "HEAD")
        assert (head.status, head.headers["Content-Length"], body) == (200, str(size), b"")
        assert _get(port, {"Host": f"evil.example:{port}"})[0].status == 403
        player.terminate()
        assert player.wait(5) == 0


def _get(port: int, headers: dict[str, str], method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, "/", headers=headers)
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


@pytest.mark.parametrize("address", ["http://0.0.0.0:1", "https://127.0.0.1:1", "http://127.0.0.1", "http:x"])
def test_content_stays_on_this_machine(living: Living, type_at: Typist, address: str) -> None:
    """Content is served on loopback alone."""
    run, _ = typing(living, type_at)
    refused = run("play", "film.sealpack", "--output", address)
    assert refused.status == 2
    assert "http://127.0.0.1:PORT" in refused.complaint


def test_unpack(living: Living, type_at: Typist) -> None:
    """Unpacked under its own name or another; what is damaged leaves no file; --json says what was done."""
    run, good = typing(living, type_at)
    folder = living.terminal.folder
    done = json.loads(good("package", "unpack", "film.sealpack", "--json"))
    assert (folder / "film.mp4").read_bytes() == CONTENT
    assert (done["file"], done["bytes"], done["package"]) == (
        "film.mp4",
        len(CONTENT),
        living.package.header.header.id,
    )
    assert "never overwritten" in run("package", "unpack", "film.sealpack").complaint
    good("package", "unpack", "film.sealpack", "--force")
    hidden = pack(folder / "hidden.sealpack", b"rc", name=".bash_profile")
    with AgentClient(folder / "agent.sock") as client:
        buy(client, hidden, {1: escrow(0)})
    assert "would be hidden" in run("package", "unpack", "hidden.sealpack").complaint
    assert not (folder / ".bash_profile").exists()
    damaged = bytearray(living.package.path.read_bytes())
    damaged[living.package.place_of(99)] ^= 1
    (folder / "bad.sealpack").write_bytes(damaged)
    refused = run("package", "unpack", "bad.sealpack", "--output", "bad.mp4")
    assert "chunk 99 " in refused.complaint
    assert not (folder / "bad.mp4").exists()
    assert not list(folder.glob(".*.part"))


def test_what_is_not_there(living: Living, type_at: Typist, tmp_path: Path) -> None:
    """No agent, no package, no key to it: each is one line that says what to do."""
    run, _ = typing(living, type_at)
    other = pack(tmp_path / "other.sealpack", b"x")
    (tmp_path / "none.sealpack").write_bytes(b"nothing of the kind, but long enough")
    assert "sealcast buy" in run("play", str(other.path), "--output", "/dev/null").complaint
    assert "not a package" in run("play", str(tmp_path / "none.sealpack"), "--output", "/dev/null").complaint
    assert "cannot read" in run("play", "absent.sealpack", "--output", "/dev/null").complaint
    lost = run("play", "film.sealpack", "--output", "/dev/null", "--agent", str(tmp_path / "no.sock"))
    assert (lost.status, "sealcast device serve" in lost.complaint) == (3, True)


def test_player_never_sees_a_key(living: Living) -> None:
    """The memory of a player that plays holds neither z, the content key, the chunk key nor the share."""
    source, sink = os.pipe()
    command = [sys.executable, "-m", "sealcast.cli", "play", "film.sealpack"]
    environment = {**living.terminal.environment, "MARKER": MARKER}
    with subprocess.Popen(command, cwd=living.terminal.folder, env=environment, stdout=sink) as player:
        os.close(sink)
        taken = len(os.read(source, 1_000_000))
        memory = _memory(player.pid)
        while data := os.read(source, 1_000_000):
            taken += len(data)
        os.close(source)
        assert player.wait(20) == 0
    assert taken == len(CONTENT)
    key = living.package.content_key.reveal()
    secrets = {
        "z": living.z,
        "content key": key,
        "share": key.rjust(66, b"\x00"),
        "chunk key": _chunk_key(living.package),
    }
    assert MARKER.encode() in memory
    for name, secret in secrets.items():
        for form in _forms(secret):
            assert form not in memory, name


def _chunk_key(package: Package) -> bytes:
    """Return the key of the chunks, which the agent derives."""
    derive = HKDF(SHA256(), 32, salt=package.header.package_id, info=b"sealcast chunks 1")
    key = derive.derive(package.content_key.reveal())
    sealed = bytearray(17)
    ChunkCipher(package.content_key, package.header.package_id).seal(0, b"x", sealed, is_last=True)
    assert AESGCM(key).decrypt(bytes(11) + b"\x01", bytes(sealed), None) == b"x"
    return key


def _forms(secret: bytes) -> tuple[bytes, ...]:
    """Return a secret as it may stand in memory: raw, reversed (a number), hexadecimal, both base64."""
    return (
        secret,
        secret[::-1],
        secret.hex().encode(),
        b64encode(secret)[:40],
        encode_part(secret)[:40],
    )


def _memory(pid: int) -> bytes:
    """Return all memory of a process that can be read."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            begin, end = (int(each, 16) for each in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line:
                continue
            try:
                memory.seek(begin)
                found.append(memory.read(end - begin))
            except (OSError, OverflowError, ValueError):
                continue
    return b"".join(found)


def test_agent_keeps_its_memory_to_itself(living: Living) -> None:
    """No core is written of an agent, its memory belongs to root and is locked where that is allowed."""
    proc = Path(f"/proc/{living.agent.pid}")
    limits = (proc / "limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    may_lock = int(status["CapEff"], 16) >> 14 & 1
    assert (int(status["VmLck"].split()[0]) > 0) == bool(may_lock)
    script = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "open(f'/proc/{sys.argv[1]}/mem', 'rb')"
    )
    if os.geteuid() == 0:
        done = subprocess.run(
            [sys.executable, "-c", script, str(living.agent.pid)], capture_output=True, text=True, check=False
        )
        assert "Permission denied" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_agent_ends_well(living: Living, tmp_path: Path, number: int) -> None:
    """Told to end, an agent does at once, also with a player that stands still, and takes its socket away."""
    vault = make_vault(tmp_path, operator().party("TV-0021", "device"))
    place = tmp_path / "other.sock"
    command = ("device", "serve", "--credential", str(vault), "--state", str(tmp_path), "--agent", str(place))
    source, sink = os.pipe()
    with living.terminal.running(*command) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        with AgentClient(place) as client, living.package.path.open("rb") as head:
            buy(client, living.package, {1: escrow(0)})
            session = client.open(head.fileno())
            ask = partial(client.copy, session.session, 0, len(CONTENT), head.fileno(), sink)
            copy = threading.Thread(target=_quietly, args=(ask,), daemon=True)
            copy.start()
            os.read(source, 1)
            agent.send_signal(number)
            assert agent.wait(10) == 0
            copy.join(5)
    os.close(source)
    os.close(sink)
    assert not place.exists()
    assert not copy.is_alive()


def _quietly(ask: Callable[[], object]) -> None:
    with contextlib.suppress(UnreachableError):
        ask()
