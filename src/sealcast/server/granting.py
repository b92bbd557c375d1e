"""Owns what is written when a device is given keys: its grants, and earlier erasures that prove nothing now.

Of a chain one row stands for all of it that the device can follow (`billing.counting`): another is
written only for another chain, or after the device has stated that it destroyed what it had of this one.
"""

from collections.abc import Iterable, Sequence

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver import store_requests
from sealcast.keyserver.calls import Call
from sealcast.keyserver.values import ChannelView
from sealcast.subscribers import store_withdrawals


def record(call: Call, view: ChannelView, epochs: Iterable[Epoch]) -> int:
    """Record that the caller is given the keys of `epochs`; return how many grants it had not before."""
    wanted = sorted(epochs)
    ends = _ends(view, wanted)
    plain = [epoch for epoch in wanted if epoch not in ends]
    device, number = call.caller.id, view.spec.number
    new = store_requests.grant(call.connection, device, number, plain, call.wall_ms)
    if new < len(plain):
        # It had some of these before, and may have said since that it destroyed them.
        store_withdrawals.void_erasures(call.connection, device, number, plain, call.wall_ms)
    firsts: dict[Epoch, Epoch] = {}
    for epoch, until in ends.items():
        firsts.setdefault(until, epoch)
    return new + sum(_record_chain(call, view, epoch, until) for until, epoch in firsts.items())


def record_all(given: Sequence[tuple[Call, ChannelView, tuple[Epoch, ...]]]) -> list[int]:
    """Do as `record` for many requests of one transaction; return how many new grants each brought."""
    if not given:
        return []
    connection, wall_ms = given[0][0].connection, given[0][0].wall_ms
    rows = [
        (call.caller.id, view.spec.number, epoch, wall_ms)
        for call, view, epochs in given
        if not view.chains
        for epoch in epochs
    ]
    unclaimed = store_requests.grant_all(connection, rows)
    had: list[tuple[str, ChannelNumber, Epoch]] = []
    counts = []
    for call, view, epochs in given:
        if view.chains:
            counts.append(record(call, view, epochs))
            continue
        device, number, before = call.caller.id, view.spec.number, len(had)
        for epoch in epochs:
            row = device, number, epoch
            if row in unclaimed:
                unclaimed.remove(row)
            else:
                had.append(row)
        counts.append(len(epochs) - len(had) + before)
    # Of those they had before they may have said since that they destroyed them.
    store_withdrawals.void_all(connection, had, wall_ms)
    return counts


def first_granted(call: Call, view: ChannelView, epochs: Iterable[Epoch]) -> Epoch | None:
    """Return where the caller's grant of the chain of the first of `epochs` begins; None if it is of none."""
    first = min(epochs, default=None)
    ends = _ends(view, [] if first is None else [first])
    if first is None or first not in ends:
        return None
    number, until = view.spec.number, ends[first]
    known = store_requests.grant_in_chain(call.connection, call.caller.id, number, until, first)
    return None if known is None else known[0]


def _ends(view: ChannelView, epochs: Iterable[Epoch]) -> dict[Epoch, Epoch]:
    """Return the next fresh start of those epochs that are of a chain."""
    if not view.chains:
        return {}
    rows = (view.find(epoch) for epoch in epochs)
    return {row.epoch: row.fresh_at for row in rows if row is not None and row.fresh_at is not None}


def _record_chain(call: Call, view: ChannelView, epoch: Epoch, until: Epoch) -> int:
    """Record a grant of a chain from `epoch` on, unless the device has one that goes on."""
    device, number = call.caller.id, view.spec.number
    known = store_requests.grant_in_chain(call.connection, device, number, until, epoch)
    if known is not None and not store_withdrawals.has_erased(
        call.connection, device, number, first=known[0], until=until, since_ms=known[1]
    ):
        return 0
    new = store_requests.grant(call.connection, device, number, [epoch], call.wall_ms, until={epoch: until})
    store_withdrawals.void_chain(
        call.connection, device, number, first=epoch, until=until, now_ms=call.wall_ms
    )
    return new
