"""Gives the tests of the command line an operator's key server and a quick way to type."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cli.terminal import Result, Terminal, Typist, new_operator
from guard.keyguard.watch import ON_STANDARD_OUTPUT
from guard.plugin import GUARD
from sealcast.cli.main import run


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal in the folder of an operator; its key server runs, and nothing is registered."""
    folder: Path = tmp_path_factory.mktemp("operator")
    terminal = new_operator(folder)
    with terminal.key_server():
        yield terminal


@pytest.fixture
def type_at(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Typist]:
    """Return a function that runs a terminal's command in this process, without starting another."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def type_(terminal: Terminal, *arguments: str, **environment: str) -> Result:
        with monkeypatch.context() as patch:
            patch.chdir(terminal.folder)
            for name, value in {**terminal.environment, **environment}.items():
                patch.setenv(name, value)
            capfd.readouterr()
            status = run(list(arguments))
            printed = capfd.readouterr()
        GUARD.look_at(printed.err, "standard error")
        GUARD.look_at(printed.out, "standard output", allowed=ON_STANDARD_OUTPUT)
        return Result(status, printed.out, printed.err)

    yield type_
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
