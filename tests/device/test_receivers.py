"""Shows that running receivers are found, ended and told from those that were killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from device.credentials import CREDENTIAL
from sealcast.device.receivers import ReceiverLock, running_receivers
from sealcast.device.vault import Credential

PROGRAM = """
import sys, time
from pathlib import Path
from sealcast.device.receivers import ReceiverLock
from sealcast.device.vault import Credential
from sealcast.messages.encoding import decode
credential = decode(sys.stdin.readline(), Credential)
with ReceiverLock(Path(sys.argv[1]), credential, sys.argv[2]) as lock:
    lock.note_channel("news", 7)
    print("held", flush=True)
    time.sleep(30)
"""


@contextlib.contextmanager
def other_process(folder: Path, credential: Credential, target: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a receiver of another process, as far as its lock goes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(credential) + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def found(folder: Path, credential: Credential, *channels: str) -> list[int]:
    """Return the processes of the running receivers of some channels."""
    return [each.entry.pid for each in running_receivers(folder, credential, channels)]


def test_one_of_each_channel_is_found(tmp_path: Path) -> None:
    """Receivers are found by what was typed, by name and by number; those of other devices never."""
    stranger = msgspec.structs.replace(CREDENTIAL, id="another")
    with (
        ReceiverLock(tmp_path, CREDENTIAL, "rtp://239.1.1.1:5004") as first,
        ReceiverLock(tmp_path, CREDENTIAL, "film"),
        ReceiverLock(tmp_path, stranger, "news"),
    ):
        assert found(tmp_path, CREDENTIAL, "news") == []
        first.note_channel("news", 7)
        for channel in ("news", "7", "rtp://239.1.1.1:5004", "film"):
            assert found(tmp_path, CREDENTIAL, channel) == [os.getpid()]
        assert found(tmp_path, CREDENTIAL, "news", "film") == [os.getpid()] * 2
        assert len(list(running_receivers(tmp_path, CREDENTIAL))) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_killed_one_is_stale(tmp_path: Path) -> None:
    """What a receiver killed with -9 left behind is not taken for a receiver, and is removed."""
    with other_process(tmp_path, CREDENTIAL, "news") as process:
        (running,) = running_receivers(tmp_path, CREDENTIAL, ["7"])
        assert running.entry.pid == process.pid
        process.kill()
        process.wait()
        assert not running.is_running()
        running.end()
    assert list(tmp_path.iterdir()) != []
    with ReceiverLock(tmp_path, CREDENTIAL, "film"):
        assert len(list(tmp_path.iterdir())) == 1, "the next receiver has removed it"
    assert found(tmp_path, CREDENTIAL, "news") == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_one_channel_is_ended_by_a_signal(tmp_path: Path) -> None:
    """SIGTERM reaches the process that holds the lock, and its end is seen."""
    with other_process(tmp_path, CREDENTIAL, "news") as process:
        (running,) = running_receivers(tmp_path, CREDENTIAL, ["news"])
        running.end()
        assert process.wait(10) == -signal.SIGTERM
        assert not running.is_running()


def test_one_of_many_is_told(tmp_path: Path) -> None:
    """A process that receives many channels is not ended: the one channel learns that it is to end."""
    with ReceiverLock(tmp_path, CREDENTIAL, "news", is_one_of_many=True) as lock:
        (running,) = running_receivers(tmp_path, CREDENTIAL, ["news"])
        assert not lock.is_told_to_end()
        running.end()
        assert lock.is_told_to_end()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Without its folder a receiver runs all the same, and nobody finds it."""
    with ReceiverLock(tmp_path / "no", CREDENTIAL, "news") as lock:
        lock.note_channel("news", 7)
        assert not lock.is_told_to_end()
        assert found(tmp_path / "no", CREDENTIAL, "7") == []
    assert found(tmp_path / "no", CREDENTIAL, "news") == []


def test_a_damaged_file_is_no_receiver(tmp_path: Path) -> None:
    """A file that says nothing sensible, held or not, ends no process."""
    with ReceiverLock(tmp_path, CREDENTIAL, "news"):
        (path,) = tmp_path.iterdir()
        path.write_bytes(b'{"pid": "all of them"}')
        assert found(tmp_path, CREDENTIAL, "news") == []
