"""Shows what `send --carousel` and `receive --output FOLDER` say to a command line that does not fit."""

from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist

USAGE = 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("send", "files", "--carousel", "."), "a carousel needs a rate"),
        (
            ("send", "files", "--carousel", ".", "--rate", "5M", "--input", "x"),
            "leave out --input and --loop",
        ),
        (("send", "files", "--carousel", ".", "--rate", "5M", "--loop"), "leave out --input and --loop"),
        (("send", "files", "--input", "x", "--repair", "10"), "--repair goes with --carousel"),
        (("send", "--schedule", "x", "--carousel", "."), "--carousel"),
        (("receive", "files", "--output", "none", "--once"), "none is no folder; make it first"),
        (
            ("receive", "files", "--output", "-", "--max-size", "1G"),
            "--max-size is for the files of a carousel",
        ),
        (("receive", "files", "--output", ".", "--max-size", "much"), "not a size: 'much'"),
        (("receive", "--all", "--once"), "--once"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, type_at: Typist, arguments: tuple[str, ...], line: str) -> None:
    """One line each, status 2, and nothing was begun."""
    result = type_at(Terminal(tmp_path, SEALCAST_CONFIG=""), *arguments)
    assert result.status == USAGE
    assert line in result.complaint
    assert list(tmp_path.iterdir()) == []
