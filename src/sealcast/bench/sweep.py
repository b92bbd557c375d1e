"""Owns the cost of a packet against batch size and packet size, as figures and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time_ns

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.bench.processes import one_core
from sealcast.bench.stage import GROUP, Stage
from sealcast.core.errors import UsageError
from sealcast.core.ports import Clock, Random
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastSender, open_sender
from sealcast.wire import rtp, srtp

PORT = 5094
PAYLOADS_BYTES = (188, 564, 1316, 4000)
"""One, three and seven transport stream packets, and what a jumbo frame carries."""

BATCHES = (1, 2, 4, 8, 16, 32, 48, 64)
COSTS_US = (0.5, 1, 2, 5, 10, 20)
ROUND_PACKETS = 960
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Sweep:
    """Microseconds a packet, sealed and sent, for one packet size: by batch size, and the bare cipher."""

    payload_bytes: int
    floor_us: float
    by_batch_us: dict[int, float]


def measure_sweep(clock: Clock, random: Random) -> list[Sweep]:
    """Measure all sizes on one core, in about a second; the best of some rounds each."""
    with one_core(), open_sender(GROUP, PORT, choose_interface(GROUP, "lo").interface, ttl=0) as sender:
        return [_sweep(size, sender, clock, random) for size in PAYLOADS_BYTES]


def _sweep(payload_bytes: int, sender: MulticastSender, clock: Clock, random: Random) -> Sweep:
    stage = Stage(random, clock.monotonic_ns(), payload_bytes)
    batches = sorted({min(batch, stage.batch_packets) for batch in BATCHES})
    return Sweep(
        payload_bytes,
        min(_floor_us(payload_bytes, random) for _ in range(ROUNDS)),
        {batch: min(_send_us(stage, sender, batch) for _ in range(ROUNDS)) for batch in batches},
    )


def _send_us(stage: Stage, sender: MulticastSender, packets: int) -> float:
    turns = -(-ROUND_PACKETS // packets)
    started_ns = thread_time_ns()
    for _ in range(turns):
        batch = stage.seal(packets)
        sender.send_train(batch.data, batch.segment_bytes)
    return (thread_time_ns() - started_ns) / (turns * packets) / 1e3


def _floor_us(payload_bytes: int, random: Random) -> float:
    encrypt_into, payload = AESGCM(random.bytes(16)).encrypt_into, random.bytes(payload_bytes)
    out, header = bytearray(payload_bytes + srtp.TAG_BYTES), bytes(rtp.HEADER_BYTES)
    nonces = [number.to_bytes(12, "big") for number in range(ROUND_PACKETS)]
    started_ns = thread_time_ns()
    for nonce in nonces:
        encrypt_into(nonce, payload, header, out)
    return (thread_time_ns() - started_ns) / ROUND_PACKETS / 1e3


def require_plotting() -> None:
    """Raise UsageError, before anything is measured, where nothing can draw."""
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - slow to import, and not always there
    except ImportError as error:
        raise UsageError(
            "a plot needs matplotlib, which is not installed; pip install 'sealcast[plot]'"
        ) from error


def draw(sweeps: Sequence[Sweep], path: Path) -> None:
    """Draw the figures into a PNG file: a line for each packet size, its bare cipher dashed beside it.

    Raises UsageError where matplotlib is missing or the file cannot be written.
    """
    require_plotting()
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not always there

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for sweep in sweeps:
        drawn = axes.plot(
            list(sweep.by_batch_us),
            list(sweep.by_batch_us.values()),
            marker="o",
            label=f"{sweep.payload_bytes} bytes",
        )
        axes.axhline(sweep.floor_us, linestyle="--", linewidth=1, color=drawn[0].get_color())
    axes.set_xscale("log", base=2)
    axes.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    axes.set_yscale("log")
    axes.set_yticks(COSTS_US, [str(cost) for cost in COSTS_US])
    axes.set(xlabel="packets in a batch", ylabel="microseconds a packet, sealed and sent")
    axes.set_title("Cost of a packet; dashed: the bare cipher")
    axes.legend(title="payload")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
