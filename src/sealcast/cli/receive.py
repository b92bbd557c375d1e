"""Owns `sealcast receive`: options, status line and summary around a receiver's run."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import AllChannels, ChannelsFile, Credential, Interface, Json, ServerChoice

if TYPE_CHECKING:
    from sealcast.cli.receivecarousel import SinkOpener
    from sealcast.cli.reloading import Reloading
    from sealcast.config.load import Loaded
    from sealcast.device.vault import Vault
    from sealcast.receiver.settings import ReceiveSettings
    from sealcast.receiver.sinks import Sink
    from sealcast.receiver.status import ReceiveStatus

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="CHANNEL",
        help=escape("Name or number of the channel, or its stream: rtp://[SOURCE@]GROUP:PORT."),
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="OUTPUT",
        help="FILE, - for standard output, udp://HOST:PORT, or a folder for the files of a carousel.",
        show_default=False,
    ),
]
Once = Annotated[bool, typer.Option("--once", help="End when all files of the carousel are in the folder.")]
MaxSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help=escape("Take no more from a carousel, for instance 8G. [default: 64G]")
    ),
]
ReorderMs = Annotated[
    int | None,
    typer.Option(
        metavar="MS",
        min=0,
        max=10_000,
        help=escape("Wait so long for a missing packet; 0 gives packets as they arrive. [default: 20]"),
    ),
]
IdleExit = Annotated[
    float | None, typer.Option(metavar="S", min=0.1, help="End when nothing came for so many seconds.")
]
Servers = Annotated[
    ServerChoice | None,
    typer.Option(help=escape("How to choose among key servers. [default: fixed]"), show_default=False),
]
Wait = Annotated[bool, typer.Option("--wait", help="Ask again if the key server does not answer or says no.")]

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast receive news --output - | ffplay -",
        "sealcast receive news --output recording.ts --interface eth0",
        "sealcast receive rtp://192.0.2.10@232.1.1.1:5004 --output udp://127.0.0.1:1234",
        "sealcast receive files --output incoming --once",
        "sealcast receive --config gateway.toml",
    )
)
def receive(
    context: typer.Context,
    target: Target = None,
    *,
    output: Output = None,
    once: Once = False,
    max_size: MaxSize = None,
    config: ChannelsFile = None,
    all_: AllChannels = False,
    interface: Interface = None,
    reorder_ms: ReorderMs = None,
    idle_exit: IdleExit = None,
    wait: Wait = False,
    servers: Servers = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Receive a channel and give its stream back, bit for bit.

    With --config or --all: every channel of a configuration file, in one process. Ends with status 0 when the
    sender ends the stream, on Ctrl-C, on SIGTERM and by `sealcast stop`.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    from sealcast.cli import acting, fleet
    from sealcast.cli.given import choose_servers

    choose_servers(context, servers)
    if config is not None or all_:
        from sealcast.cli.receivemany import receive_many

        fleet.refuse_with_many(
            **{"CHANNEL": target, "--output": output, "--idle-exit": idle_exit, "--wait": wait},
            **{"--reorder-ms": reorder_ms is not None, "--once": once, "--max-size": max_size},
        )
        many = fleet.settings(context, config)
        receive_many(context, many, credential=credential, interface=interface, json=json)
        return
    if target is None or output is None:
        raise fleet.too_little(target, "--output")

    from dataclasses import replace

    from sealcast.cli.receivecarousel import sink_opener
    from sealcast.cli.reloading import Reloading

    loaded = acting.settings(context)
    opened = sink_opener(output, max_size, once=once, digest=json)
    vault = acting.open_credential(context, loaded, "device", credential)
    reloading = Reloading(context, vault)
    settings = _settings(loaded, vault, target, interface, reorder_ms)
    settings = replace(settings, attach=reloading.attach, idle_exit_s=idle_exit, wait=wait)
    _receive_listed(loaded, settings, target, opened, reloading, json=json)


def _settings(
    loaded: "Loaded",
    vault: "Vault",
    target: str,
    interface: str | None,
    reorder_ms: int | None,
) -> "ReceiveSettings":
    """Return what one channel's receiver is told, by options first, then by the configuration."""
    from sealcast.cli.targets import parse_target
    from sealcast.client.choosing import Choice
    from sealcast.receiver.settings import ReceiveSettings

    configured = loaded.settings.receiver
    return ReceiveSettings(
        credential=vault.credential,
        target=parse_target(target),
        interface=interface or configured.interface,
        reorder_ms=configured.reorder_ms if reorder_ms is None else reorder_ms,
        keep=vault.keep_certificates,
        keys=vault.keys,
        servers=Choice(configured.servers),
    )


def _receive_listed(
    loaded: "Loaded",
    settings: "ReceiveSettings",
    target: str,
    opened: "SinkOpener",
    reloading: "Reloading",
    *,
    json: bool,
) -> None:
    """Receive while standing on the list of this machine's receivers, where `stop` and `withdraw` find us."""
    from sealcast.cli import held
    from sealcast.cli.leaving import check_stays

    lock = held.lock_for(loaded, settings.credential, target)
    with held.listed(settings, lock) as listed:
        check_stays(loaded, settings.credential, target)
        held.note_end(lock, _receive_one(listed, opened, reloading, json=json))


def _receive_one(
    settings: "ReceiveSettings", opened: "SinkOpener", reloading: "Reloading", *, json: bool
) -> "ReceiveStatus | None":
    """Receive into an output to the end, and print and return the summary; raises LocalError."""
    from sealcast.cli.receivecarousel import check_all_taken

    sink = opened(settings.interface)
    try:
        summary = _run(settings, sink, reloading)
    finally:
        sink.close()
    if summary is not None:
        _print(summary, sink, json=json, to_stderr=opened.is_stdout)
        check_all_taken(sink)
    return summary


def _run(settings: "ReceiveSettings", sink: "Sink", reloading: "Reloading") -> "ReceiveStatus | None":
    """Receive, with a status line, to the end; None if it was cut short."""
    import asyncio

    from sealcast.cli import running
    from sealcast.cli.receivecarousel import describe_files
    from sealcast.receiver.run import receive
    from sealcast.receiver.status import ReceiveStatus
    from sealcast.transport.system import SystemClock, SystemRandom

    with running.StatusLine[ReceiveStatus](lambda status: describe(status) + describe_files(sink)) as line:

        async def work(stop: asyncio.Event) -> ReceiveStatus:
            return await receive(
                settings, sink, clock=SystemClock(), random=SystemRandom(), stop=stop, observe=line
            )

        return running.run_until_signal(work, reload=reloading.ask)


def _print(summary: "ReceiveStatus", sink: "Sink", *, json: bool, to_stderr: bool) -> None:
    """Print the summary, with what the sink took where a program reads it."""
    import dataclasses

    from sealcast.cli import output
    from sealcast.cli.receivecarousel import files_of, summarise_files

    if json:
        totals = {
            "bytes_written": sink.written_bytes,
            "bytes_dropped": sink.dropped_bytes,
            "sha256": sink.sha256(),
        }
        output.print_json(dataclasses.asdict(summary) | totals | files_of(sink), to_stderr=to_stderr)
    else:
        output.print_line(summarise(summary) + summarise_files(sink), to_stderr=to_stderr)


def describe(status: "ReceiveStatus") -> str:
    """Return the status line of a receiver, short enough for a terminal of 80 columns."""
    if status.epoch is None:
        state = "no key yet"
    else:
        state = f"epoch {status.epoch}, {status.remaining_ms / 1000:.0f} s left"
        state += ", extended" if status.extended else ", next key held" if status.next_key else ""
    counts = f"{status.packets_opened} opened, {status.lost} lost"
    return f"{status.channel or '?'} | {state} | {counts}"


def summarise(status: "ReceiveStatus") -> str:
    """Return the last line of a receiver."""
    place = f"{status.group or '?'} on {status.interface or '?'}"
    parts = [
        f"{status.channel or '?'} {place}",
        f"{status.packets_opened} of {status.packets_received} packets opened",
        f"{status.bytes_opened / 1e6:.1f} MB",
        f"{status.lost} lost ({status.switch_lost} at a change)",
        f"{status.late} late",
        f"{status.replayed} replayed",
        f"{status.refused} refused",
        f"{status.key_changes} key changes",
    ]
    if status.kernel_drops:
        parts.append(f"{status.kernel_drops} dropped by the kernel")
    if status.reception is not None:
        from sealcast.receiver.stopping import describe_end

        parts.append(describe_end(status.reception))
    return ", ".join(parts) + f"; {status.ended_by}"
