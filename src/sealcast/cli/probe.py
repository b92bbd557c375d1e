"""Owns `sealcast probe`: options and the page of text around a probe's run."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Interface, Json

if TYPE_CHECKING:
    from sealcast.probe.report import KeyIdReport, ProbeReport, SealReport, StreamReport
    from sealcast.transport.address import Endpoint

LABEL_WIDTH = 11
PAYLOAD_TYPES = {33: "33 (MPEG-TS)"}
UNVERIFIED = "all of this is unverified: without a key nothing is proven"

Source = Annotated[
    str | None, typer.Option(metavar="S", help="Join from this sender alone (source-specific multicast).")
]
For = Annotated[
    float, typer.Option("--for", metavar="SECONDS", min=0.1, max=86_400, help="How long to listen.")
]

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast probe 239.255.1.1:5004",
        "sealcast probe rtp://192.0.2.10@232.1.1.1:5004 --for 30",
        "sealcast probe [ff15::1]:5004 --interface eth0 --json | jq .protection",
    )
)
def probe(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="GROUP:PORT",
            help=escape("The stream's data port, also as rtp://[SOURCE@]GROUP:PORT."),
            show_default=False,
        ),
    ],
    *,
    source: Source = None,
    interface: Interface = None,
    for_s: For = 5.0,
    json: Json = False,
) -> None:
    """Listen to a stream without any key: whether it is encrypted, under which key IDs, what is lost.

    Ends after the time, or at Ctrl-C, with a summary; status 1 if nothing was heard.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.running import run_until_signal
    from sealcast.probe.run import ProbeSettings
    from sealcast.probe.run import probe as listen
    from sealcast.transport.system import SystemClock

    loaded = acting.settings(context)
    settings = ProbeSettings(
        target=_target(target, source),
        for_s=for_s,
        interface=interface or loaded.settings.receiver.interface,
    )
    report = run_until_signal(lambda stop: listen(settings, clock=SystemClock(), stop=stop))
    if report is None:
        raise typer.Exit(1)
    if json:
        output.print_json(report)
    else:
        for label, text in describe(report):
            output.print_line(f"{label:<{LABEL_WIDTH}} {text}".rstrip())
    if not report.heard:
        raise typer.Exit(1)


def describe(report: "ProbeReport") -> list[tuple[str, str]]:
    """Return label and text of each line of the summary."""
    lines = [("stream", f"{report.target} on {report.interface}, heard for {report.listened_s:.1f} s")]
    if not report.heard:
        return [*lines, ("nothing", f"came; is it on the air? see: sealcast doctor {report.target}")]
    suite = f", {report.suite}" if report.suite else ""
    lines += [("protection", f"{report.protection}{suite}"), ("", report.why), ("rate", _rate(report))]
    lines += [("SSRC", _stream(stream)) for stream in report.streams]
    if report.other_streams:
        lines.append(("", f"{report.other_streams} packets of more SSRCs than are followed"))
    if report.kernel_drops:
        lines.append(("", f"{report.kernel_drops} dropped by this machine's kernel, not by the network"))
    lines += [("key ID", f"{_key(key_id)}: {key_id.packets} packets") for key_id in report.key_ids]
    return [*lines, *_seal(report.seal), ("unverified", UNVERIFIED)]


def _rate(report: "ProbeReport") -> str:
    if report.packets_per_s is None or report.mbit_per_s is None:
        rate = f"{report.packets} packets, too short a time for a rate"
    else:
        rate = f"{report.packets_per_s:.0f} packets/s, {report.mbit_per_s:.2f} Mbit/s"
    return rate + (f"; {report.not_rtp} of {report.packets} packets are not RTP" if report.not_rtp else "")


def _stream(stream: "StreamReport") -> str:
    types = ", ".join(PAYLOAD_TYPES.get(kind, str(kind)) for kind in stream.payload_types)
    restarts = f", {stream.restarts} jumps" if stream.restarts else ""
    return (
        f"{stream.ssrc}: payload type {types}, {stream.packets} packets, {stream.lost} lost,"
        f" {stream.reordered} out of order, {stream.duplicates} twice{restarts}"
    )


def _key(key_id: "KeyIdReport") -> str:
    return f"channel {key_id.channel} epoch {key_id.epoch}"


def _seal(seal: "SealReport") -> list[tuple[str, str]]:
    """Return the lines about the control port."""
    if not seal.packets:
        return [("SEAL", "no packet on the next port")]
    odd = seal.packets - seal.sensible
    sense = "all stand to reason" if not odd else f"{odd} do not stand to reason"
    lines = [("SEAL", f"{seal.packets} packets, {sense}")]
    lines += [("", f"{count} x {oddity}") for oddity, count in seal.oddities.items()]
    if seal.current is None or seal.remaining_ms is None or seal.lifetime_ms is None:
        return lines
    lifetime = f"{seal.remaining_ms / 1000:.1f} of {seal.lifetime_ms / 1000:.1f} s left"
    flags = (", extended" if seal.extended else "") + (", the stream has ended" if seal.ended else "")
    lines.append(("", f"{_key(seal.current)}: {lifetime}{flags}"))
    if seal.next_epoch is not None and seal.switch_in_ms is not None:
        lines.append(("next key", f"epoch {seal.next_epoch} in {seal.switch_in_ms / 1000:.1f} s"))
    lines += [("key server", url) for url in seal.key_servers]
    return lines


def _target(text: str, source: str | None) -> "Endpoint":
    """Return the stream's address; raises UsageError, also where two sources are named."""
    from sealcast.core.errors import UsageError
    from sealcast.transport.address import parse_group

    if source is None:
        return parse_group(text)
    if "@" in text:
        raise UsageError(f"{text!r} names a source already; leave out --source")
    scheme, separator, place = text.rpartition("://")
    host = f"[{source}]" if ":" in source and not source.startswith("[") else source
    return parse_group(f"{scheme}{separator}{host}@{place}")
