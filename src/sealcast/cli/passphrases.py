"""Owns where a passphrase comes from: a file that is named, or a question on the terminal; never an argument.

| order | place                                                                  |
|-------|------------------------------------------------------------------------|
| 1     | `--passphrase-file FILE`                                               |
| 2     | `SEALCAST_PASSPHRASE_FILE`                                             |
| 3     | `$CREDENTIALS_DIRECTORY/sealcast-passphrase` (systemd LoadCredential=) |
| 4     | a question on the terminal, asked twice for a new vault                |
"""

import getpass
import os
import sys
from pathlib import Path

from sealcast.cli.given import Given
from sealcast.core.errors import UsageError
from sealcast.core.secret import Secret
from sealcast.device.files import read_private
from sealcast.device.passphrase import passphrase_of
from sealcast.device.vault import PassphraseFor

VARIABLE = "SEALCAST_PASSPHRASE_FILE"
SYSTEMD_VARIABLE, SYSTEMD_NAME = "CREDENTIALS_DIRECTORY", "sealcast-passphrase"
HOW_TO_GIVE = f"name a file with it: sealcast --passphrase-file FILE ..., or {VARIABLE}"


def passphrase_source(given: Given) -> PassphraseFor:
    """Return what gives the passphrase of an existing vault; it raises UsageError with how to give it."""

    def passphrase_for(vault: Path) -> Secret:
        text = _from_file(given)
        if text is None:
            text = _ask(f"Passphrase of {vault.name}: ", f"{vault} is sealed under a passphrase")
        return passphrase_of(text, is_new=False)

    return passphrase_for


def new_passphrase(given: Given, vault: Path) -> Secret:
    """Return the passphrase for a new vault; raises UsageError for one too short, or typed differently."""
    text = _from_file(given)
    if text is not None:
        return passphrase_of(text, is_new=True)
    first = _ask(f"New passphrase for {vault.name}: ", f"{vault} needs a passphrase")
    chosen = passphrase_of(first, is_new=True)
    if _ask("The same again: ", "") != first:
        raise UsageError("the two passphrases differ; nothing was made")
    return chosen


def _from_file(given: Given) -> str | None:
    """Return what the named file holds; None if none is named."""
    named = given.passphrase_file or os.environ.get(VARIABLE)
    if named:
        return _text(read_private(Path(named)), named)
    folder = os.environ.get(SYSTEMD_VARIABLE)
    place = Path(folder) / SYSTEMD_NAME if folder else None
    if place is None or not place.exists():
        return None
    # systemd has seen to who may read it, by access lists that look like rights for a group.
    return _text(place.read_bytes(), str(place))


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not text in UTF-8") from error


def _ask(question: str, why: str) -> str:
    """Ask on the terminal, unseen; raises UsageError where there is none."""
    if not (sys.stdin.isatty() or sys.stderr.isatty()):
        raise UsageError(f"{why}; {HOW_TO_GIVE}")
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise UsageError(f"no passphrase was typed; {HOW_TO_GIVE}") from error
