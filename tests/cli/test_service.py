"""Types the guide to a subscription service, line by line, and compares what is printed with the guide."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pkcs11
import pytest

from cli.terminal import COMMAND_S_MAX, Result, Terminal, Typist, free_port
from device.softhsm import MODULE, PIN, VARIABLE
from sealcast.demo.testcard import make_testcard
from sealcast.device.files import write_private

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide-service.md"
MACHINES = ("operator", "tv", "box", "spare", "copy", "fake")
CARD_S = 4
ADDRESS = "127.0.0.1:18444"
READY = {"serve": "listens on", "send": "on air", "receive": "granted"}
"""What a command that goes on running says once it does what it is for."""

KEY_OBJECTS = 4
"""Two pairs, each a private and a public object."""

READY_S, LOOK_S = 30.0, 0.05
SALES = """serial,sold_on,seller,note
BOX-0001,2026-03-02,Shop 7,
TV-0002,2026-03-02,Shop 7,bought with the box
TV 0003,2026-03-02,Shop 9,
"""

CHANGING = (
    (r"\s+", " "),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"#[\w-]{22}\.[\w-]{43}", "#TOKEN.FINGERPRINT"),
    (r"(?<![\w-])[\w-]{43}(?![\w-])", "DIGEST"),
    (r"[0-9a-f]{30,40}", "HEX"),
    (r"\((kek|signing) of", "(KEY of"),
    (r"(process|slot) \d+", "NUMBER"),
    (r"[\d.]+ s after", "S after"),
    (r"TIME TIME [\d-]+ \d+", "TIME TIME EPOCHS PACKETS"),
)
"""What is another each time: the width of a table, instants, secrets, numbers and counts."""


@dataclass
class Typed:
    """A line of the guide: on which machine, the command, and what it printed there."""

    machine: str
    command: str
    printed: list[str] = field(default_factory=list)


def transcript(text: str) -> list[Typed]:
    """Return the lines typed in the guide's blocks, in order, each with what follows it."""
    typed: list[Typed] = []
    for block in re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            prompt = re.fullmatch(r"(\w+)\$ (.*)", line)
            if prompt:
                typed.append(Typed(prompt[1], prompt[2]))
            else:
                typed[-1].printed.append(line)
    return typed


def shape(text: str) -> str:
    """Return a text without what is another each time."""
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return text.strip()


class Machines:
    """The machines of the guide, each a folder below `root`; programs in the background end with the test."""

    def __init__(self, root: Path, type_at: Typist, stack: contextlib.ExitStack) -> None:
        self.root = root
        self._type = type_at
        self._stack = stack
        self._address = f"127.0.0.1:{free_port()}"
        self._invitation = ""
        self._path = root / "bin"
        self._path.mkdir()
        program = self._path / "sealcast"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sealcast.cli "$@"\n')
        program.chmod(0o755)
        self.terminals = {name: self._machine(name) for name in MACHINES}

    def _machine(self, name: str) -> Terminal:
        folder = self.root / name
        if name != "copy":
            folder.mkdir()
        search = f"{self._path}{os.pathsep}{os.environ['PATH']}"
        return Terminal(folder, PATH=search, SEALCAST_LOGGING_LEVEL="error")

    def type(self, typed: Typed) -> str:
        """Type a line on its machine and return what it printed, as the guide would have it."""
        line = typed.command.replace(ADDRESS, self._address).replace("LINE", f"'{self._invitation}'")
        terminal = self.terminals[typed.machine]
        if line.endswith(" &"):
            self._start(terminal, line.removesuffix(" &"))
            return ""
        words = shlex.split(line)
        is_ours = words[0] == "sealcast"
        result = self._type(terminal, *words[1:]) if is_ours else self._shell(terminal, line)
        if "registry invite" in line:
            self._invitation = result.out.split()[2]
        printed = result.out + result.err
        if result.status:
            printed += f"status {result.status}\n"
        return printed.replace(str(self.root), "/srv").replace(self._address, ADDRESS)

    def _shell(self, terminal: Terminal, line: str) -> Result:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=terminal.folder,
            env=terminal.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def _start(self, terminal: Terminal, line: str) -> None:
        """Start a program and wait until it does what it is for."""
        words = shlex.split(line)[1:]
        verb = next(word for word in words if word in READY)
        log = terminal.folder / f"{verb}-{words[words.index(verb) + 1]}.log"
        running = terminal.running(*words, stdout=log, stderr=log, SEALCAST_LOGGING_LEVEL="info")
        process = self._stack.enter_context(running)
        wait_for(log, READY[verb], process)


def wait_for(log: Path, word: str, process: "subprocess.Popen[str]") -> None:
    """Wait until a program's log has a word; it must not end before."""
    ends = time.monotonic() + READY_S
    while word not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(LOOK_S)


@pytest.fixture
def machines(tmp_path: Path, type_at: Typist, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """Return the machines of the guide, with what stands there before the first line."""
    with contextlib.ExitStack() as stack:
        made = Machines(tmp_path, type_at, stack)
        make_testcard(tmp_path / "operator" / "card.ts", CARD_S)
        (tmp_path / "operator" / "march.csv").write_text(SALES)
        write_private(tmp_path / "box" / "pin", PIN.encode() + b"\n")
        monkeypatch.setenv(VARIABLE, str(set_up_tokens(tmp_path / "box")))
        made.terminals["box"].environment[VARIABLE] = os.environ[VARIABLE]
        yield made


def set_up_tokens(folder: Path) -> Path:
    """Have SoftHSM2 keep its tokens in a folder; return its configuration."""
    tokens, config = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir()
    config.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return config


def objects_in_token(label: str) -> list[str]:
    """Return what a token holds."""
    library = pkcs11.lib(MODULE)
    library.reinitialize()
    with library.get_token(token_label=label).open(user_pin=PIN) as session:
        return [str(object_) for object_ in session.get_objects()]


def grows(path: Path) -> bool:
    """Whether a file grows within a while."""
    before, ends = path.stat().st_size, time.monotonic() + READY_S
    while path.stat().st_size == before and time.monotonic() < ends:
        time.sleep(LOOK_S)
    return path.stat().st_size > before


def test_the_guide_is_true(machines: Machines) -> None:
    """Each line of the guide, typed on its machine, prints what the guide says."""
    box = machines.root / "box"
    for typed in transcript(GUIDE.read_text(encoding="utf-8")):
        printed = machines.type(typed)
        assert shape(printed) == shape("\n".join(typed.printed)), f"{typed.machine}$ {typed.command}"
        words = shlex.split(typed.command)
        if words[0] == "softhsm2-util":
            pkcs11.lib(MODULE).reinitialize()
        elif typed.machine == "box" and words[-2:] == ["withdraw", "news"]:
            assert grows(box / "film.ts"), "the other channel goes on"
            assert len(objects_in_token("BOX")) == KEY_OBJECTS
        elif typed.machine == "box" and "withdraw" in words:
            assert objects_in_token("BOX") == []
    assert (machines.root / "tv" / "news.ts").stat().st_size > 0
    assert all(path.stat().st_size == 0 for path in machines.root.glob("*/more.ts"))
