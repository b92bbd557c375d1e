"""Owns `sealcast serve`: servers in the foreground, which end with status 0 on SIGTERM and Ctrl-C."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli import serveescrow
from sealcast.cli.helps import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealcast.config.schema import BillingSection, KeyServerSection, Settings
    from sealcast.server.settings import BillingSettings, EventSettings, KeyserverSettings

app = typer.Typer(
    help="Run a server in the foreground.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def serve() -> None:
    """Run a server in the foreground."""


@app.command(
    epilog=examples(
        "sealcast serve keyserver",
        "sealcast serve keyserver --listen 0.0.0.0:8443 --state /srv/keys",
        "sealcast serve keyserver --role replica --bus nats://bus.example:4222",
    )
)
def keyserver(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where it listens, in place of the configuration's."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where it pushes events, or off (the port after --listen)."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its state, in place of the configuration's.")
    ] = None,
    *,
    role: Annotated[
        str | None,
        typer.Option(metavar="master|replica", help="What it is of several key servers."),
    ] = None,
    bus: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A server of the bus between key servers, as nats://HOST:4222."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--db", metavar="FILE|URL", help="Its database: a file, or postgresql://USER@HOST/NAME."
        ),
    ] = None,
) -> None:
    """Serve keys over HTTPS until told to end; prints its address once it accepts connections.

    SIGHUP has it read configuration, certificate and operators' files again.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    import asyncio

    from sealcast.cli import acting, running
    from sealcast.server import loops
    from sealcast.server.run import serve_keyserver
    from sealcast.server.serving import Reloads
    from sealcast.server.settings import KeyserverSettings
    from sealcast.transport.system import SystemClock, SystemRandom

    asked = _Asked(listen, events, state, role, tuple(bus or ()), database)

    def configured() -> KeyserverSettings:
        return _keyserver_settings(acting.settings(context).settings, asked)

    settings, ready = configured(), _announcing("key server")
    reloads = Reloads(configured)

    async def work(stop: asyncio.Event) -> None:
        await serve_keyserver(
            settings, clock=SystemClock(), random=SystemRandom(), ready=ready, stop=stop, reloads=reloads
        )

    running.run_until_signal(work, reload=reloads.ask, loop=loops.new_loop)


@app.command(
    epilog=examples(
        "sealcast serve reception", "sealcast serve reception --listen 0.0.0.0:8445 --state /srv/reception"
    )
)
def reception(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where it listens, in place of the configuration's."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its state, in place of the configuration's.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its database; several on one machine may share one."),
    ] = None,
) -> None:
    """Keep the record of receptions for key servers until told to end; prints its address when it is ready.

    SIGHUP has it read configuration, certificate, operators' and key servers' files again.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    import asyncio
    import os

    from sealcast.cli import acting, running
    from sealcast.config.places import state_dir
    from sealcast.config.schema import parse_listen
    from sealcast.server.serve_reception import serve_reception
    from sealcast.server.serving import Reloads
    from sealcast.server.settings import KeyserverSettings
    from sealcast.transport.system import SystemClock

    def configured() -> KeyserverSettings:
        section = acting.settings(context).settings.reception
        host, port = parse_listen(listen or section.listen)
        folder = state or Path(section.state or state_dir(os.environ) / "reception")
        file = database or (Path(section.database) if section.database else None)
        return KeyserverSettings(
            state_directory=Path.cwd() / folder,
            host=host,
            port=port,
            database=Path.cwd() / file if file else None,
            urls=tuple(section.urls),
            heartbeat_ms=section.heartbeat_s * 1_000,
        )

    settings, ready = configured(), _announcing("reception manager")
    reloads = Reloads(configured)

    async def work(stop: asyncio.Event) -> None:
        await serve_reception(settings, clock=SystemClock(), ready=ready, stop=stop, reloads=reloads)

    running.run_until_signal(work, reload=reloads.ask)


app.command(
    epilog=examples(
        "sealcast serve escrow",
        "sealcast serve escrow --listen 0.0.0.0:8446 --state /srv/escrow",
        "sealcast --pin-file PIN serve escrow --token 'pkcs11:token=HSM?module-path=/usr/lib/hsm.so'",
    )
)(serveescrow.escrow)


def _announcing(server: str) -> "Callable[[str], None]":
    """Return what says, at once, at which address a server accepts connections."""
    import sys

    from sealcast.cli import output

    def announce(url: str) -> None:
        output.print_line(f"{server} listens on {url}")
        sys.stdout.flush()

    return announce


@dataclass(frozen=True)
class _Asked:
    """What the command line says of a key server; what it does not say, the configuration does."""

    listen: str | None
    events: str | None
    state: Path | None
    role: str | None
    bus: tuple[str, ...]
    database: str | None


def _keyserver_settings(configuration: "Settings", asked: _Asked) -> "KeyserverSettings":
    """Return the settings of a key server; raises UsageError for what does not fit together."""
    import os

    from sealcast.cli.roles import cluster_settings, database_of
    from sealcast.config.places import state_dir
    from sealcast.config.schema import parse_listen
    from sealcast.server.settings import KeyserverSettings

    section = configuration.keyserver
    host, port = parse_listen(asked.listen or section.listen)
    folder = asked.state or Path(section.state or state_dir(os.environ) / "keyserver")
    cluster = cluster_settings(configuration.cluster, asked.role, asked.bus)
    return KeyserverSettings(
        state_directory=Path.cwd() / folder,
        host=host,
        port=port,
        database=database_of(asked.database, section.database, cluster),
        urls=tuple(section.urls),
        certificate_days=section.certificate_days,
        heartbeat_ms=section.heartbeat_s * 1_000,
        reception=tuple(section.reception),
        unsold=section.unsold,
        events=_event_settings(section, asked.events or section.events, (host, port)),
        billing=_billing_settings(configuration.billing),
        cluster=cluster,
    )


def _event_settings(
    section: "KeyServerSection", asked: str | None, listen: tuple[str, int]
) -> "EventSettings | None":
    """Return where events are pushed; the port behind `listen` is optional, one that was asked for is not."""
    from sealcast.config.schema import parse_events
    from sealcast.server.settings import EventSettings

    place = parse_events(asked, listen)
    if place is None:
        return None
    return EventSettings(
        *place,
        urls=tuple(section.event_urls),
        streams_max=section.event_streams,
        is_optional=asked is None,
    )


def _billing_settings(section: "BillingSection") -> "BillingSettings":
    """Return how bills are made; raises UsageError for a time zone or an anchor day that does not exist."""
    from sealcast.billing.periods import BillingCycle, PeriodKind
    from sealcast.server.settings import BillingSettings

    cycle = BillingCycle(PeriodKind(section.cycle), section.zone, section.anchor_day)
    return BillingSettings(
        settle_ms=section.settle_s * 1_000,
        wait_ms=section.wait_h * 3_600_000,
        cycle=section.cycle,
        zone=cycle.zone,
        anchor_day=cycle.anchor_day,
        evidence_days=section.evidence_days,
    )
