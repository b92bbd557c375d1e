"""Owns what a key server says of itself and of its cluster: a master by its database, a replica by itself."""

from collections.abc import Callable

import sqlalchemy as sa

from sealcast.cluster import store_changes, store_journals, store_lease
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.tables import channels, principals
from sealcast.keyserver.when import iso_time
from sealcast.messages.clusterstatus import ClusterStatus, ClusterStatusRequest, JournalRow
from sealcast.messages.operations_cluster import CLUSTER_STATUS

JOURNALS_MAX = 500
"""Journals in one answer, the latest: a replica begins one at each of its starts."""

_PARTIES = sa.select(sa.func.count()).select_from(principals).where(principals.c.removed_at_ms.is_(None))
_CHANNELS = sa.select(sa.func.count()).select_from(channels).where(channels.c.removed_at_ms.is_(None))


def live_counts(connection: sa.Connection) -> tuple[int, int]:
    """Return how many parties and channels live."""
    return int(connection.execute(_PARTIES).scalar_one()), int(connection.execute(_CHANNELS).scalar_one())


def status_of_database(call: Call, request: ClusterStatusRequest) -> Reply:
    """Return how a master stands, or that there is only one server."""
    _ = request
    connection = call.connection
    lease = store_lease.read(connection)
    if lease is None:
        return Reply(ClusterStatus(name="", role="only"))
    parties, live = live_counts(connection)
    journals = sorted(store_journals.journals(connection), key=lambda each: each.at_ms)[-JOURNALS_MAX:]
    return Reply(
        ClusterStatus(
            name=lease.holder,
            role="master",
            term=lease.term,
            version=lease.version,
            urls=list(lease.urls),
            unpublished=store_changes.waiting(connection),
            journals=[
                JournalRow(
                    replica=each.replica, journal=each.journal, number=each.number, at=iso_time(each.at_ms)
                )
                for each in journals
            ],
            aside=store_journals.count_aside(connection),
            parties=parties,
            channels=live,
        )
    )


def status_handlers() -> tuple[Handler, ...]:
    """Return the handler of the operation at a server that has the operator's database."""
    return (Handler(CLUSTER_STATUS, status_of_database),)


def status_handler_of(status: Callable[[Call], ClusterStatus]) -> Handler:
    """Return the handler of the operation at a server that knows how it stands."""

    def carry_out(call: Call, request: ClusterStatusRequest) -> Reply:
        _ = request
        return Reply(status(call))

    return Handler(CLUSTER_STATUS, carry_out)
