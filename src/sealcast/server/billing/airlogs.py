"""Owns what was on air, kept in memory while customers are billed page by page.

What was recorded never changes, so a log stands until something is added to its channel. What is not over is
asked of each snapshot anew.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.billing.air import AirLog
from sealcast.billing.tables import aired
from sealcast.server.billing import source as billing_source
from sealcast.server.billing.source import Ahead

PARTS_MAX = 200_000
"""Epochs kept at most, 150 MB: forty channels for a month, with a key for each ten minutes."""

ROUNDED_MS = 3_600_000
"""Instants of recording are asked for by the hour, so that customers billed together share the answer."""

_LAST = sa.select(sa.func.max(aired.c.number)).where(aired.c.channel == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A log from `since_ms` on, as of the row `last` of its channel."""

    last: int
    since_ms: int
    log: AirLog


class AirLogs:
    """The logs of channels that were read for earlier pages. Threads may share it: nothing in it changes."""

    def __init__(self) -> None:
        self.kept: dict[int, _Kept] = {}
        self.recorded: dict[tuple[int, int, int], int | None] = {}

    def forget(self) -> None:
        """Let go of everything: the last page was read."""
        self.kept.clear()
        self.recorded.clear()

    def keep(self, channel: int, kept: _Kept) -> None:
        """Keep a log, in place of others if they are too many."""
        if sum(len(each.log.parts) for each in list(self.kept.values())) + len(kept.log.parts) > PARTS_MAX:
            self.kept.clear()
        self.kept[channel] = kept


class AirOfSnapshot:
    """What was on air as one snapshot of the database has it."""

    def __init__(self, connection: sa.Connection, logs: AirLogs) -> None:
        self._connection = connection
        self._logs = logs
        self._last: dict[int, int] = {}
        self._open: dict[int, int | None] = {}
        self._ahead: dict[int, Ahead] = {}

    def log(self, channel: int, since_ms: int) -> AirLog:
        """Return what was on air and ended at or after an instant, and perhaps more before."""
        last = self._last_of(channel)
        kept = self._logs.kept.get(channel)
        if kept is None or kept.last != last or kept.since_ms > since_ms:
            log = billing_source.air_log(self._connection, channel, since_ms)
            kept = _Kept(last, since_ms, log)
            self._logs.keep(channel, kept)
        return kept.log

    def open_since(self, channel: int) -> int | None:
        """Return when the first epoch began that is not settled yet."""
        if channel not in self._open:
            self._open[channel] = billing_source.open_since(self._connection, channel)
        return self._open[channel]

    def ahead(self, channel: int) -> Ahead:
        """Return the epochs that have a key and are not over."""
        if channel not in self._ahead:
            self._ahead[channel] = billing_source.ahead(self._connection, channel)
        return self._ahead[channel]

    def recorded_since(self, channel: int, since_ms: int) -> int | None:
        """Return when the earliest began of what was recorded since an instant, or up to an hour before."""
        asked = channel, since_ms // ROUNDED_MS * ROUNDED_MS, self._last_of(channel)
        if asked not in self._logs.recorded:
            found = billing_source.recorded_since(self._connection, channel, asked[1])
            self._logs.recorded[asked] = found
        return self._logs.recorded[asked]

    def _last_of(self, channel: int) -> int:
        if channel not in self._last:
            self._last[channel] = self._connection.execute(_LAST, {"wanted": channel}).scalar() or 0
        return self._last[channel]
