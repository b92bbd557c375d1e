"""Owns `sealcast send`: options, status line and summary around a sender's run."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import AllChannels, ChannelsFile, Credential, Interface, Json, ServerChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealcast.cli.reloading import Reloading
    from sealcast.sender.run import SendSettings
    from sealcast.sender.sources import Source
    from sealcast.sender.status import SendStatus

OneChannel = Annotated[
    str | None, typer.Argument(metavar="CHANNEL", help="Name or number of the channel.", show_default=False)
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="INPUT",
        help=escape("FILE, - for standard input, or live: udp://[SOURCE@]GROUP:PORT, rtp://..."),
        show_default=False,
    ),
]

Content = Annotated[
    str | None, typer.Option(metavar="ID", help="Send this item of the catalogue, in place of --input.")
]
ScheduleFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Send programmes at their times, on one channel or several."),
]
Check = Annotated[
    bool, typer.Option("--check", help="With --schedule: print what is sent when, and send nothing.")
]
Carousel = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Send the files of this folder, over and over; give --rate."),
]
Repair = Annotated[
    int | None,
    typer.Option(
        metavar="PERCENT",
        min=1,
        max=27,
        help=escape("With --carousel: so many repair packets for 100 others. [default: 15]"),
    ),
]
Loop = Annotated[bool, typer.Option("--loop", help="Begin the file again at its end, restamped.")]
BesideOthers = Annotated[
    bool, typer.Option("--beside", help="Send beside another sender of the channel, under its keys.")
]
Standby = Annotated[
    str | None,
    typer.Option(
        metavar="SILENCE", help="Send only while no other sender was heard for so long, for instance 2s."
    ),
]
Rate = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="Send raw data at this rate, for instance 5M for 5 Mbit/s."),
]
Ttl = Annotated[
    int | None,
    typer.Option(min=0, max=255, help=escape("How many routers a packet may pass. [default: 16]")),
]
Servers = Annotated[
    ServerChoice | None,
    typer.Option(help=escape("How to choose among key servers. [default: listed]"), show_default=False),
]
SECONDS_MAX = 1e9
"""Thirty years; infinity is to leave the option out."""

Seconds = Annotated[
    float | None,
    typer.Option(min=0.001, max=SECONDS_MAX, help="End after so many seconds of the stream."),
]

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

FIRST_SEQ_VARIABLE = "SEALCAST_DEMO_FIRST_SEQ"
"""For the demo and for tests: the first sequence number, so that it wraps early. There is no option."""


@app.command(
    epilog=examples(
        "sealcast send news --input studio.ts --loop",
        "ffmpeg -re -i film.mp4 -c copy -f mpegts - | sealcast send news --input -",
        "sealcast send news --input udp://239.1.2.3:5000 --interface eth0",
        "sealcast send files --input image.tar --rate 5M",
        "sealcast send files --carousel outgoing --rate 20M",
        "sealcast send cinema --content film-7",
        "sealcast send --config channels.toml",
        "sealcast send --schedule week.toml --check",
        "sealcast send news --input udp://239.1.2.3:5000 --standby 2s",
    )
)
def send(
    context: typer.Context,
    channel: OneChannel = None,
    *,
    input_: Input = None,
    content: Content = None,
    carousel: Carousel = None,
    repair: Repair = None,
    schedule: ScheduleFile = None,
    check: Check = False,
    beside: BesideOthers = False,
    standby: Standby = None,
    config: ChannelsFile = None,
    all_: AllChannels = False,
    loop: Loop = False,
    rate: Rate = None,
    interface: Interface = None,
    ttl: Ttl = None,
    servers: Servers = None,
    credential: Credential = None,
    seconds: Seconds = None,
    json: Json = False,
) -> None:
    """Send a stream or file on a channel, encrypted under keys that change on the fly.

    With --config or --all: every channel of a configuration file, in one process. With --schedule: programmes
    that follow one another, the key changing with each. A transport stream is paced by its clock. Ctrl-C and
    SIGTERM end it well, with status 0.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    from sealcast.cli import fleet, given

    given.choose_servers(context, servers)
    one = {"CHANNEL": channel, "--input": input_, "--loop": loop, "--rate": rate, "--content": content}
    one |= {"--carousel": carousel, "--repair": repair is not None}
    if schedule is not None:
        others = {"--config": config, "--all": all_, "--seconds": seconds}
        fleet.refuse_with_many("--schedule", **one, **others)
        place = {"credential": credential, "interface": interface, "standby": standby}
        _by_schedule(context, schedule, place, ttl, is_beside=beside, check=check, json=json)
        return
    if check:
        raise fleet.check_without_schedule()
    if config is not None or all_:
        from sealcast.cli.sendmany import send_many

        fleet.refuse_with_many(**one, **{"--ttl": ttl is not None, "--beside": beside, "--standby": standby})
        many = fleet.settings(context, config)
        send_many(context, many, credential=credential, interface=interface, seconds=seconds, json=json)
        return
    if content is not None:
        channel, input_, rate = _of_catalogue(context, content, channel, input_, rate)
    if channel is None or (input_ is None and carousel is None):
        raise fleet.too_little(channel, "--input")
    opened = _source_of(input_, carousel, rate, interface, repair, loop=loop)
    prepared = _prepare(context, channel, interface, ttl, credential=credential, seconds=seconds)
    _send_one(prepared, opened, standby, is_beside=beside, json=json)


def _source_of(
    input_: str | None,
    carousel: str | None,
    rate: str | None,
    interface: str | None,
    repair: int | None,
    *,
    loop: bool,
) -> "Callable[[], Source]":
    """Return what opens the input, for each time that it is sent; raises UsageError."""
    from sealcast.core.errors import UsageError
    from sealcast.sender.sources import open_source, parse_rate_bits_per_s

    bits_per_s = None if rate is None else parse_rate_bits_per_s(rate)
    if carousel is None and input_ is not None:
        if repair is not None:
            raise UsageError("--repair goes with --carousel")
        return lambda: open_source(input_, rate=bits_per_s, loop=loop, interface=interface)
    if input_ is not None or loop:
        raise UsageError("a carousel is its own input and goes round anyway; leave out --input and --loop")
    if bits_per_s is None or carousel is None:
        raise UsageError("a carousel needs a rate, for instance --rate 20M")

    from sealcast.sender.carousel import REPAIR_PERCENT, CarouselSource

    folder, percent = carousel, REPAIR_PERCENT if repair is None else repair
    return lambda: CarouselSource(folder, bits_per_s, percent)


def _send_one(
    prepared: "tuple[SendSettings, Reloading]",
    opened: "Callable[[], Source]",
    standby: str | None,
    *,
    is_beside: bool,
    json: bool,
) -> None:
    """Send one channel until its end, or stand by for another sender of it."""
    import dataclasses

    settings, reloading = dataclasses.replace(prepared[0], is_beside=is_beside), prepared[1]
    source = opened()
    if standby is None:
        _run(settings, source, reloading, json=json)
    else:
        from sealcast.cli.sendstandby import send_standby

        send_standby(settings, opened, reloading, standby, json=json)


def _by_schedule(
    context: typer.Context,
    schedule: str,
    place: "Mapping[str, str | None]",
    ttl: int | None,
    *,
    is_beside: bool,
    check: bool,
    json: bool,
) -> None:
    """Send what a schedule says, or print it; `place` has the options that are texts."""
    from sealcast.cli.sendschedule import check_schedule, send_schedule

    if check:
        check_schedule(schedule, json=json)
    else:
        send_schedule(context, schedule, **place, is_beside=is_beside, ttl=ttl, json=json)


def _of_catalogue(
    context: typer.Context, content: str, channel: str | None, input_: str | None, rate: str | None
) -> tuple[str | None, str, str | None]:
    """Return channel, file and rate of an item of the catalogue; raises UsageError."""
    from sealcast.cli.content import wanted
    from sealcast.core.errors import UsageError

    if input_ is not None:
        raise UsageError("give --input or --content, not both")
    found = wanted(context, content, channel)
    return found.channel, found.file, rate or found.rate


def _prepare(
    context: typer.Context,
    channel: str,
    interface: str | None,
    ttl: int | None,
    *,
    credential: str | None,
    seconds: float | None,
) -> "tuple[SendSettings, Reloading]":
    """Return the settings of one channel's sender, and what reloads its vault."""
    import os
    from pathlib import Path

    from sealcast.cli import acting
    from sealcast.cli.reloading import Reloading
    from sealcast.client.choosing import Choice
    from sealcast.config.channels import TTL_DEFAULT
    from sealcast.config.places import private_dir, state_dir
    from sealcast.sender.run import SendSettings

    loaded = acting.settings(context)
    vault = acting.open_credential(context, loaded, "sender", credential)
    reloading = Reloading(context, vault)
    settings = SendSettings(
        credential=vault.credential,
        channel=channel,
        state_directory=private_dir(Path(loaded.settings.sender.state or state_dir(os.environ) / "sender")),
        interface=interface,
        ttl=TTL_DEFAULT if ttl is None else ttl,
        seconds=seconds,
        first_seq=_first_seq(os.environ),
        keep=vault.keep_certificates,
        attach=reloading.attach,
        servers=Choice(loaded.settings.sender.servers),
        silence_s=loaded.settings.sender.silence_s,
    )
    return settings, reloading


def _run(settings: "SendSettings", source: "Source", reloading: "Reloading", *, json: bool) -> None:
    """Send, with a status line, to the end; print the summary."""
    import asyncio

    from sealcast.cli import output, running
    from sealcast.sender.run import send
    from sealcast.sender.status import SendStatus
    from sealcast.transport.system import SystemClock, SystemRandom

    with running.StatusLine(describe) as line:

        async def work(stop: asyncio.Event) -> SendStatus:
            return await send(
                settings, source, clock=SystemClock(), random=SystemRandom(), stop=stop, observe=line
            )

        summary = running.run_until_signal(work, reload=reloading.ask)
    if summary is None:
        return
    if json:
        output.print_json(summary)
    else:
        output.print_line(summarise(summary))


def describe(status: "SendStatus") -> str:
    """Return the status line of a sender, short enough for a terminal of 80 columns."""
    if status.epoch is None:
        state = "no key yet"
    else:
        state = f"epoch {status.epoch}, {status.remaining_ms / 1000:.0f} s left"
        state += (
            ", extended" if status.extended else ", next key out" if status.next_epoch is not None else ""
        )
    return f"{status.channel} | {state} | {status.packets} packets, {status.bytes / 1e6:.1f} MB"


def summarise(status: "SendStatus") -> str:
    """Return the last line of a sender."""
    parts = [
        f"{status.channel} {status.group} on {status.interface}: {status.packets} packets sent",
        f"{status.bytes / 1e6:.1f} MB",
        f"{status.key_changes} key changes",
    ]
    if status.unsent:
        parts.append(f"{status.unsent} packets refused by the network")
    if status.input_missing:
        parts.append(f"{status.input_missing} missing in the input")
    if status.input_drops:
        parts.append(f"{status.input_drops} of the input dropped by the kernel")
    return ", ".join(parts) + f"; {status.ended_by}"


def _first_seq(environment: "Mapping[str, str]") -> int | None:
    """Return the first sequence number that the demo or a test asks for; raises UsageError."""
    from sealcast.core.errors import UsageError

    text = environment.get(FIRST_SEQ_VARIABLE)
    if text is None:
        return None
    if not text.isdecimal() or int(text) > 0xFFFF:
        raise UsageError(f"{FIRST_SEQ_VARIABLE} is a sequence number, 0 to 65535, not {text!r}")
    return int(text)
