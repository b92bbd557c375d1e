"""Shows that a file appears whole under its name, or not at all, and takes no other's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.sealpack.newfile import NewFile

KILLED = """
import os, sys
from pathlib import Path
from sealcast.sealpack.newfile import NewFile
with NewFile(Path(sys.argv[1])) as file:
    file.write_at(b"x" * 100_000, 0)
    os.kill(os.getpid(), 9)
"""


def _names(folder: Path) -> list[str]:
    """Return what stands in a folder, hidden files too."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("is_named", [False, True])
def test_it_appears_when_it_is_kept(tmp_path: Path, *, is_named: bool) -> None:
    """Before, nothing stands under the name; after, all of it, readable as the umask says."""
    path = tmp_path / "new"
    with NewFile(path, is_named=is_named) as file:
        file.write_at(b"world", 6)
        file.write_at(b"hello ", 0)
        assert not path.exists()
        file.keep(is_synced=True)
        assert path.read_bytes() == b"hello world"
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert _names(tmp_path) == ["new"]


@pytest.mark.parametrize("is_named", [False, True])
def test_a_failure_leaves_nothing(tmp_path: Path, *, is_named: bool) -> None:
    """What ends before it is kept leaves the folder as it was."""

    def fail() -> None:
        with NewFile(tmp_path / "new", is_named=is_named) as file:
            file.write_at(b"half", 0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _names(tmp_path) == []


@pytest.mark.parametrize("is_named", [False, True])
def test_nothing_is_overwritten(tmp_path: Path, *, is_named: bool) -> None:
    """A file that stands there, or comes meanwhile, stays as it is."""
    path = tmp_path / "new"
    with NewFile(path, is_named=is_named) as file:
        file.write_at(b"ours", 0)
        path.write_bytes(b"theirs")
        with pytest.raises(UsageError, match="never overwritten"):
            file.keep()
    with pytest.raises(UsageError, match="never overwritten"):
        NewFile(path, is_named=is_named)
    assert path.read_bytes() == b"theirs"
    assert _names(tmp_path) == ["new"]


def test_a_killed_program_leaves_nothing(tmp_path: Path) -> None:
    """Killed in the middle, a program leaves no part of its file."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "new")], check=False)
    assert done.returncode == -9
    assert _names(tmp_path) == []


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is not there, and a disk with too little room, are said before anything is written."""
    with pytest.raises(UsageError, match="No such file"):
        NewFile(tmp_path / "absent" / "new")
    with NewFile(tmp_path / "new") as file, pytest.raises(UsageError, match="are free there"):
        file.check_room(2**60)
