"""Owns `sealcast serve escrow`: an escrow in the foreground, with the settings of its section."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sealcast.config.schema import EscrowSection
    from sealcast.server.escrow.settings import EscrowSettings, TokenSettings

MS_PER_S = 1_000

Listen = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where it listens, in place of the configuration's.")
]
State = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Its state, in place of the configuration's.")
]
Database = Annotated[
    str | None,
    typer.Option("--db", metavar="FILE|URL", help="Its database: a file, or postgresql://USER@HOST/NAME."),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="PKCS#11 token in which new keys are made: pkcs11:token=…?module-path=…"
    ),
]


def escrow(
    context: typer.Context,
    listen: Listen = None,
    state: State = None,
    database: Database = None,
    token: Token = None,
) -> None:
    """Hold the money of orders and open packages blindly; prints its address once it accepts connections.

    SIGHUP has it read certificate and operators' files again, and who was revoked.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    import asyncio
    import sys

    from sealcast.cli import acting, output, running

    _check_extra()
    from sealcast.server.escrow.serve import serve_escrow
    from sealcast.server.serving import Reloads
    from sealcast.transport.system import SystemClock, SystemRandom

    tokens = _token(context, token or acting.settings(context).settings.escrow.token)
    asked = Asked(listen, state, database, tokens)

    def configured() -> "EscrowSettings":
        return escrow_settings(acting.settings(context).settings.escrow, asked)

    def announce(url: str) -> None:
        output.print_line(f"escrow listens on {url}")
        sys.stdout.flush()

    settings, reloads = configured(), Reloads(configured)

    async def work(stop: asyncio.Event) -> None:
        await serve_escrow(
            settings, clock=SystemClock(), random=SystemRandom(), ready=announce, stop=stop, reloads=reloads
        )

    running.run_until_signal(work, reload=reloads.ask)


@dataclass(frozen=True)
class Asked:
    """What the command line says of an escrow; what it does not say, the configuration does."""

    listen: str | None = None
    state: Path | None = None
    database: str | None = None
    token: "TokenSettings | None" = None


def escrow_settings(section: "EscrowSection", asked: Asked) -> "EscrowSettings":
    """Return the settings of an escrow; raises UsageError for what does not fit together."""
    import os

    from sealcast.cli.roles import database_of
    from sealcast.config.places import state_dir
    from sealcast.config.schema import parse_listen
    from sealcast.escrow.rules import Refunds, Timeouts
    from sealcast.server.escrow.settings import EscrowSettings

    host, port = parse_listen(asked.listen or section.listen)
    folder = asked.state or Path(section.state or state_dir(os.environ) / "escrow")
    timeouts = Timeouts(
        placed_ms=section.placed_s * MS_PER_S,
        paid_ms=section.paid_s * MS_PER_S,
        issued_ms=section.issued_s * MS_PER_S,
        disputed_ms=section.disputed_s * MS_PER_S,
        dispute_ends=section.dispute_ends,
    )
    return EscrowSettings(
        Path.cwd() / folder,
        host,
        port,
        database=database_of(asked.database, section.database, None),
        urls=tuple(section.urls),
        timeouts=timeouts,
        refunds=Refunds(most=section.refunds_max, within_ms=section.refunds_s * MS_PER_S),
        crl_every_s=section.crl_every_s,
        crl_max_age_s=section.crl_max_age_s,
        crl_file=Path(section.crl) if section.crl else None,
        key_servers=tuple(section.key_servers),
        token=asked.token,
    )


def _token(context: typer.Context, uri: str | None) -> "TokenSettings | None":
    """Return the token for new keys with its PIN, None if none is named; raises UsageError."""
    if uri is None:
        return None
    from sealcast.cli.given import given_of
    from sealcast.cli.passphrases import pin_source
    from sealcast.device.token import parse_token_uri
    from sealcast.server.escrow.settings import TokenSettings

    place = parse_token_uri(uri)
    return TokenSettings(place, pin_source(given_of(context))(place))


def _check_extra() -> None:
    """Raise UsageError where the extra `escrow` is not installed."""
    import importlib.util

    from sealcast.core.errors import UsageError

    if importlib.util.find_spec("gmpy2") is None:
        raise UsageError("an escrow's arithmetic is missing: pip install 'sealcast[escrow]'")
