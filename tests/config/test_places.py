"""Shows where files stand for root and for a user, and that state is private."""

import os
from pathlib import Path

import pytest

from sealcast.config.places import config_dir, private_dir, state_dir
from sealcast.core.errors import UsageError


def test_places_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's files stand in the system's folders, whatever XDG says."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config_dir({"XDG_CONFIG_HOME": "/x"}) == Path("/etc/sealcast")
    assert state_dir({"XDG_STATE_HOME": "/x"}) == Path("/var/lib/sealcast")


def test_places_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's files follow the XDG folders, which must be absolute to count."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert config_dir({"XDG_CONFIG_HOME": "/x"}) == Path("/x/sealcast")
    assert config_dir({}) == Path("/home/ada/.config/sealcast")
    assert state_dir({"XDG_STATE_HOME": "relative"}) == Path("/home/ada/.local/state/sealcast")


def test_private_dir(tmp_path: Path) -> None:
    """A folder is made with 0700, kept if it is, and refused with the remedy if others can read it."""
    folder = tmp_path / "a" / "state"
    assert private_dir(folder).stat().st_mode & 0o777 == 0o700
    assert private_dir(folder) == folder
    folder.chmod(0o750)
    with pytest.raises(UsageError, match=f"chmod 700 {folder}"):
        private_dir(folder)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot use the folder"):
        private_dir(tmp_path / "file" / "below")
