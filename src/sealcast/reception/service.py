"""Decides how a reception begins, goes on and ends, on plain values.

```
            permit, heartbeat ┌──┐
none ── permit, heartbeat ──► live ── stopped, timeout, withdrawn, … ──► ended (never changes again)
```
Instants of records are by the server's wall clock, which may jump; silence is measured by the monotonic one.
A reception of a device and channel never begins before the one before it ended, whatever the wall clock says.
"""

from dataclasses import dataclass, replace

from sealcast.messages.subscribing import Ended

MISSED_MAX = 3
"""Heartbeats that may fail to come: one lost is chance, and two are a short break in the network."""

STOPPED_LATELY_MS = 60_000
"""So long a second stop notice is taken for a repeat of the first: its answer was lost on the way."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant by both clocks: `now` is monotonic ns, `wall_ms` goes into records."""

    now: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a receiver says of itself by a key request or a heartbeat; `packets` None if it does not say."""

    device: str
    channel: int
    channel_name: str = ""
    epochs: tuple[int, ...] = ()
    packets: int | None = None
    age_ns: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """Receptions to end; `channel` None: all of the device, `device` None: all of the channel."""

    device: str | None
    channel: int | None
    reason: Ended
    epoch: int | None = None
    packets: int = 0
    last_index: int | None = None


@dataclass(frozen=True, slots=True)
class Reception:
    """One device that receives one channel, from `since_ms` until `ended_at_ms` (None while it lives)."""

    number: int
    device: str
    channel: int
    channel_name: str
    since_ms: int
    seen_ms: int
    first_epoch: int | None = None
    last_epoch: int | None = None
    packets: int = 0
    last_index: int | None = None
    ended_at_ms: int | None = None
    reason: Ended | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at_ms is None


def begun(seen: Seen, before: Reception | None, wall_ms: int) -> Reception:
    """Return the reception that begins now, without a number; `before` is the last one of the pair, ended."""
    since_ms = wall_ms
    if before is not None and before.ended_at_ms is not None:
        since_ms = max(wall_ms, before.ended_at_ms)
    name = seen.channel_name or (before.channel_name if before is not None else str(seen.channel))
    return Reception(
        number=0,
        device=seen.device,
        channel=seen.channel,
        channel_name=name,
        since_ms=since_ms,
        seen_ms=since_ms,
        first_epoch=min(seen.epochs, default=None),
        last_epoch=max(seen.epochs, default=None),
        packets=seen.packets or 0,
    )


def ended(reception: Reception, end: End, wall_ms: int) -> Reception:
    """Return a live reception as it stands in history; one that has ended stays as it is."""
    if not reception.is_live:
        return reception
    first, last = spanned(reception.first_epoch, reception.last_epoch, end.epoch)
    return replace(
        reception,
        first_epoch=first,
        last_epoch=last,
        packets=end.packets or reception.packets,
        last_index=end.last_index,
        ended_at_ms=max(wall_ms, reception.since_ms),
        reason=end.reason,
    )


def spanned(first: int | None, last: int | None, *epochs: int | None) -> tuple[int | None, int | None]:
    """Return the lowest and highest of all epochs known."""
    known = [epoch for epoch in (first, last, *epochs) if epoch is not None]
    return min(known, default=None), max(known, default=None)


def may_begin_by_heartbeat(
    before: Reception | None, wall_ms: int, heartbeat_ms: int, age_ms: int = 0
) -> bool:
    """Whether a heartbeat, `age_ms` old, of a device that no reception lives of begins one.

    After a silence it does: the device receives still. If it came before any other end, or within an interval
    after it, it was on its way when that end came; whoever does receive sends another.
    """
    if before is None or before.ended_at_ms is None or before.reason == "timeout":
        return True
    since_ms = wall_ms - before.ended_at_ms
    # An end in the future was before somebody set the clock back.
    return since_ms - age_ms > heartbeat_ms if since_ms >= 0 else -since_ms > heartbeat_ms


def is_repeat(last: Reception | None, end: End, wall_ms: int) -> bool:
    """Whether an end that finds nothing alive asks once more for the end that is history."""
    if last is None or last.ended_at_ms is None or end.device is None or end.channel is None:
        return False
    return last.reason == end.reason and abs(wall_ms - last.ended_at_ms) <= STOPPED_LATELY_MS
