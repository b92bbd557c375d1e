"""Owns `sealcast registry`: the devices and senders that an operator knows, and the vaults made for them."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json
from sealcast.core.errors import SealcastError

if TYPE_CHECKING:
    from sealcast.core.ports import Random
    from sealcast.device.vault import Credential

app = typer.Typer(
    help="Devices and senders: add, list.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


class PartyRole(StrEnum):
    """What a registered party does."""

    DEVICE = "device"
    SENDER = "sender"
    OPERATOR = "operator"
    REPLICA = "replica"


Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="CHANNEL",
        help="A channel that a device may receive, or a sender send on (again for more).",
    ),
]


@app.command(
    epilog=examples(
        "sealcast registry add TV-0001 --channel news --output TV-0001.vault",
        "sealcast registry add studio --role sender --channel news --output studio.vault",
    )
)
def add(
    context: typer.Context,
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Serial number of a device, or name of another party.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="FILE.vault", help="Where the party's vault goes.", show_default=False)
    ],
    role: Annotated[PartyRole, typer.Option(help="What it is.")] = PartyRole.DEVICE,
    channel: Channels = None,
    *,
    json: Json = False,
) -> None:
    """Make a party's keys, register them, and write its vault with the key file beside it.

    A device has two symmetric secrets, everybody else two key pairs. Both files go to the party's machine;
    nobody else needs them.
    """
    from sealcast.cli import acting
    from sealcast.cli import output as out
    from sealcast.device.vault import key_path, save_vault
    from sealcast.transport.system import SystemRandom

    operator = acting.operator_credential(acting.settings(context))
    random = SystemRandom()
    party = new_party(operator, id_, role, random)
    save_vault(output, party, random)
    try:
        register(operator, party, channel or [])
    except SealcastError:
        output.unlink(missing_ok=True)
        key_path(output).unlink(missing_ok=True)
        raise
    if json:
        out.print_json({"id": id_, "role": role.value, "vault": str(output), "key": str(key_path(output))})
    else:
        out.print_line(
            f"{role.value} {id_} is registered; its vault is {output}, the key to it {key_path(output)}"
        )


@app.command("list", epilog=examples("sealcast registry list", "sealcast registry list --json"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List the registered devices and senders."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import RegistryList

    credential = acting.operator_credential(acting.settings(context))
    answer = acting.ask(credential, operations.REGISTRY_LIST, RegistryList)
    if json:
        output.print_json(answer)
        return
    rows = [(row.id, row.role, row.kind, row.registered_at) for row in answer.entries]
    output.print_table(("ID", "ROLE", "KEYS", "SINCE"), rows, empty="nobody is registered yet")


def new_party(operator: "Credential", id_: str, role: PartyRole, random: "Random") -> "Credential":
    """Return a party with fresh keys that trusts what the operator's credential trusts."""
    from sealcast.device.vault import Credential
    from sealcast.messages import jwk

    has_pairs = role is not PartyRole.DEVICE
    return Credential(
        role=role.value,
        id=id_,
        operator=operator.operator,
        signing=jwk.new_signing_pair(random) if has_pairs else jwk.new_oct_key(random),
        kek=jwk.new_sealing_pair(random) if has_pairs else jwk.new_oct_key(random),
        ca_pem=operator.ca_pem,
        servers=operator.servers,
        server_key=operator.server_key,
        server_kek=operator.server_kek,
    )


def register(operator: "Credential", party: "Credential", channels: list[str]) -> None:
    """Send the key server what it must know of a party: secrets if symmetric, else the public halves.

    A device is subscribed to `channels` at once, a sender may send on them.
    """
    from sealcast.cli import acting
    from sealcast.messages import jose, operations
    from sealcast.messages.answers import Done
    from sealcast.messages.encoding import encode
    from sealcast.messages.requests import RegisteredKeys

    symmetric = party.signing.kty == "oct"
    keys = RegisteredKeys(
        signing=party.signing if symmetric else party.signing.public(),
        kek=party.kek if symmetric else party.kek.public(),
    )
    sealed = jose.seal(encode(keys), operator.server_kek, kid=operator.operator, typ=jose.TYP_SEALED_KEY)
    acting.ask(
        operator,
        operations.REGISTRY_ADD,
        Done,
        id=party.id,
        role=party.role,
        sealed_keys=sealed,
        channels=channels,
    )
