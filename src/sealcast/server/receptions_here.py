"""Owns the reception manager inside the key server: same database, same units of work."""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.messages.subscribing import EndRow
from sealcast.reception.tables import receptions


class ReceptionsHere:
    """The key server's own record of receptions."""

    def end_receptions(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """End receptions in the caller's unit of work."""
        for end in ends:
            query = receptions.update().where(receptions.c.ended_at_ms.is_(None))
            if end.device is not None:
                query = query.where(receptions.c.device == end.device)
            if end.channel is not None:
                query = query.where(receptions.c.channel == end.channel)
            connection.execute(query.values(ended_at_ms=wall_ms, reason=end.reason))
