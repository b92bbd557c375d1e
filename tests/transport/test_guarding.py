"""Shows what a process keeps to itself, and how it knows who is at the other end of its sockets."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from sealcast.transport.guarding import peer_of
from sealcast.transport.owners import is_ours, owner_of

NOBODY, GROUP = 65_534, 44
CONNECT = """
import encodings.idna, os, socket, sys
if os.geteuid() == 0:
    os.setgroups([44]); os.setgid(65534); os.setuid(65534)
host, _, port = sys.argv[1].partition(":")
sock = socket.create_connection((host, int(port))) if port else socket.socket(socket.AF_UNIX)
if not port:
    sock.connect(host)
print(flush=True)
sys.stdin.readline()
"""
HARDEN = """
import resource
from pathlib import Path
from sealcast.transport.guarding import forbid_dumps, lift_lock_limit, lock_memory
lift_lock_limit()
print(forbid_dumps(), resource.getrlimit(resource.RLIMIT_CORE), lock_memory())
print(next(l.split()[1] for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmLck")))
"""


def _accepted(listening: socket.socket, where: str) -> tuple[socket.socket, subprocess.Popen[str]]:
    """Return a connection by a process, of another user where we may start one."""
    process = subprocess.Popen(
        [sys.executable, "-c", CONNECT, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    listening.settimeout(20)
    accepted, _ = listening.accept()
    assert process.stdout is not None
    process.stdout.readline()
    return accepted, process


def test_who_connected(tmp_path: Path) -> None:
    """The process, user and groups at the other end of a Unix socket are those that connected."""
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        (tmp_path / "sock").chmod(0o666)
        listening.listen()
        accepted, process = _accepted(listening, str(tmp_path / "sock"))
        peer = peer_of(accepted)
        accepted.close()
        process.communicate("\n", timeout=10)
    assert peer.pid == process.pid
    if os.geteuid() == 0:
        assert peer.uid == NOBODY
        assert peer.groups == {NOBODY, GROUP}
    else:
        assert peer.uid == os.geteuid()
        assert os.getgid() in peer.groups


def test_whose_tcp_connection() -> None:
    """A connection over loopback is known by its user; that of another is none of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepted, process = _accepted(listening, f"127.0.0.1:{listening.getsockname()[1]}")
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as own:
            assert (owner_of(own), is_ours(own)) == (os.geteuid(), True)
        theirs = owner_of(accepted), is_ours(accepted)
        process.communicate("\n", timeout=10)
        accepted.close()
    assert theirs == ((NOBODY, False) if os.geteuid() == 0 else (os.geteuid(), True))


def test_hardened() -> None:
    """A process forbids its dumps; its memory is locked where it says so, and only then."""
    done = subprocess.run([sys.executable, "-c", HARDEN], capture_output=True, text=True, check=True)
    first, locked_kb = done.stdout.splitlines()
    assert first.startswith("True (0, 0) ")
    assert (int(locked_kb) > 0) == first.endswith("True")
