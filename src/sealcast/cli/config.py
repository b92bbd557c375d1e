"""Owns `sealcast config`: what is configured, from where, and whether it fits."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.config.load import Loaded

app = typer.Typer(
    help="Check or show the configuration.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(epilog=examples("sealcast config check", "sealcast --config ./sealcast.toml config check"))
def check(context: typer.Context, *, json: Json = False) -> None:
    """Check file, environment and the vaults they name; the first mistake is told with line and key."""
    from sealcast.cli import acting, output

    loaded = acting.settings(context)
    opened = _open_vaults(context, loaded)
    if json:
        output.print_json({"path": str(loaded.path), "exists": loaded.path.exists(), "credentials": opened})
        return
    source = loaded.path if loaded.path.exists() else f"no file {loaded.path}: the defaults"
    output.print_line(f"{source}: good" + "".join(f"; {role} {name}" for role, name in opened.items()))


@app.command(epilog=examples("sealcast config show", "SEALCAST_RECEIVER_REORDER_MS=50 sealcast config show"))
def show(context: typer.Context, *, json: Json = False) -> None:
    """Show every setting in the form of the file, and where each comes from."""
    import msgspec

    from sealcast.cli import acting, output

    loaded = acting.settings(context)
    if json:
        output.print_json({"path": str(loaded.path), "settings": loaded.settings})
        return
    output.print_line(f"# {loaded.path}" + ("" if loaded.path.exists() else " (absent)"))
    for section, table in msgspec.to_builtins(loaded.settings).items():
        output.print_line(f"\n[{section}]")
        for key, value in table.items():
            text = "# not set" if value is None else f"= {msgspec.json.encode(value).decode()}"
            origin = loaded.origins.get((section, key), "default")
            output.print_line(f"{key} {text}" if value is None else f"{key} {text}  # {origin}")
    for where in loaded.channels.places():
        output.print_line(f"# {where}")


def _open_vaults(context: typer.Context, loaded: "Loaded") -> dict[str, str]:
    """Open each vault that the settings name and return whose it is by role; raises UsageError."""
    from sealcast.cli.acting import open_credential

    named = loaded.settings
    opened: dict[str, str] = {}
    if named.admin.credential:
        opened["operator"] = open_credential(context, loaded, "operator").credential.operator
    if named.sender.credential:
        opened["sender"] = open_credential(context, loaded, "sender").credential.id
    if named.receiver.credential:
        opened["device"] = open_credential(context, loaded, "device").credential.id
    return opened
