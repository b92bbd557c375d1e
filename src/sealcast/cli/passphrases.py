"""Owns where passphrases and PINs come from: a file that is named, or a question; never an argument.

| order | place                                                                  |
|-------|------------------------------------------------------------------------|
| 1     | `--passphrase-file FILE`                                               |
| 2     | `SEALCAST_PASSPHRASE_FILE`                                             |
| 3     | `$CREDENTIALS_DIRECTORY/sealcast-passphrase` (systemd LoadCredential=) |
| 4     | a question on the terminal, asked twice for a new vault                |

A token's PIN: the same with `--pin-file`, `SEALCAST_PIN_FILE` and `sealcast-pin`.
"""

import getpass
import os
import sys
from pathlib import Path

from sealcast.cli.given import Given
from sealcast.core.errors import UsageError
from sealcast.core.secret import Secret
from sealcast.device.files import read_private
from sealcast.device.holder import PinFor
from sealcast.device.passphrase import passphrase_of
from sealcast.device.token import TokenPlace
from sealcast.device.vault import PassphraseFor

VARIABLE = "SEALCAST_PASSPHRASE_FILE"
SYSTEMD_VARIABLE, SYSTEMD_NAME = "CREDENTIALS_DIRECTORY", "sealcast-passphrase"
PIN_VARIABLE, PIN_SYSTEMD_NAME = "SEALCAST_PIN_FILE", "sealcast-pin"
HOW_TO_GIVE_PIN = f"name a file with it: sealcast --pin-file FILE ..., or {PIN_VARIABLE}"
HOW_TO_GIVE = f"name a file with it: sealcast --passphrase-file FILE ..., or {VARIABLE}"


def passphrase_source(given: Given) -> PassphraseFor:
    """Return what gives the passphrase of an existing vault; it raises UsageError with how to give it."""

    def passphrase_for(vault: Path) -> Secret:
        text = _from_file(given.passphrase_file, VARIABLE, SYSTEMD_NAME)
        if text is None:
            text = _ask(f"Passphrase of {vault.name}: ", f"{vault} is sealed under a passphrase")
        return passphrase_of(text, is_new=False)

    return passphrase_for


def new_passphrase(given: Given, vault: Path) -> Secret:
    """Return the passphrase for a new vault; raises UsageError for one too short, or typed differently."""
    text = _from_file(given.passphrase_file, VARIABLE, SYSTEMD_NAME)
    if text is not None:
        return passphrase_of(text, is_new=True)
    first = _ask(f"New passphrase for {vault.name}: ", f"{vault} needs a passphrase")
    chosen = passphrase_of(first, is_new=True)
    if _ask("The same again: ", "") != first:
        raise UsageError("the two passphrases differ; nothing was made")
    return chosen


def pin_source(given: Given) -> PinFor:
    """Return what gives the PIN of a token; it raises UsageError with how to give it."""

    def pin_for(token: TokenPlace) -> Secret:
        text = _from_file(given.pin_file, PIN_VARIABLE, PIN_SYSTEMD_NAME)
        if text is None:
            name = token.label or token.serial
            text = _ask(f"PIN of the token {name}: ", f"the token {name} needs its PIN", HOW_TO_GIVE_PIN)
        return Secret(text.strip().encode())

    return pin_for


def _from_file(given: str | None, variable: str, systemd_name: str) -> str | None:
    """Return what the named file holds; None if none is named."""
    named = given or os.environ.get(variable)
    if named:
        return _text(read_private(Path(named)), named)
    folder = os.environ.get(SYSTEMD_VARIABLE)
    place = Path(folder) / systemd_name if folder else None
    if place is None or not place.exists():
        return None
    # systemd has seen to who may read it, by access lists that look like rights for a group.
    return _text(place.read_bytes(), str(place))


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not text in UTF-8") from error


def _ask(question: str, why: str, how: str = HOW_TO_GIVE) -> str:
    """Ask on the terminal, unseen; raises UsageError where there is none."""
    if not (sys.stdin.isatty() or sys.stderr.isatty()):
        raise UsageError(f"{why}; {how}")
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise UsageError(f"nothing was typed; {how}") from error
