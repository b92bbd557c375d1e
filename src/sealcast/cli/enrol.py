"""Owns `sealcast enrol`: a newcomer makes its keys and becomes known to the operator that invited it."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json, KeyChoice

if TYPE_CHECKING:
    from sealcast.cli.configuring import Named
    from sealcast.device.vault import Credential, Vault
    from sealcast.messages.enrolment import Enrolled, Invitation

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

VAULT_NAME = "sealcast.vault"

WHAT_IT_MAY = {"device": "may receive", "sender": "may send on"}
NEXT_COMMAND = {"device": "receive {} --output - | ffplay -", "sender": "send {} --input FILE"}


@app.command(
    epilog=examples(
        "sealcast enrol https://keys.example:8443#TOKEN.FINGERPRINT",
        "sealcast enrol https://keys.example:8443#TOKEN.FINGERPRINT --id TV-0001 --keys symmetric",
        "sealcast enrol - --passphrase --output tv.vault < invitation.txt",
        "sealcast enrol LINE --pkcs11 'pkcs11:token=TV?module-path=/usr/lib/softhsm/libsofthsm2.so'",
    )
)
def enrol(
    context: typer.Context,
    line: Annotated[
        str,
        typer.Argument(
            metavar="LINE", help="The line of the invitation, - for standard input.", show_default=False
        ),
    ],
    *,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Our name, where the invitation has none.")
    ] = None,
    keys: Annotated[KeyChoice, typer.Option(help="Which keys to make.")] = KeyChoice.ED25519,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.vault",
            help=escape(f"Where our vault goes. [default: {VAULT_NAME} beside the configuration]"),
        ),
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Seal the vault under a passphrase, without a key file.")
    ] = False,
    pkcs11: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="Make our keys inside this PKCS#11 token, where they stay (RFC 7512)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Become a device, or what else the invitation says, of the operator that sent it.

    Nothing is said to a server before its CA has proved to be the one in the invitation. If it is
    interrupted, type the same command again. The configuration names the new vault if it named none.
    """
    from sealcast.cli.configuring import config_path, name_credential

    invitation = _read(line)
    config = config_path(context)
    place = output or config.parent / VAULT_NAME
    vault = _vault(context, invitation, keys, place, passphrase=passphrase, pkcs11=pkcs11)
    party, enrolled = _enrol(vault, invitation, id_)
    vault.keep(party)
    named = name_credential(config, party.role, vault.path)
    _print(context, vault.path, party, enrolled, named, json=json)


def _read(line: str) -> "Invitation":
    """Read the invitation; raises UsageError."""
    import sys

    from sealcast.core.errors import FormatError, UsageError
    from sealcast.messages.enrolment import read_invitation

    # Who copies the whole line of an invitation brings `sealcast enrol` along.
    text = (sys.stdin.readline() if line == "-" else line).split()
    try:
        return read_invitation(text[-1] if text else "")
    except FormatError as error:
        raise UsageError(str(error)) from error


def _vault(
    context: typer.Context,
    invitation: "Invitation",
    keys: KeyChoice,
    place: Path,
    *,
    passphrase: bool,
    pkcs11: str | None,
) -> "Vault":
    """Return a vault with a newcomer's keys: the one that waits for its answer, or a new one.

    The operator is met first, so that nothing is left behind where its CA is another than it should be.
    """
    import asyncio

    from sealcast.cli.given import given_of
    from sealcast.cli.passphrases import new_passphrase, passphrase_source, pin_source
    from sealcast.client.enrolment import is_for, meet_operator, new_credential
    from sealcast.config.places import make_dir
    from sealcast.core.errors import UsageError
    from sealcast.device.holder import held_keys, open_with_keys
    from sealcast.device.newkeys import KeyKind
    from sealcast.device.token import make_keys, parse_token_uri
    from sealcast.device.vault import new_vault
    from sealcast.transport.system import SystemRandom

    given = given_of(context)
    waiting = open_with_keys(place, passphrase_source(given), pin_source(given)) if place.exists() else None
    if waiting is not None and not is_for(waiting.credential, invitation):
        raise UsageError(
            f"{place} is the vault of {waiting.credential.role} {waiting.credential.id}"
            f" of {waiting.credential.operator} and is never overwritten; choose another with --output"
        )
    operator = asyncio.run(meet_operator(invitation))
    if waiting is not None:
        return waiting
    secret = new_passphrase(given, place) if passphrase else None
    random = SystemRandom()
    make_dir(place.parent)
    token = None
    if pkcs11 is not None:
        named = parse_token_uri(pkcs11)
        token = make_keys(named, pin_source(given)(named), random)
    newcomer = new_credential(operator, invitation, KeyKind(keys.value), random, token)
    vault = new_vault(place, newcomer, random, passphrase=secret)
    return vault if token is None else replace(vault, keys=held_keys(token))


def _enrol(vault: "Vault", invitation: "Invitation", id_: str | None) -> tuple["Credential", "Enrolled"]:
    """Ask the key server; where it says no for good, the vault is deleted, where no answer came it stays."""
    import asyncio

    from sealcast.client.enrolment import FINAL_REFUSALS, enrol
    from sealcast.core.errors import RefusedError, UnreachableError
    from sealcast.device.vault import remove_vault
    from sealcast.transport.system import SystemRandom

    try:
        return asyncio.run(enrol(vault.credential, invitation, id_, SystemRandom(), vault.keys))
    except RefusedError as error:
        if error.type in FINAL_REFUSALS:
            if vault.keys is not None and vault.keys.token is not None:
                vault.keys.token.destroy(kek=True, signing=True)
            remove_vault(vault.path)
        raise
    except UnreachableError as error:
        raise UnreachableError(
            f"{error}; our keys are kept: type the same command again to finish"
        ) from error


def _print(
    context: typer.Context,
    vault: Path,
    party: "Credential",
    enrolled: "Enrolled",
    named: "Named",
    *,
    json: bool,
) -> None:
    """Say who we are now, where that is kept, and what to type next."""
    from sealcast.cli import output
    from sealcast.cli.given import given_of

    if json:
        fields = {"id": party.id, "role": party.role, "operator": party.operator, "vault": str(vault)}
        more = {
            "channels": enrolled.channels,
            "configured": named.is_set,
            "certified": bool(party.certificates),
        }
        output.print_json(fields | more)
        return
    output.print_line(f"{party.role} {party.id} is enrolled with {party.operator}; its vault is {vault}")
    output.print_line(named.line)
    if not enrolled.channels or party.role not in NEXT_COMMAND:
        return
    given = given_of(context).config
    command = "sealcast" if given is None else f"sealcast --config {given}"
    next_ = NEXT_COMMAND[party.role].format(enrolled.channels[0])
    if not named.is_set:
        verb, _, rest = next_.partition(" --")
        next_ = f"{verb} --credential {vault} --{rest}"
    output.print_line(f"it {WHAT_IT_MAY[party.role]} {', '.join(enrolled.channels)}; next:")
    output.print_line(f"  {command} {next_}")
