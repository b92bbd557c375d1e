"""Owns the table of commands: name, where it lives, one line of help, panel.

A command's module is imported when the command is used; `sealcast --help` needs this table only.
"""

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer._click import Command, Context
from typer.core import TyperCommand, TyperGroup

DAILY = "Every day"
SET_UP = "Set up"
ADMINISTER = "Administer"
DIAGNOSE = "Diagnose"
TRY_OUT = "Try out"


@dataclass(frozen=True, slots=True)
class Entry:
    """One command or noun: `module` holds it as a Typer named `app`."""

    name: str
    module: str
    help: str
    panel: str


COMMANDS = (
    Entry("send", "sealcast.cli.send", "Send a stream or file on a channel, encrypted.", DAILY),
    Entry("receive", "sealcast.cli.receive", "Receive a channel and give its stream back.", DAILY),
    Entry("withdraw", "sealcast.cli.withdraw", "Leave channels for good, with a receipt.", DAILY),
    Entry("stop", "sealcast.cli.stop", "Stop receiving a channel, here or at the key server.", DAILY),
    Entry("subscribe", "sealcast.cli.subscribe", "Subscribe this device to a channel.", DAILY),
    Entry("play", "sealcast.cli.play", "Play a package that was bought.", DAILY),
    Entry("buy", "sealcast.cli.buy", "Buy a package; its escrow holds the money.", DAILY),
    Entry("order", "sealcast.cli.order", "Orders: list, show, confirm, refund, dispute.", DAILY),
    Entry("init", "sealcast.cli.init", "Make an operator: CA, key server, administrator.", SET_UP),
    Entry("enrol", "sealcast.cli.enrol", "Become an operator's device by an invitation.", SET_UP),
    Entry("serve", "sealcast.cli.serve", "Run a server in the foreground.", SET_UP),
    Entry("cluster", "sealcast.cli.cluster", "Several key servers as one: add one, see them.", SET_UP),
    Entry("config", "sealcast.cli.config", "Check or show the configuration.", SET_UP),
    Entry("channel", "sealcast.cli.channel", "Channels: add, list, open, remove; who may send.", ADMINISTER),
    Entry("content", "sealcast.cli.content", "What data servers send: add, list, show, remove.", ADMINISTER),
    Entry("registry", "sealcast.cli.registry", "Parties: invite, add, list, remove.", ADMINISTER),
    Entry("device", "sealcast.cli.device", "Devices: the agent, certificates, identification.", ADMINISTER),
    Entry("package", "sealcast.cli.package", "Packages: pack, inspect, verify, unpack, licence.", ADMINISTER),
    Entry("escrow", "sealcast.cli.escrow", "At an escrow: sellers, keys, money, notices.", ADMINISTER),
    Entry("subscriber", "sealcast.cli.subscriber", "Who may receive: add, remove, list, pardon.", ADMINISTER),
    Entry("receptions", "sealcast.cli.receptions", "Who receives what, now or before.", ADMINISTER),
    Entry("sold", "sealcast.cli.sold", "Devices sold: add, import, list, remove.", ADMINISTER),
    Entry(
        "billing",
        "sealcast.cli.billing.noun",
        "Charging: tariffs, usage, invoices, ledger, settlement.",
        ADMINISTER,
    ),
    Entry("db", "sealcast.cli.database", "Its database: show, upgrade, backup, restore.", ADMINISTER),
    Entry("audit", "sealcast.cli.audit", "Who did what to whom, and when.", ADMINISTER),
    Entry("ca", "sealcast.cli.ca", "Certificates: issue, list, revoke, crl, renew-server.", ADMINISTER),
    Entry("doctor", "sealcast.cli.doctor", "Find what keeps a stream from this machine.", DIAGNOSE),
    Entry("probe", "sealcast.cli.probe", "Look at a stream without any key.", DIAGNOSE),
    Entry("demo", "sealcast.cli.demo", "See it all work on this machine.", TRY_OUT),
    Entry("simulate", "sealcast.cli.simulate", "A day of a channel with a million receivers.", TRY_OUT),
    Entry("bench", "sealcast.cli.bench", "Measure the packet path on this machine.", TRY_OUT),
)


class LazyGroup(TyperGroup):
    """The commands of a table: stand-ins for listings, the real one when it is called."""

    entries: ClassVar[tuple[Entry, ...]] = COMMANDS

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed through to Typer as it gives them
        """Fill the group with stand-ins that know name, help and panel."""
        super().__init__(**attributes)
        for entry in self.entries:
            self.add_command(TyperCommand(entry.name, help=entry.help, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Return the command that `args` name, loaded, and the rest of them."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        entry = next((each for each in self.entries if each.name == name), None)
        return name, (load(entry) if entry else stand_in), rest


def load(entry: Entry) -> Command:
    """Import a command's module and return the command under its name in the table."""
    command = typer.main.get_command(importlib.import_module(entry.module).app)
    command.name = entry.name
    return command
