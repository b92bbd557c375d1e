"""Owns what a sender says of itself, twice a second and at the end."""

from dataclasses import dataclass

from sealcast.core.ports import NS_PER_MS
from sealcast.sender.liveinput import InputCounters
from sealcast.sender.pump import Pump
from sealcast.sender.session import SenderSession
from sealcast.sender.sources import Source
from sealcast.sender.udpsource import UdpSource


@dataclass(frozen=True, slots=True)
class SendStatus:
    """What a sender has done so far; the last one is its summary.

    `on_time` counts the packets that left within 2 ms of their time, `late_ms_max` is the worst departure.
    The rest is of a live input: packets that its sequence numbers miss, those dropped since they came twice,
    too late or malformed, new beginnings of its encoder, and datagrams that the kernel had no room for (None
    where it does not tell).
    """

    channel: str
    group: str
    interface: str
    ssrc: int
    epoch: int | None
    next_epoch: int | None
    remaining_ms: int
    extended: bool
    key_changes: int
    roc: int
    packets: int
    bytes: int
    unsent: int
    on_time: int
    late_ms_max: float
    input_missing: int = 0
    input_refused: int = 0
    input_restarts: int = 0
    input_drops: int | None = 0
    ended_by: str | None = None


def status_of(
    session: SenderSession,
    pump: Pump,
    source: Source,
    now: int,
    *,
    channel: str,
    group: str,
    interface: str,
) -> SendStatus:
    """Return the status of a session, of its departures and of its input."""
    state = session.state(now)
    live = source if isinstance(source, UdpSource) else None
    counters = live.counters if live is not None else InputCounters()
    return SendStatus(
        channel=channel,
        group=group,
        interface=interface,
        ssrc=session.ssrc,
        epoch=state.epoch,
        next_epoch=state.next_epoch,
        remaining_ms=state.remaining_ms,
        extended=state.extended,
        key_changes=state.key_changes,
        roc=state.roc,
        packets=state.packets,
        bytes=state.bytes,
        unsent=pump.unsent,
        on_time=pump.on_time,
        late_ms_max=pump.late_ns_max / NS_PER_MS,
        input_missing=counters.missing,
        input_refused=counters.duplicates + counters.late + counters.malformed,
        input_restarts=counters.restarts,
        input_drops=live.drops() if live is not None else 0,
    )
