"""Owns a device that withdraws beside its key server, and what its death at any step leaves behind.

A step is a system call that changes a file of the device, or an SQL statement of the server that writes. Two
forms: a photograph of all files before each step of one withdrawal, what kill -9 would leave;
and as a program, children that do die by kill -9, each at the next step (arguments: an empty folder, and what
to withdraw from; printed as JSON, a line for each). Nothing is synced to the disk: a process that is killed
leaves its writes to the kernel.
"""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sealcast.client.withdrawal import Done, Withdrawing
from sealcast.device.holder import keys_of
from sealcast.device.outbox import Outbox
from sealcast.device.vault import open_vault, save_vault
from sealcast.transport.system import SystemRandom
from server.alone import Alone, prepare

POINTS_MAX = 200
"""More steps than a withdrawal has."""

READS = ("SELECT", "PRAGMA", "BEGIN", "SAVEPOINT")
CALLS = ((os, "open"), (os, "fsync"), (os, "link"), (os, "pwrite"), (Path, "replace"), (Path, "unlink"))


class Steps:
    """Calls `before` ahead of each step."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before
        self._is_quiet = False

    def step(self, *_: object) -> None:
        """Take one step, unless `before` itself caused it."""
        if not self._is_quiet:
            self._is_quiet = True
            self._before()
            self._is_quiet = False

    def statement(self, text: str) -> None:
        """Take a statement of the database for a step, if it writes."""
        if not text.startswith(READS):
            self.step()

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call` with a step before it."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.step()
            return call(*arguments, **named)

        return wrapped

    def arm(self, server: Alone, patch: Callable[[Any, str, Any], None] = setattr) -> None:
        """Begin to count: what changes files, and what the database is told."""
        server.unit_of_work._driver.set_trace_callback(self.statement)
        for owner, name in CALLS:
            patch(owner, name, self.wrap(getattr(owner, name)))


def photograph(folder: Path, place: Path) -> None:
    """Copy all files, two names of one file as such."""
    seen: dict[int, Path] = {}
    place.mkdir(parents=True)
    for path in sorted(folder.rglob("*")):
        copy = place / path.relative_to(folder)
        if path.is_dir():
            copy.mkdir(mode=0o700)
        elif (number := path.stat().st_ino) in seen:
            copy.hardlink_to(seen[number])
        elif not path.name.endswith("-shm"):
            shutil.copy2(path, copy)
            seen[number] = copy


def dies_at(point: int) -> Callable[[], None]:
    """Return what kills this process when it is called for the n-th time."""
    left = iter(range(point - 1, -1, -1))

    def before() -> None:
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    return before


async def leave(folder: Path, server: Alone, channel: str) -> Done:
    """Withdraw, or go on with it, as the command does."""
    vault = open_vault(folder / "tv.vault", allow_destroyed=True)
    keys = keys_of(vault.credential)
    with Outbox(folder / "withdrawals", vault.credential) as outbox:
        withdrawing = Withdrawing(vault, keys, outbox)
        async with server.client(vault.credential, keys) as client:
            waiting = outbox.waiting
            if waiting is None:
                waiting = withdrawing.state(await withdrawing.ask(channel, client))
            return await withdrawing.finish(waiting, client)


def look(folder: Path) -> dict[str, Any]:
    """Return what list, receptions, withdrawals and the device's files say, read from the disk."""
    database = sqlite3.connect(folder / "server" / "keyserver.sqlite")

    def rows(query: str) -> list[Any]:
        return database.execute(query).fetchall()

    credential = open_vault(folder / "tv.vault", allow_destroyed=True).credential
    box = folder / "withdrawals"
    found = {
        "live": rows("SELECT channel FROM subscriptions WHERE removed_at_ms IS NULL ORDER BY channel"),
        "received": rows("SELECT channel FROM receptions WHERE ended_at_ms IS NULL ORDER BY channel"),
        "withdrawn": rows(
            "SELECT s.channel FROM subscriptions s JOIN receptions r ON r.channel = s.channel"
            " WHERE s.ended_by = 'withdrawn' AND r.reason = 'withdrawn' ORDER BY s.channel"
        ),
        "erased": rows("SELECT channel, epoch FROM erasures ORDER BY channel, epoch"),
        "closed": rows("SELECT statement, receipt FROM withdrawals WHERE closed_at_ms IS NOT NULL"),
        "audit": rows("SELECT count(*) FROM audit WHERE what = 'withdraw'")[0][0],
        "offences": rows("SELECT count(*) FROM offences")[0][0],
        "waiting": [json.loads(path.read_text())["statement"] for path in box.glob("*.json")],
        "receipts": [path.read_text().strip() for path in box.glob("*.receipt")],
        "has_kek": credential.kek.k is not None,
        "has_signing": credential.signing.k is not None,
        "remains": sorted(path.name for path in folder.glob(".tv.vault*")),
    }
    database.close()
    return found


def open_server(folder: Path) -> Alone:
    """Return the key server of a folder, which does not wait for the disk."""
    server = Alone(folder / "server")
    server.unit_of_work._driver.execute("PRAGMA synchronous = OFF")
    return server


def in_child(work: Callable[[], Any]) -> tuple[bool, Any]:
    """Run `work` in a child; return whether it was killed, and what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}, code
    return code != 0, json.loads(said) if said else None


def die(folder: Path, channel: str, point: int) -> None:
    """Withdraw, and die at a point; in a child."""
    server = open_server(folder)
    Steps(dies_at(point)).arm(server)
    asyncio.run(leave(folder, server, channel))


def go_on(folder: Path, channel: str) -> dict[str, Any]:
    """Go on unless all is done, and look again; in a child."""
    left = look(folder)
    if left["waiting"] or not left["receipts"]:
        server = open_server(folder)
        asyncio.run(leave(folder, server, channel))
        server.close()
    return look(folder)


def shape(folder: Path, left: dict[str, Any]) -> str:
    """Return what tells one state that was left from another: no nonces, names of processes and times."""
    counts = [len(each) if isinstance(each, list) else each for each in left.values()]
    files = sorted(
        (path.suffix, path.stat().st_size) for path in folder.rglob("*") if path.parent != folder / "server"
    )
    return json.dumps([counts, files])


def new_site(base: Path) -> None:
    """Make a device that receives two channels, and its key server."""
    base.mkdir(parents=True)
    (credential,) = prepare(base / "server", "tv")
    save_vault(base / "tv.vault", credential, SystemRandom())
    (base / "withdrawals").mkdir(mode=0o700)


def main() -> None:
    """Let children die at every point until one lives; go on once from every state that they left."""
    base, channel = Path(sys.argv[1]) / "base", sys.argv[2]
    new_site(base)
    os.fsync = lambda _: None
    seen: set[str] = set()
    for point in range(1, POINTS_MAX):
        folder = base.with_name(f"point-{point}")
        shutil.copytree(base, folder)
        died, _ = in_child(partial(die, folder, channel, point))
        left = look(folder)
        is_new = shape(folder, left) not in seen
        seen.add(shape(folder, left))
        after = in_child(partial(go_on, folder, channel))[1] if is_new else None
        print(json.dumps({"died": died, "left": left, "after": after}), flush=True)
        shutil.rmtree(folder)
        if not died:
            return


if __name__ == "__main__":
    main()
