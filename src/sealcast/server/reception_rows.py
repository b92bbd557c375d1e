"""Owns how receptions stand in messages: rows and pages of lists, what was heard, what ends."""

from functools import lru_cache

import sqlalchemy as sa

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver.when import iso_time
from sealcast.messages.subscribing import (
    EndRow,
    ReceptionList,
    ReceptionListRequest,
    ReceptionRow,
    SeenRow,
    Stopped,
    StopRequest,
)
from sealcast.reception.manager import ReceptionManager
from sealcast.reception.service import End, Reception, Seen
from sealcast.reception.store import Page, count_live

PAGE_ROWS_MAX = 1_000
"""Rows read for one answer: a few milliseconds of the writer's time."""

PAGE_BYTES_MAX = 240_000
"""What the rows of one answer may come to; the rest up to the size of a message is its frame."""

SECONDS_MAX = 4_096
"""Instants whose text is remembered: of ten thousand receivers many were heard in the same second."""

ROW_BYTES = 260
"""A row in JSON without its two names; of these each character may need two bytes."""


@lru_cache(maxsize=SECONDS_MAX)
def _of_second(second: int) -> str:
    return iso_time(second * 1_000)


def reception_row(reception: Reception) -> ReceptionRow:
    """Return a reception as lists show it."""
    ended_at_ms = reception.ended_at_ms
    return ReceptionRow(
        number=reception.number,
        channel=reception.channel_name,
        device=reception.device,
        since=_of_second(reception.since_ms // 1_000),
        seen=_of_second(reception.seen_ms // 1_000),
        first_epoch=reception.first_epoch,
        last_epoch=reception.last_epoch,
        packets=reception.packets,
        until=None if ended_at_ms is None else iso_time(ended_at_ms),
        reason=reception.reason,
    )


def list_page(
    manager: ReceptionManager, connection: sa.Connection, request: ReceptionListRequest, channel: int | None
) -> ReceptionList:
    """Return as many receptions as were asked for and fit into a message; `channel` is the one asked for."""
    limit = max(1, min(request.limit, PAGE_ROWS_MAX))
    wanted = Page(limit + 1, channel, request.device, request.history, request.before)
    found = manager.page(connection, wanted)
    taken: list[Reception] = []
    room = PAGE_BYTES_MAX
    for each in found[:limit]:
        room -= ROW_BYTES + 2 * (len(each.device) + len(each.channel_name))
        if room < 0:
            break
        taken.append(each)
    rows = [reception_row(each) for each in taken]
    return ReceptionList(receptions=rows, live=count_live(connection, channel), more=len(found) > len(taken))


def end_of(row: EndRow) -> End:
    """Return what a message asks to end."""
    return End(row.device, row.channel, row.reason, row.epoch, row.packets, row.last_index)


def end_row(device: str, channel: ChannelSpec, request: StopRequest) -> EndRow:
    """Return what a stop notice ends; raises FormatError for a key ID that is not the channel's."""
    epoch = epoch_of(request.key_id, channel)
    return EndRow(
        device=device,
        channel=channel.number,
        reason="stopped",
        epoch=epoch,
        packets=request.packets,
        last_index=request.last_index,
    )


def seen_of(row: SeenRow, channel_name: str = "") -> Seen:
    """Return what a message tells of a receiver."""
    epochs = () if row.epoch is None else (row.epoch,)
    return Seen(row.device, row.channel, channel_name, epochs, row.packets, row.age_ms * NS_PER_MS)


def epoch_of(key_id: str | None, channel: ChannelSpec) -> int | None:
    """Return the epoch of a key ID, None if there is none; raises FormatError unless it is the channel's."""
    if key_id is None:
        return None
    parsed = KeyId.parse(key_id)
    if parsed.channel != channel.number:
        raise FormatError(f"the key {key_id[:16]} is not one of {channel.name}")
    return parsed.epoch


def stopped(jti: str, channel: str, row: ReceptionRow | None, *, until: str, by: str) -> Stopped:
    """Return the acknowledgement of a stop; `row` is the reception that ended, if one lived."""
    if row is None:
        return Stopped(jti=jti, channel=channel, number=None, since=None, until=until, by=by)
    return Stopped(
        jti=jti, channel=channel, number=row.number, since=row.since, until=row.until or until, by=by
    )
