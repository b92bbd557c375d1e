"""Shows what signals do to each program, as real processes: an end in time, reloads without a gap."""

import asyncio
import contextlib
import os
import pty
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cli.terminal import READY_LINE, Terminal, key_server_url, new_operator
from faults.nursery import Child, Forks, Nursery
from sealcast.client import KeyServerClient
from sealcast.core.errors import SealcastError
from sealcast.device.vault import load_vault, open_vault, save_vault
from sealcast.messages import operations
from sealcast.messages.channels import ChannelData
from sealcast.server.state import renew_server_certificate
from sealcast.transport.system import SystemClock, SystemRandom

END_S = 5.0
"""The promise."""

NOISE_S = 3.0
"""What a busy machine adds to the promise before a test fails."""

RELOADS = 5
OPEN_CONNECTIONS = 100
RATE = "400k"
JSON_LOG = {"SEALCAST_LOGGING_LEVEL": "info", "SEALCAST_LOGGING_FORMAT": "json"}
ENDINGS = [(signal.SIGTERM, 0), (signal.SIGINT, 130)]


def end_of(process: "subprocess.Popen[str] | Child", *numbers: signal.Signals) -> int:
    """Send signals, and return the exit status, which has to come in time."""
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(0.1 if len(numbers) > 1 else 0)
    if isinstance(process, Child):
        return process.end(END_S + NOISE_S)
    return process.wait(END_S + NOISE_S)


def size_of(path: Path) -> int:
    """Return how much a program has written; nothing before it made the file."""
    return path.stat().st_size if path.exists() else 0


def wait_for(happened: Callable[[], object], what: str) -> None:
    """Wait until something has happened."""
    ends = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < ends, f"no {what}"
        time.sleep(0.02)


class Place(Terminal):
    """A terminal where a key server runs, with a channel, a sender and a device; `nursery` is quick."""

    nursery: Nursery


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Return the process that forks the others."""
    starting = Forks()
    yield starting
    starting.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Place]:
    """Return the place of the streams."""
    folder = tmp_path_factory.mktemp("site")
    place = Place(folder, **new_operator(folder).environment | JSON_LOG)
    (folder / "film.bin").write_bytes(SystemRandom().bytes(4_000_000))
    group = f"239.255.{os.getpid() % 250}.77:5004"
    with Nursery(place, forks) as place.nursery:
        good = place.nursery.good
        place.nursery.start("serve", "keyserver").wait_for_line(READY_LINE)
        good("registry", "add", "studio", "--role", "sender", "--output", "studio.vault")
        good("registry", "add", "tv", "--output", "tv.vault")
        good("channel", "add", "news", "--group", group, "--interface", "lo", "--sender", "studio")
        good("subscriber", "add", "news", "tv")
        yield place


SEND = ("send", "news", "--input", "film.bin", "--rate", RATE, "--credential", "studio.vault", "--json")
RECEIVE = ("receive", "news", "--interface", "lo", "--wait", "--credential", "tv.vault", "--json")


def test_reloads_cost_a_stream_no_packet(site: Place) -> None:
    """Three SIGHUPs each to a running sender and receiver: all packets arrive, one log line each time."""
    film, out = site.folder / "film.bin", site.folder / "film.out"
    receiver = site.nursery.start(*RECEIVE, "--output", "film.out")
    receiver.wait_for("joined")
    sender = site.nursery.start(*SEND)
    wait_for(lambda: size_of(out) > 50_000, "stream")
    for _ in range(3):
        for child in (sender, receiver):
            child.send(signal.SIGHUP)
            child.wait_for("reloaded")
    before = size_of(out)
    wait_for(lambda: size_of(out) > before + 50_000, "stream afterwards")
    sent = sender.stop()
    received = receiver.summary()
    assert (received["lost"], received["packets_opened"]) == (0, sent["packets"])
    assert film.read_bytes().startswith(out.read_bytes())


def test_reload_takes_servers_from_the_vault_and_refuses_a_strange_one(site: Place) -> None:
    """A changed server list is taken over; a vault that does not open leaves the old one in force."""
    vault = open_vault(site.folder / "tv.vault")
    receiver = site.nursery.start(*RECEIVE, "--output", "moved.out")
    receiver.wait_for("joined")
    servers = [*vault.credential.servers, "https://keys-2.example:8443"]
    vault.keep(msgspec.structs.replace(vault.credential, servers=servers))
    receiver.send(signal.SIGHUP)
    assert receiver.wait_for("reloaded")["servers"] == servers
    good = vault.path.read_bytes()
    vault.path.write_bytes(good[:-9] + b"AAAAAAAA\n")
    receiver.send(signal.SIGHUP)
    assert "does not open as before" in receiver.wait_for("not reloaded")["reason"]
    vault.keep(vault.credential)
    assert end_of(receiver, signal.SIGINT) == 0


@contextlib.contextmanager
def mute_server() -> Iterator[tuple[str, Callable[[], object]]]:
    """Give the address of a server that never says a word, and what waits until somebody has come to it."""
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        yield url, lambda: stack.enter_context(server.accept()[0])


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_ends_before_the_first_key(site: Place, number: signal.Signals, status: int) -> None:
    """Sender and receiver end in time while their key server is mute; the sender's work is cut short."""
    with mute_server() as (url, wait_for_one):
        for name, command, expected in (("studio", SEND, status), ("tv", RECEIVE, 0)):
            credential = load_vault(site.folder / f"{name}.vault")
            mute = site.folder / f"mute-{name}-{status}.vault"
            save_vault(mute, msgspec.structs.replace(credential, servers=[url]), SystemRandom())
            output = ("--output", f"mute-{status}.out") if command is RECEIVE else ()
            state = str(site.folder / f"mute-{status}")
            child = site.nursery.start(
                *command, *output, "--credential", str(mute), SEALCAST_SENDER_STATE=state
            )
            wait_for_one()
            assert end_of(child, number) == expected


@contextlib.contextmanager
def on_air(site: Place, *options: str) -> Iterator[None]:
    """Send for as long as the block."""
    sender = site.nursery.start(*SEND, "--loop", *options)
    try:
        yield
    finally:
        status = end_of(sender, signal.SIGTERM)
    assert status == 0, sender.err


@pytest.mark.parametrize(
    ("numbers", "status"), [((signal.SIGTERM,), 0), ((signal.SIGINT, signal.SIGINT), 130)]
)
def test_ends_with_blocked_output(site: Place, numbers: tuple[signal.Signals, ...], status: int) -> None:
    """A reader that does not read holds nobody up; a second signal cuts even the wait for it."""
    reader, writer = os.pipe()
    log = site.folder / f"blocked-{status}.err"
    unread = Path(f"/dev/fd/{writer}")
    with (
        on_air(site, "--rate", "20M"),
        site.running(*RECEIVE, "--output", "-", stdout=unread, stderr=log) as it,
    ):
        wait_for(lambda: '"granted"' in log.read_text(), "grant")
        time.sleep(1.5)
        assert end_of(it, *numbers) == status
    os.close(reader)
    os.close(writer)


def test_ends_with_a_blocked_log(site: Place) -> None:
    """A program that hangs in writing its own log still ends in time."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 4_096):
            pass
    os.set_blocking(writer, True)
    with site.running(*RECEIVE, "--output", "stuck.out", stderr=Path(f"/dev/fd/{writer}")) as receiver:
        wait_for((site.folder / "stuck.out").exists, "output")
        time.sleep(1)
        assert receiver.poll() is None
        assert end_of(receiver, signal.SIGTERM) == 0
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(("prefix", "goes_on"), [((), False), (("nohup",), True)])
def test_a_closed_terminal(site: Place, prefix: tuple[str, ...], goes_on: bool) -> None:  # noqa: FBT001
    """A program whose terminal closes ends well, with what it had; one started by nohup goes on."""
    out = site.folder / ("nohup.out" if goes_on else "closed.out")
    command = [*prefix, sys.executable, "-m", "sealcast.cli", *RECEIVE, "--output", out.name]
    with on_air(site):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(site.folder)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run by nohup
            os.execvpe(command[0], command, site.environment)  # noqa: S606 - a terminal needs its own fork
        wait_for(lambda: size_of(out) > 0, "stream")
        os.close(terminal)
        if goes_on:
            before = size_of(out)
            wait_for(lambda: size_of(out) > before + 20_000, "stream without a terminal")
            os.kill(child, signal.SIGTERM)
        ends = time.monotonic() + END_S + NOISE_S
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert os.waitstatus_to_exitcode(ended[1]) == 0


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_demo_ends_and_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """The demo outlives SIGHUP, then ends in time with its programs and its folder."""
    terminal = Terminal(tmp_path, TMPDIR=str(tmp_path), SEALCAST_CONFIG="")
    with terminal.running("demo", stdout=tmp_path / "demo.log") as demo:
        wait_for(lambda: "serve keyserver" in (tmp_path / "demo.log").read_text(), "programs")
        demo.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert demo.poll() is None
        assert end_of(demo, number) == status
    assert not list(tmp_path.glob("sealcast-demo-*"))
    assert not [
        each for each in Path("/proc").glob("[0-9]*/environ") if str(tmp_path).encode() in _bytes_of(each)
    ]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def trust_of(terminal: Terminal) -> ssl.SSLContext:
    """Return a context that trusts this operator."""
    return ssl.create_default_context(cafile=terminal.folder / "keyserver" / "ca.pem")


def place_of(terminal: Terminal) -> tuple[str, int]:
    """Return where an operator's key server listens."""
    return "127.0.0.1", int(key_server_url(terminal).rpartition(":")[2])


def connect(number: int, place: tuple[str, int], trust: ssl.SSLContext) -> socket.socket:
    """Open one of four kinds of connection: silent, idle after an answer, half a header, half a body."""
    plain = socket.create_connection(place, timeout=20)
    if number % 4 == 0:
        return plain
    secure = trust.wrap_socket(plain, server_hostname="127.0.0.1")
    if number % 4 == 1:
        secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(4_096).startswith(b"HTTP/1.1 200")
    elif number % 4 == 2:
        secure.sendall(b"POST /v1/keys HTTP/1.1\r\nHost:")
    else:
        secure.sendall(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    return secure


async def add_channels(terminal: Terminal, stop: asyncio.Event, first: int) -> list[str]:
    """Add channels until the key server is gone, and return those that it acknowledged."""
    done: list[str] = []
    async with KeyServerClient(load_vault(operator_vault(terminal)), SystemRandom()) as client:
        for number in range(first, first + 10_000):
            name = f"channel-{number}"
            data = ChannelData(name=name, group=f"239.1.{number >> 8 & 255}.{number & 255}", port=5004)
            try:
                await client.call(operations.CHANNEL_ADD, channel=data, senders=[])
            except SealcastError:
                return done
            done.append(name)
            if stop.is_set():
                break
    return done


def operator_vault(terminal: Terminal) -> Path:
    """Return the administrator's vault."""
    return next(terminal.folder.glob("*.vault"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_keyserver_ends_with_a_hundred_connections(tmp_path: Path, number: signal.Signals) -> None:
    """With 100 connections in every state it ends in time; whatever it acknowledged is in its database."""
    terminal = new_operator(tmp_path)
    place, trust = place_of(terminal), trust_of(terminal)

    async def story(process: "subprocess.Popen[str]") -> list[str]:
        stop = asyncio.Event()
        adding = [asyncio.create_task(add_channels(terminal, stop, first)) for first in (1, 20_001)]
        await asyncio.sleep(1)
        status = await asyncio.to_thread(end_of, process, number)
        stop.set()
        assert status == 0
        return [name for names in await asyncio.gather(*adding) for name in names]

    with terminal.key_server() as process, contextlib.ExitStack() as stack:
        for index in range(OPEN_CONNECTIONS):
            stack.enter_context(connect(index, place, trust))
        acknowledged = asyncio.run(story(process))
    with contextlib.closing(sqlite3.connect(tmp_path / "keyserver" / "keyserver.sqlite")) as database:
        kept = {name for (name,) in database.execute("SELECT name FROM channels")}
    assert acknowledged
    assert set(acknowledged) <= kept


def serial(place: tuple[str, int], trust: ssl.SSLContext) -> object:
    """Return the serial number of the certificate that the server shows; None if it breaks off."""
    try:
        with (
            socket.create_connection(place, timeout=20) as plain,
            trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return dict(secure.getpeercert() or {})["serialNumber"]
    except OSError:
        return None


async def list_channels(terminal: Terminal, stop: asyncio.Event) -> int:
    """Ask without a pause until told to stop; an answer that does not come is an error."""
    count = 0
    async with KeyServerClient(load_vault(operator_vault(terminal)), SystemRandom()) as client:
        while not stop.is_set():
            await client.call(operations.CHANNEL_LIST)
            count += 1
    return count


def test_keyserver_reloads_without_a_failed_request(tmp_path: Path) -> None:
    """Five new certificates, 100 connections open and clients asking without a pause: no request fails."""
    terminal = new_operator(tmp_path)
    place, trust = place_of(terminal), trust_of(terminal)

    async def story(process: "subprocess.Popen[str]") -> int:
        stop = asyncio.Event()
        asking = [asyncio.create_task(list_channels(terminal, stop)) for _ in range(4)]
        for _ in range(RELOADS):
            old = await asyncio.to_thread(serial, place, trust)
            renew_server_certificate(tmp_path / "keyserver", SystemRandom(), SystemClock().wall_ns())
            process.send_signal(signal.SIGHUP)
            ends = time.monotonic() + 20
            while (shown := await asyncio.to_thread(serial, place, trust)) in {old, None}:
                assert time.monotonic() < ends
                await asyncio.sleep(0.02)
            assert shown != old
        stop.set()
        return sum(await asyncio.gather(*asking))

    with terminal.key_server() as process, contextlib.ExitStack() as stack:
        for index in range(OPEN_CONNECTIONS):
            stack.enter_context(connect(index, place, trust))
        assert asyncio.run(story(process)) > RELOADS
        assert end_of(process, signal.SIGTERM) == 0


def test_keyserver_refuses_files_that_do_not_do(tmp_path: Path) -> None:
    """A foreign key and a mistake in the configuration change nothing; a new address is told."""
    terminal = new_operator(tmp_path)
    place, trust = place_of(terminal), trust_of(terminal)
    log, key, settings = (tmp_path / name for name in ("log", "keyserver/tls.key", "sealcast.toml"))
    good_settings = settings.read_text()
    with terminal.running("serve", "keyserver", stderr=log, **JSON_LOG) as process:
        assert process.stdout.readline()
        shown = serial(place, trust)
        for path, bad in ((key, (tmp_path / "keyserver/ca.key").read_text()), (settings, "[nonsense]\n")):
            good, before = path.read_text(), log.read_text().count("not reloaded")
            path.write_text(bad)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda n=before: log.read_text().count("not reloaded") == n + 1, "refusal")
            path.write_text(good)
        assert serial(place, trust) == shown
        moved = good_settings.replace(str(place[1]), "1")
        settings.write_text(moved)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "with a restart only" in log.read_text(), "word on the address")
        assert serial(place, trust) == shown
        assert end_of(process, signal.SIGTERM) == 0
