"""Shows that an agent that ends at any instant loses nothing: what left it can be gone on with."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.agents import Agent, Package, asked, make_vault, new_jti, new_order, pack, running_agent
from sealcast.agent import secrets
from sealcast.client.agent import AgentClient
from sealcast.core.errors import SealcastError, UsageError
from sealcast.core.secret import Secret
from sealcast.sealpack.sharing import open_escrow_share
from sealpack.makers import RANDOM, escrow, operator

CONTENT = RANDOM.bytes(1_000)
SIGN_S_MAX = 20


class CrashError(SealcastError):
    """The agent ends here."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Agent]:
    """Run an agent."""
    with running_agent(tmp_path, operator().party("TV-0010", "device")) as started:
        yield started


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[list[str]]:
    """Have the agent's writes end it: the `at`-th step before it is done, all later ones too.

    Each file that is written or erased is a step before and a step after.
    """
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(name)
        if len(steps) > at:
            raise CrashError(name)

    with monkeypatch.context() as patch:
        for name in ("replace_private", "erase_private"):
            real = getattr(secrets, name)

            def done(path: Path, *data: bytes, real=real, name=name) -> None:
                step(f"before {name}")
                real(path, *data)
                step(f"after {name}")

            patch.setattr(secrets, name, done)
        yield steps


def go_on(client: AgentClient, package: Package, order: str, seen: dict[int, set[bytes]]) -> None:
    """Do a purchase from its beginning, as a program does that was interrupted; keeps each c' that left."""
    for number in (1, 2):
        if any(row.complete for row in client.entitlements() if row.order == order):
            return
        blinded = asked(client.blind(package.token, number, order, jti=new_jti())).blinded
        seen.setdefault(number, set()).add(blinded)
        client.unblind(order, number, escrow(number - 1).open(blinded))


def opens(client: AgentClient, package: Package, folder: Path) -> bool:
    """Whether the content comes out."""
    sink = folder / "sink"
    with package.path.open("rb") as head, sink.open("wb") as into:
        session = client.open(head.fileno())
        client.copy(session.session, 0, session.size, head.fileno(), into.fileno())
    return sink.read_bytes() == package.content


def test_every_write_may_be_the_last(running: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended before or after any of its writes, a purchase goes on with the same c' and opens."""
    package = pack(tmp_path / "p", CONTENT, 2, threshold=2)
    at, finished = 0, False
    while not finished:
        order, seen = new_order(), dict[int, set[bytes]]()
        with crashing(monkeypatch, at) as steps:
            try:
                with running.client() as client:
                    go_on(client, package, order, seen)
                finished = True
            except SealcastError:
                assert steps
        running.restart()
        with running.client() as client:
            go_on(client, package, order, seen)
            assert all(len(blinded) == 1 for blinded in seen.values()), steps
            assert opens(client, package, tmp_path)
            assert not list(running.state.glob("*.pending")), steps
            client.forget(package.header.header.id)
        at += 1
    assert at >= 10


def test_restart_between_blind_and_unblind(running: Agent, tmp_path: Path) -> None:
    """An agent that begins anew unblinds what the one before it blinded."""
    package, order = pack(tmp_path / "p", CONTENT), new_order()
    with running.client() as client:
        blinded = asked(client.blind(package.token, 1, order, jti=new_jti())).blinded
    running.restart()
    with running.client() as client:
        assert client.unblind(order, 1, escrow(0).open(blinded)).complete
        assert opens(client, package, tmp_path)


def test_nothing_secret_stands_on_the_disk(running: Agent, tmp_path: Path) -> None:
    """Files are for the device's user alone; none holds a share, r or the content key in the clear."""
    package, order = pack(tmp_path / "p", CONTENT, 2, threshold=2), new_order()
    with running.client() as client:
        blinded = asked(client.blind(package.token, 1, order, jti=new_jti())).blinded
        client.unblind(order, 1, escrow(0).open(blinded))
        one = escrow(0)
        z = one.open(package.header.parts[0].encapsulation)
        share = open_escrow_share(package.header.parts[0], package.header.package_id, Secret(z)).reveal()
        waiting = {path: path.read_bytes() for path in running.state.iterdir()}
        blinded = asked(client.blind(package.token, 2, order, jti=new_jti())).blinded
        client.unblind(order, 2, escrow(1).open(blinded))
    kept = {path: path.read_bytes() for path in running.state.iterdir()}
    assert {path.suffix for path in waiting} == {".pending", ""}
    assert {path.suffix for path in kept} == {".entitlement", ""}
    for data in (*waiting.values(), *kept.values()):
        for secret in (z, share, package.content_key.reveal()):
            assert secret not in data
            assert secret.hex().encode() not in data
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


@pytest.mark.parametrize("suffix", [".pending", ".entitlement"])
def test_damaged_files(running: Agent, tmp_path: Path, suffix: str) -> None:
    """A file that was changed, or is another's, is named and opens nothing."""
    package, order = pack(tmp_path / "p", CONTENT, 2, threshold=2), new_order()
    with running.client() as client:
        blinded = asked(client.blind(package.token, 1, order, jti=new_jti())).blinded
        client.unblind(order, 1, escrow(0).open(blinded))
        if suffix == ".entitlement":
            go_on(client, package, order, {})
        (path,) = running.state.glob(f"*{suffix}")
        data = bytearray(path.read_bytes())
        data[200] ^= 1
        path.write_bytes(data)
        with pytest.raises(UsageError, match="is damaged"):
            client.entitlements()
        data[200] ^= 1
        path.write_bytes(data)
        path.rename(path.with_stem("A" * 22))
        with pytest.raises(UsageError, match="is damaged"):
            client.entitlements()


def test_one_agent_for_a_device(running: Agent) -> None:
    """A second agent on the same folder ends at once: two would each blind with an r of its own."""
    with pytest.raises(UsageError, match="another device agent"):
        secrets.Secrets(running.state)


@contextmanager
def process(folder: Path, vault: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run `sealcast device serve`, and kill it at the end."""
    command = ["device", "serve", "--credential", vault, "--state", folder / "state", "--agent", folder / "s"]
    with subprocess.Popen(
        [sys.executable, "-m", "sealcast.cli", *map(str, command)],
        env={**os.environ, "SEALCAST_LOGGING_LEVEL": "error", **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as agent:
        try:
            assert agent.stdout is not None
            assert "listens at" in agent.stdout.readline()
            yield agent
        finally:
            agent.kill()


def test_killed(tmp_path: Path) -> None:
    """Killed as soon as c' is here, a real agent finds r again when it is started, over its left socket.

    Who starts it again hears when it is ready, and when it ends.
    """
    vault = make_vault(tmp_path, operator().party("TV-0011", "device"))
    package, order = pack(tmp_path / "p", CONTENT), new_order()
    with process(tmp_path, vault) as agent, AgentClient(tmp_path / "s") as client:
        blinded = asked(client.blind(package.token, 1, order, jti=new_jti())).blinded
        agent.kill()
    assert (tmp_path / "s").exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SIGN_S_MAX)
        with process(tmp_path, vault, NOTIFY_SOCKET=str(tmp_path / "notify")) as agent:
            assert manager.recv(256).startswith(b"READY=1\nSTATUS=device TV-0011 at")
            with AgentClient(tmp_path / "s") as client:
                assert asked(client.blind(package.token, 1, order, jti=new_jti())).blinded == blinded
                assert client.unblind(order, 1, escrow(0).open(blinded)).complete
                assert opens(client, package, tmp_path)
            agent.terminate()
            assert manager.recv(256) == b"STOPPING=1"
            assert agent.wait(SIGN_S_MAX) == 0
