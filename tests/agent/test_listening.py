"""Shows how an agent's socket is made for those who are to reach it."""

import os
from pathlib import Path

import pytest

from sealcast.agent.listening import listen
from sealcast.core.errors import UsageError


def test_nothing_is_given_away_that_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its own group an agent changes no owner, which its unit forbids; for another it would."""

    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    path = tmp_path / "run" / "agent.sock"
    with listen(path, None, os.getegid()):
        assert path.stat().st_mode & 0o777 == 0o660
        assert path.parent.stat().st_mode & 0o777 == 0o750
    with pytest.raises(UsageError, match="Operation not permitted"):
        listen(path, None, os.getegid() + 1)
