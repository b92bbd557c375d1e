"""Owns what a receiver says of itself, twice a second and at the end."""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.stopping import ReceptionEnd
from sealcast.transport.address import Endpoint, format_place


@dataclass(frozen=True, slots=True)
class ReceiveStatus:
    """What a receiver has done so far; the last one is its summary.

    `lost` = sent between the first and last opened minus opened; `switch_lost` those within a second of a
    change; `kernel_drops` None where the kernel does not tell. `first_packet_ms` counts from the join.
    `reception` is what became of the stop notice, at the end of a run that the key server had permitted.
    """

    channel: str | None
    group: str | None
    interface: str | None
    epoch: int | None
    next_key: bool
    remaining_ms: int
    extended: bool
    packets_received: int
    packets_opened: int
    bytes_opened: int
    lost: int
    switch_lost: int
    key_changes: int
    late: int
    replayed: int
    refused: int
    foreign: int
    dropped: int
    held_back: int
    kernel_drops: int | None
    control_accepted: int
    control_refused: int
    fetches: int
    updates: int
    updates_refused: int
    joined_at_roc: int | None
    first_packet_ms: float | None
    ended_by: str | None = None
    reception: ReceptionEnd | None = None


def status_of(
    session: ReceiverSession,
    now: int,
    *,
    target: str | Endpoint,
    interface: str | None,
    joined_ns: int,
    kernel_drops: int | None,
) -> ReceiveStatus:
    """Return the status of a session and of the sockets around it."""
    state, stats = session.state(now), session.stats
    first_ms = None
    if state.first_opened_ns is not None:
        first_ms = (state.first_opened_ns - joined_ns) / NS_PER_MS
    return ReceiveStatus(
        channel=state.channel,
        group=_group(session.spec, target),
        interface=interface,
        epoch=state.epoch,
        next_key=state.holds_next,
        remaining_ms=state.remaining_ms,
        extended=state.extended,
        packets_received=stats.received,
        packets_opened=stats.opened,
        bytes_opened=stats.opened_bytes,
        lost=state.lost,
        switch_lost=stats.switch_lost,
        key_changes=stats.key_changes,
        late=stats.late,
        replayed=stats.replayed,
        refused=stats.refused,
        foreign=stats.foreign,
        dropped=stats.dropped,
        held_back=state.held_back,
        kernel_drops=kernel_drops,
        control_accepted=stats.control,
        control_refused=stats.control_refused,
        fetches=stats.fetches,
        updates=stats.updates,
        updates_refused=stats.updates_refused,
        joined_at_roc=state.joined_at_roc,
        first_packet_ms=first_ms,
    )


def _group(spec: ChannelSpec | None, target: str | Endpoint) -> str | None:
    if spec is not None:
        return format_place(spec.group, spec.port)
    return format_place(target.host, target.port) if isinstance(target, Endpoint) else None
