"""Shows how errors become a line and a status."""

import pytest

from sealcast.cli.failures import explain, guarded
from sealcast.core.errors import FormatError, RefusedError, SealcastError, UnreachableError, UsageError


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (UsageError("no such file"), "no such file", 2),
        (UnreachableError("nobody there"), "nobody there", 3),
        (
            RefusedError("not-subscribed", "TV-1 does not subscribe to news"),
            "TV-1 does not subscribe to news",
            4,
        ),
        (FormatError("not a grant"), "not a grant", 1),
        (SealcastError("went wrong"), "went wrong", 1),
        (ModuleNotFoundError("x", name="litestar.handlers"), "pip install 'sealcast[server]'", 1),
        (ModuleNotFoundError("x", name="av"), "pip install 'sealcast[demo]'", 1),
        (PermissionError(13, "Permission denied", "/srv/x"), "refuses /srv/x: Permission denied", 1),
        (KeyError("x"), "internal error, please report it with the log of -v: KeyError: 'x'", 1),
    ],
)
def test_explain(error: Exception, line: str, status: int) -> None:
    """Each kind of error has its status, and its text is said as it is."""
    said, ended = explain(error)
    assert line in said
    assert ended == status


def test_one_line_whatever_the_error_says(capfd: pytest.CaptureFixture[str]) -> None:
    """Line breaks and control characters of a foreign text do not reach the terminal."""

    def fail() -> None:
        raise RefusedError("bad", "one\ntwo\x1b[31m three\r")

    assert guarded(fail) == 4
    assert capfd.readouterr().err == "sealcast: one two [31m three\n"


def test_interrupted(capfd: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is status 130 and needs no words."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    assert guarded(interrupted) == 130
    assert capfd.readouterr().err == ""
