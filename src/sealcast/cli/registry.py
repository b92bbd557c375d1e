"""Owns `sealcast registry`: the parties that an operator knows, and the vaults made for them."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli import inviting
from sealcast.cli.helps import examples
from sealcast.cli.options import Channels, Json, PartyRole

app = typer.Typer(
    help="Devices, senders and others: invite, add, list, remove.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

PartyId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Serial number of a device, or name of another party.", show_default=False
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
    id_: PartyId,
    output: Annotated[
        Path, typer.Option(metavar="FILE.vault", help="Where the party's vault goes.", show_default=False)
    ],
    role: Annotated[PartyRole, typer.Option(help="What it is.")] = PartyRole.DEVICE,
    channel: Channels = None,
    *,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Seal the vault under a passphrase, without a key file.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a party's keys, register them, and write its vault with the key file beside it.

    A device has two symmetric secrets, everybody else two key pairs. Both files go to the party's machine;
    nobody else needs them.
    """
    from sealcast.cli import acting, parties
    from sealcast.cli import output as out
    from sealcast.cli.given import given_of
    from sealcast.cli.passphrases import new_passphrase
    from sealcast.device.vault import key_path

    operator = acting.operator(context)
    secret = new_passphrase(given_of(context), output) if passphrase else None
    parties.make_party(operator, id_, role.value, channels=channel or [], vault=output, passphrase=secret)
    key = None if passphrase else str(key_path(output))
    if json:
        out.print_json({"id": id_, "role": role.value, "vault": str(output), "key": key})
    else:
        opens = f"the key to it {key}" if key else "which opens with the passphrase"
        out.print_line(f"{role.value} {id_} is registered; its vault is {output}, {opens}")


@app.command("list", epilog=examples("sealcast registry list", "sealcast registry list --json"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List everybody who is registered."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import RegistryList

    answer = acting.ask(acting.operator(context), operations.REGISTRY_LIST, RegistryList)
    if json:
        output.print_json(answer)
        return
    rows = [(row.id, row.role, row.kind, row.registered_at) for row in answer.entries]
    output.print_table(("ID", "ROLE", "KEYS", "SINCE"), rows, empty="nobody is registered yet")


@app.command(epilog=examples("sealcast registry remove TV-0001"))
def remove(context: typer.Context, id_: PartyId, *, json: Json = False) -> None:
    """Forget a party's keys: it is nobody from now on, and may be registered or invited anew.

    Its subscriptions end and its certificates are revoked. The keys of a stream that a device has still open
    it until they change.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    answer = acting.ask(acting.operator(context), operations.REGISTRY_REMOVE, Done, id=id_)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{id_} is removed")


app.command(
    epilog=examples(
        "sealcast registry invite --channel news",
        "sealcast registry invite --role sender --id studio --channel news --expires 1h",
    )
)(inviting.invite)
app.command(epilog=examples("sealcast registry invitations", "sealcast registry invitations --cancel 3"))(
    inviting.invitations
)
