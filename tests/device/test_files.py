"""Private files: replaced at once, and still their owner's."""

import os
from pathlib import Path

import pytest

from sealcast.device.files import read_private, replace_private, write_private

NOBODY = 65_534


def test_a_replaced_file_is_new_and_private(tmp_path: Path) -> None:
    """The new content stands under the old name, for its user alone, and nothing else is left."""
    path = tmp_path / "x.vault"
    write_private(path, b"old")
    replace_private(path, b"new")
    assert read_private(path) == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["x.vault"]


@pytest.mark.network
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    """Root renews what a server of another user reads."""
    path = tmp_path / "tls.key"
    write_private(path, b"old")
    os.chown(path, NOBODY, NOBODY)
    replace_private(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (NOBODY, NOBODY, 0o600)
