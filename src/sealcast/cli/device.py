"""Owns `sealcast device`: devices that buy, their certificates, and who their persons are."""

import typer

from sealcast.cli import identify, serveagent
from sealcast.cli.helps import examples

app = typer.Typer(
    help="Devices: serve the agent, renew certificates, identify, list the identified.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

app.command(
    epilog=examples(
        "sealcast device serve",
        "sealcast device serve --credential tv.vault --state ./agent --agent ./agent.sock",
        "sealcast --pin-file PIN device serve --user sealcast --group video --state /var/lib/sealcast-agent",
    )
)(serveagent.serve)
app.command(epilog=examples("sealcast device renew", "sealcast device renew --credential tv.vault"))(
    identify.renew
)
app.command(
    epilog=examples(
        "sealcast device identify TV-0001 --evidence 'contract 2041, shown in the shop on 2026-02-03'",
        "sealcast device identify TV-0001 --undo",
    )
)(identify.identify)
app.command(epilog=examples("sealcast device identified", "sealcast device identified --json"))(
    identify.identified
)
