"""Owns hosts made of network namespaces: programs run and start in them, and nothing stays behind."""

import contextlib
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "sealcast-lab"
"""Namespaces are called PREFIX-process-number-role: two runs never meet, and a dead run's are known."""

STOP_S = 6.0
"""How long a program may take after SIGTERM: ours promise 5 s."""

POLL_S = 0.05

_numbers = itertools.count()


class LabError(RuntimeError):
    """The laboratory could not be built, or a program in it did not do what was waited for."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Return once `condition` holds; raises LabError naming `what` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout_s:g} s in vain for: {what}")
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Program:
    """A program started in a host; its output goes to files, so that it never blocks."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def stdout(self) -> str:
        """Return what it wrote to standard output so far."""
        return self.out.read_text(encoding="utf-8", errors="replace")

    def stderr(self) -> str:
        """Return what it wrote to standard error so far."""
        return self.err.read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Return its exit status; raises LabError if it has none after `timeout_s`."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"still running after {timeout_s:g} s: {self.process.args}\n{self.stderr()}"
            ) from error

    def stop(self) -> int:
        """Send SIGTERM, after STOP_S SIGKILL, and return the exit status."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(STOP_S)


@dataclass(slots=True)
class Host:
    """One namespace. A host has one interface, `eth0`; `leg` is the router's interface towards it."""

    namespace: str
    folder: Path
    ipv4: str = ""
    ipv6: str = ""
    leg: str = ""
    programs: list[Program] = field(default_factory=list)

    def command(self, *command: str | Path) -> list[str]:
        """Return `command` as run in here; it dies with the process that starts it, however that ends."""
        inside = ["ip", "netns", "exec", self.namespace]
        return [*inside, "setpriv", "--pdeathsig", "KILL", *map(str, command)]

    def run(self, *command: str | Path, timeout_s: float = 20.0) -> str:
        """Run a program to its end and return its standard output; raises LabError if it fails."""
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise LabError(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def start(self, *command: str | Path, **environment: str) -> Program:
        """Start a program without standard input; it is stopped with the network at the latest."""
        number = next(_numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                self.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                env={**os.environ, **environment},
            )
        self.programs.append(Program(process, out, err))
        return self.programs[-1]

    def set(self, path: str, value: str) -> None:
        """Write a kernel setting below /proc/sys in here."""
        self.run("sh", "-c", f'echo "{value}" > /proc/sys/{path}')

    def ip(self, *commands: str) -> None:
        """Run one `ip` command per argument in here."""
        for command in commands:
            self.run("ip", *command.split())


@dataclass(slots=True)
class Network:
    """The namespaces of one test and the pairs of interfaces between them."""

    name: str
    folder: Path
    hosts: list[Host] = field(default_factory=list)

    def add(self, role: str) -> Host:
        """Add a host with loopback up, and without the second that IPv6 takes to detect duplicates."""
        host = Host(f"{self.name}-{role}", self.folder)
        _ip("netns", "add", host.namespace)
        self.hosts.append(host)
        host.set("net/ipv6/conf/default/accept_dad", "0")
        host.set("net/ipv6/conf/default/dad_transmits", "0")
        host.ip("link set lo up")
        return host

    def connect(self, host: Host, router: Host, leg: str, number: int) -> None:
        """Connect `eth0` of `host` with `leg` of `router`, as 10.77.number.2 and fd77:number::2."""
        host.leg, host.ipv4, host.ipv6 = leg, f"10.77.{number}.2", f"fd77:{number}::2"
        host.ip(f"link add eth0 type veth peer name {leg} netns {router.namespace}")
        for end, interface, last in ((router, leg, 1), (host, "eth0", 2)):
            end.ip(
                f"address add 10.77.{number}.{last}/24 dev {interface}",
                f"address add fd77:{number}::{last}/64 dev {interface} nodad",
                f"link set {interface} up",
            )
        host.ip(f"route add default via 10.77.{number}.1", f"route add default via fd77:{number}::1")

    def close(self) -> None:
        """Stop every program, then remove the namespaces, which takes the interfaces with it."""
        for host in self.hosts:
            for program in reversed(host.programs):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.stop()
        for host in self.hosts:
            _remove(host.namespace)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Open an empty network; whatever happens, nothing of it remains."""
    _remove_left_over()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        net = Network(f"{PREFIX}-{os.getpid()}-{next(_numbers)}", Path(folder))
        try:
            yield net
        finally:
            net.close()


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout


def _remove(namespace: str) -> None:
    """Remove a namespace of ours, with whatever a stopped program may have left running in it."""
    for process in _ip("netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), 9)
    _ip("netns", "delete", namespace)


def _remove_left_over() -> None:
    """Remove the namespaces of runs that were killed: the process in their name is gone."""
    for line in _ip("netns", "list").splitlines():
        namespace = line.split()[0]
        owner = namespace.removeprefix(f"{PREFIX}-").partition("-")[0]
        if namespace.startswith(PREFIX) and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            _remove(namespace)
