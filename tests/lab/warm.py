"""Owns warm starts: our command line in a host of the laboratory, forked from a process that has imported it.

A start costs a tenth of a second in place of a whole one. Run as `warm.py`, it reads one start a line as JSON
and answers each with the number of the new process.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.hosts import Host, LabError, wait_until

MODULES = (
    "sealcast.cli.main",
    "sealcast.cli.receive",
    "sealcast.cli.send",
    "sealcast.cli.held",
    "sealcast.cli.acting",
    "sealcast.cli.leaving",
    "sealcast.cli.reloading",
    "sealcast.client.transfer",
    "sealcast.config.load",
    "sealcast.receiver.run",
    "sealcast.sender.run",
    "sealcast.cli.channel",
    "sealcast.cli.fleet",
    "sealcast.cli.inviting",
    "sealcast.cli.output",
    "sealcast.cli.running",
    "sealcast.cli.targets",
    "sealcast.device.newkeys",
    "encodings.idna",
    "zoneinfo",
)
CLONE_NEWNET, CLONE_NEWNS, PR_SET_PDEATHSIG = 0x4000_0000, 0x2_0000, 1
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
COMMAND_S = 30.0
NO_MOUNTS: Mapping[str, Path] = {}


@dataclass(frozen=True, slots=True)
class Actor:
    """A program that was started warm; what it writes and its exit status go to files."""

    pid: int
    name: str
    place: Path

    @property
    def out(self) -> str:
        """What it wrote to standard output so far."""
        return self._written("out")

    @property
    def err(self) -> str:
        """What it wrote to standard error so far."""
        return self._written("err")

    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return Path(f"/proc/{self.pid}").exists()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = COMMAND_S) -> str:
        """Return what it wrote to standard output, once it has ended well."""
        wait_until(lambda: not self.running(), f"the end of {self.name}: {self.err[-500:]}", timeout_s)
        if self._written("status") != "0":
            raise LabError(f"{self.name} ended badly: {self.err[-2_000:]}")
        return self.out

    def end(self) -> dict[str, Any]:
        """Ask it to end, as a service manager does, and return the summary that it printed."""
        self.send_signal(signal.SIGTERM)
        return dict(json.loads(self.wait()))

    def _written(self, kind: str) -> str:
        path = self.place.with_suffix(f".{kind}")
        return path.read_text(encoding="utf-8") if path.exists() else ""


class Stage:
    """Starts actors; they die with it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._started = 0

    def start(
        self,
        host: Host,
        folder: Path,
        environment: dict[str, str],
        *arguments: str,
        mounts: Mapping[str, Path] = NO_MOUNTS,
    ) -> Actor:
        """Start `sealcast ARGUMENTS` in a host, with `folder` as its working directory.

        It finds the folders of `mounts` at their places, by absolute paths.
        """
        self._started += 1
        place = self._folder / str(self._started)
        order = {
            "namespace": host.namespace,
            "folder": str(folder),
            "environment": environment,
            "arguments": arguments,
            "place": str(place),
            "mounts": {place: str(source) for place, source in mounts.items()},
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return Actor(int(self._process.stdout.readline()), " ".join(arguments), place)


@contextlib.contextmanager
def warm(folder: Path, *modules: str) -> Iterator[Stage]:
    """Open a stage that keeps its files in `folder` and has imported `modules`, too."""
    folder.mkdir()
    command = [sys.executable, __file__, *modules]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **paths}
    )
    try:
        yield Stage(process, folder)
    finally:
        process.kill()
        process.communicate(timeout=COMMAND_S)


def main() -> None:
    """Start what is asked for until standard input ends."""
    for module in (*MODULES, *sys.argv[1:]):
        importlib.import_module(module)
    # Nobody waits for children: the kernel forgets them when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            perform(json.loads(line))
        print(pid, flush=True)


def perform(order: dict[str, Any]) -> None:
    """Become the program that is asked for, in its host; never returns."""
    place = Path(order["place"])
    status: object = "failed"
    try:
        _enter(order["namespace"], order["mounts"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Until the program takes it itself.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        for number, path in enumerate(
            (Path("/dev/null"), place.with_suffix(".out"), place.with_suffix(".err"))
        ):
            opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        sys.argv[1:] = order["arguments"]
        sys.modules["sealcast.cli.main"].main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends here
        print(repr(error), file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        place.with_suffix(".status").write_text(str(status), encoding="ascii")
        os._exit(0)


def _enter(namespace: str, mounts: dict[str, str]) -> None:
    """Move this process into a network namespace, and mount for it alone; it dies with its parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with Path(f"/run/netns/{namespace}").open("rb") as opened:
        if libc.setns(opened.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    if mounts and (libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)):
        raise OSError(ctypes.get_errno(), "unshare")
    for place, source in mounts.items():
        if libc.mount(source.encode(), place.encode(), None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), f"mount {place}")


if __name__ == "__main__":
    main()
