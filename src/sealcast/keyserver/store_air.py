"""Owns the queries on what is on air: the last report of each run, and the totals of each epoch."""

import sqlalchemy as sa

from sealcast.core.ids import U32_MAX, ChannelNumber, Epoch, Ssrc
from sealcast.keyserver.air import AirReport, StoredReport
from sealcast.keyserver.tables import reports, totals
from sealcast.messages.requests import EpochTotals
from sealcast.storage.upsert import insert

ALL_EPOCHS = U32_MAX + 1


def _higher(one: sa.ColumnElement[int], other: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Return the higher of two columns; the function for it has another name in each database."""
    return sa.case((one > other, one), else_=other)


_NEW_REPORT = insert(reports)
_SAVE = _NEW_REPORT.on_conflict_do_update(
    index_elements=["channel", "ssrc"],
    set_={
        name: _NEW_REPORT.excluded[name]
        for name in ("epoch", "remaining_ms", "lifetime_ms", "extended", "roc", "seq", "reported_at_ms")
    },
)
_ALL = sa.select(reports)
_DROP = reports.delete().where(
    reports.c.channel == sa.bindparam("wanted"), reports.c.epoch < sa.bindparam("below")
)
_DROP_RUN = reports.delete().where(
    reports.c.channel == sa.bindparam("wanted"), reports.c.ssrc == sa.bindparam("run")
)
_FIGURES = ("duration_ms", "packets", "bytes")
_NEW_TOTALS = insert(totals)
_HAS_ALL = sa.and_(*(totals.c[name] >= _NEW_TOTALS.excluded[name] for name in _FIGURES))
_ADD_TOTALS = _NEW_TOTALS.on_conflict_do_update(
    index_elements=["channel", "ssrc", "epoch"],
    set_={name: _higher(totals.c[name], _NEW_TOTALS.excluded[name]) for name in _FIGURES}
    | {"is_recorded": sa.and_(totals.c.is_recorded, _HAS_ALL)},
)
_TOTALS = sa.select(totals).where(totals.c.channel == sa.bindparam("wanted")).order_by(totals.c.epoch)


def save_report(
    connection: sa.Connection, channel: ChannelNumber, ssrc: Ssrc, report: AirReport, now_ms: int
) -> None:
    """Keep the last report of a run, for the time after a restart of this server."""
    connection.execute(
        _SAVE,
        {
            "channel": channel,
            "ssrc": ssrc,
            "epoch": report.epoch,
            "remaining_ms": report.remaining_ms,
            "lifetime_ms": report.lifetime_ms,
            "extended": report.extended,
            "roc": report.roc,
            "seq": report.seq,
            "reported_at_ms": now_ms,
        },
    )


def drop_reports(connection: sa.Connection, channel: ChannelNumber, below: int = ALL_EPOCHS) -> None:
    """Forget the reports of runs under epochs below `below`; of all runs unless it is given."""
    connection.execute(_DROP, {"wanted": channel, "below": below})


def drop_run(connection: sa.Connection, channel: ChannelNumber, ssrc: Ssrc) -> None:
    """Forget the report of one run."""
    connection.execute(_DROP_RUN, {"wanted": channel, "run": ssrc})


def stored_reports(connection: sa.Connection) -> list[StoredReport]:
    """Return the last report of every run."""
    return [
        StoredReport(
            channel=ChannelNumber(row.channel),
            ssrc=Ssrc(row.ssrc),
            epoch=Epoch(row.epoch),
            remaining_ms=row.remaining_ms,
            lifetime_ms=row.lifetime_ms,
            extended=row.extended,
            roc=row.roc,
            seq=row.seq,
            reported_at_ms=row.reported_at_ms,
        )
        for row in connection.execute(_ALL)
    ]


def add_totals(
    connection: sa.Connection, channel: ChannelNumber, ssrc: Ssrc, news: list[EpochTotals]
) -> None:
    """Raise the totals of a run's epochs to what it reports; none of them ever falls."""
    rows = [
        {
            "channel": channel,
            "ssrc": ssrc,
            "epoch": each.epoch,
            "duration_ms": each.duration_ms,
            "packets": each.packets,
            "bytes": each.bytes,
        }
        for each in news
    ]
    if rows:
        connection.execute(_ADD_TOTALS, rows)


def totals_of(connection: sa.Connection, channel: ChannelNumber) -> list[tuple[Ssrc, EpochTotals]]:
    """Return the totals of a channel as (SSRC, totals), by epoch."""
    return [
        (
            Ssrc(row.ssrc),
            EpochTotals(epoch=row.epoch, duration_ms=row.duration_ms, packets=row.packets, bytes=row.bytes),
        )
        for row in connection.execute(_TOTALS, {"wanted": channel})
    ]
