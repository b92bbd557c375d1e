"""Owns `sealcast doctor`: options, and the findings as a table, as lines or as JSON."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Credential, Interface, Json

if TYPE_CHECKING:
    from pathlib import Path

    from sealcast.config.schema import Settings
    from sealcast.core.errors import UsageError
    from sealcast.doctor.finding import Finding

INTERRUPTED = 130
HEADERS = ("RESULT", "CHECK", "FOUND", "WHAT TO DO")

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast doctor",
        "sealcast doctor news --credential TV-0001.vault",
        "sealcast doctor rtp://192.0.2.10@232.1.1.1:5004 --interface eth0 --wait 130",
        "sealcast doctor --json | jq '.[] | select(.result != \"ok\")'",
    )
)
def doctor(
    context: typer.Context,
    channel: Annotated[
        str | None,
        typer.Argument(
            metavar="CHANNEL",
            help=escape("Name or number of a channel, or its stream: [SOURCE@]GROUP:PORT."),
            show_default=False,
        ),
    ] = None,
    *,
    interface: Interface = None,
    credential: Credential = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.5, max=600, help="How long to listen at the most.")
    ] = 3.0,
    json: Json = False,
) -> None:
    """Look for what stands between this machine and a stream, and say what to do about it.

    Status 0 unless a check fails. As root it sees more: IGMP and MLD queries, firewall rules.
    """
    import os

    from sealcast.cli import output
    from sealcast.cli.given import given_of
    from sealcast.cli.passphrases import passphrase_source, pin_source
    from sealcast.cli.running import run_until_signal
    from sealcast.doctor.finding import Result
    from sealcast.doctor.run import Examination, examine
    from sealcast.transport.address import parse_group
    from sealcast.transport.system import SystemClock, SystemRandom

    if channel is not None and ":" in channel:
        parse_group(channel)
    settings, path, error = _settings(context)
    examination = Examination(
        settings=settings,
        config_path=path,
        config_error=error,
        environment=os.environ,
        target=channel,
        interface=interface,
        credential=credential,
        wait_s=wait,
        passphrase_for=passphrase_source(given_of(context)),
        pin_for=pin_source(given_of(context)),
    )
    findings = run_until_signal(
        lambda _: examine(examination, clock=SystemClock(), random=SystemRandom()), end_within_s=0
    )
    if findings is None:
        raise typer.Exit(INTERRUPTED)
    if json:
        output.print_json(findings)
    else:
        _print(findings)
    if any(finding.result is Result.FAIL for finding in findings):
        raise typer.Exit(1)


def line_of(finding: "Finding") -> str:
    """Return a finding as one line for a log or a pipe."""
    advice = f"; do: {finding.advice}" if finding.advice else ""
    return f"{finding.result:<4} {finding.check}: {finding.detail}{advice}"


def _print(findings: "list[Finding]") -> None:
    import sys

    from sealcast.cli import output

    if sys.stdout.isatty():
        rows = [(str(each.result), each.check, each.detail, each.advice) for each in findings]
        output.print_table(HEADERS, rows, empty="nothing was looked at")
        return
    for finding in findings:
        output.print_line(line_of(finding))


def _settings(context: typer.Context) -> "tuple[Settings, Path, UsageError | None]":
    """Return the settings, or the defaults with what is wrong with the configuration: a finding too."""
    import os
    from pathlib import Path

    from sealcast.cli import acting
    from sealcast.cli.given import given_of
    from sealcast.config import logs
    from sealcast.config.places import FILE_NAME, config_dir
    from sealcast.config.schema import Settings
    from sealcast.core.errors import UsageError

    try:
        loaded = acting.settings(context)
    except UsageError as error:
        logs.set_up("warning", "auto")
        named = given_of(context).config
        return Settings(), Path(named) if named else config_dir(os.environ) / FILE_NAME, error
    return loaded.settings, loaded.path, None
