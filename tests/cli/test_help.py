"""Shows that help is complete, quick to come by, and that the small things of a command line work."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist
from sealcast import __version__
from sealcast.cli.commands import COMMANDS

SLOW = (
    "aiohttp",
    "structlog",
    "msgspec",
    "cryptography",
    "joserfc",
    "litestar",
    "sqlalchemy",
    "av",
    "pydantic",
)
"""What `sealcast --help` has no use for; each costs more than it has left of its 0.3 s."""

VERBS = (
    ("send",),
    ("receive",),
    ("stop",),
    ("init",),
    ("init", "reception"),
    ("serve", "keyserver"),
    ("serve", "reception"),
    ("config", "check"),
    ("config", "show"),
    ("channel", "add"),
    ("channel", "list"),
    ("channel", "show"),
    ("channel", "remove"),
    ("channel", "senders"),
    ("channel", "open"),
    ("channel", "close"),
    ("sold", "add"),
    ("sold", "import"),
    ("sold", "list"),
    ("sold", "remove"),
    ("subscribe",),
    ("subscriber", "offenders"),
    ("subscriber", "pardon"),
    ("enrol",),
    ("registry", "add"),
    ("registry", "list"),
    ("registry", "remove"),
    ("registry", "invite"),
    ("registry", "invitations"),
    ("ca", "issue"),
    ("ca", "list"),
    ("ca", "revoke"),
    ("ca", "crl"),
    ("ca", "renew-server"),
    ("subscriber", "add"),
    ("subscriber", "remove"),
    ("subscriber", "list"),
    ("receptions",),
    ("billing",),
    ("billing", "tariff", "add"),
    ("billing", "tariff", "list"),
    ("billing", "tariff", "show"),
    ("billing", "tariff", "assign"),
    ("billing", "tariff", "unassign"),
    ("billing", "tariff", "assignments"),
    ("billing", "customer", "set"),
    ("billing", "customer", "show"),
    ("billing", "customer", "list"),
    ("billing", "invoice", "close"),
    ("billing", "invoice", "list"),
    ("billing", "invoice", "show"),
    ("billing", "invoice", "credit"),
    ("billing", "invoice", "export"),
    ("billing", "ledger", "list"),
    ("billing", "ledger", "balance"),
    ("billing", "ledger", "pay"),
    ("billing", "ledger", "post"),
    ("billing", "ledger", "reverse"),
    ("billing", "ledger", "close"),
    ("billing", "ledger", "export"),
    ("package", "pack"),
    ("package", "inspect"),
    ("package", "verify"),
    ("package", "licence"),
    ("package", "unpack"),
    ("doctor",),
    ("probe",),
    ("simulate",),
    ("demo",),
)


def test_help_lists_everything(tmp_path: Path) -> None:
    """The first help shows each command in its panel, with examples."""
    text = Terminal(tmp_path).good("--help")
    for entry in COMMANDS:
        assert entry.name in text
        assert entry.panel in text
    assert "Examples" in text


def test_no_command_is_help(tmp_path: Path) -> None:
    """Without a command the help is shown."""
    assert "Every day" in Terminal(tmp_path).good()


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_command_has_examples(tmp_path: Path, type_at: Typist, verb: tuple[str, ...]) -> None:
    """Every command explains itself with an example that begins with its own name."""
    text = type_at(Terminal(tmp_path), *verb, "--help").out
    assert "Examples" in text
    assert f"sealcast {' '.join(verb)}" in text.partition("Examples")[2].replace(
        "--config ./sealcast.toml ", ""
    )


def test_help_is_light() -> None:
    """Help loads none of the libraries that only running commands need, so that it is quick."""
    program = (
        "import sys; sys.argv = ['sealcast', '--help']\n"
        "from sealcast.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print([name for name in sys.argv[0:0] + list(sys.modules)], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stderr
    assert "'typer'" in loaded
    for name in SLOW:
        assert f"'{name}'" not in loaded


def test_version(tmp_path: Path) -> None:
    """--version prints name and version."""
    assert Terminal(tmp_path).good("--version") == f"sealcast {__version__}\n"


def test_completion(tmp_path: Path) -> None:
    """A shell completes nouns, and verbs of a noun."""
    terminal = Terminal(tmp_path)
    words = terminal.run(_SEALCAST_COMPLETE="complete_bash", COMP_WORDS="sealcast ch", COMP_CWORD="1").out
    assert words.split() == ["channel"]
    words = terminal.run(
        _SEALCAST_COMPLETE="complete_bash", COMP_WORDS="sealcast channel ", COMP_CWORD="2"
    ).out
    assert words.split() == ["add", "list", "show", "open", "close", "fresh-start", "remove", "senders"]


def test_closed_output(tmp_path: Path) -> None:
    """Whoever reads the output may stop early, as `head` does: no complaint, status 0."""
    line = f"{sys.executable} -m sealcast.cli config show; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"sleep 0.1 | {{ {line}; }} | true"],
        env={**Terminal(tmp_path).environment, "SEALCAST_CONFIG": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "0"
