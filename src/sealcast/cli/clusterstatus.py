"""Owns what `sealcast cluster status` asks every key server, and how the answers look.

Imported by the command when it runs, not for its help.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from sealcast.cli import acting
from sealcast.core.errors import SealcastError
from sealcast.messages.clusterstatus import ClusterStatus
from sealcast.messages.operations_cluster import CLUSTER_STATUS

HEADERS = ("URL", "NAME", "ROLE", "KNOWS", "WAITING", "PARTIES", "CHANNELS")


class Answered(msgspec.Struct, frozen=True):
    """What the server at an address said of itself; `status` is None if it said nothing, and `error` why."""

    url: str
    status: ClusterStatus | None
    error: str = ""

    @property
    def role(self) -> str:
        """What the server at this address is: one that stands by relays to the master, which answers."""
        if self.status is None:
            return "-"
        if self.status.role == "master" and self.url not in self.status.urls:
            return "standby"
        return self.status.role


def ask_all(operator: acting.Operator) -> list[Answered]:
    """Ask all key servers at the same time; nobody waits for one that is gone."""

    async def work() -> list[Answered]:
        return list(await asyncio.gather(*(_ask(operator, url) for url in operator.credential.servers)))

    return asyncio.run(work())


async def _ask(operator: acting.Operator, url: str) -> Answered:
    alone = acting.Operator(replace(operator.credential, servers=[url]), operator.keep, operator.keys)
    try:
        async with acting.client_of(alone) as client:
            return Answered(url, await client.expect(CLUSTER_STATUS, ClusterStatus))
    except SealcastError as error:
        return Answered(url, None, str(error))


def rows_of(found: Sequence[Answered]) -> list[tuple[str, ...]]:
    """Return a line for each server."""
    return [_row(each) for each in found]


def _row(each: Answered) -> tuple[str, ...]:
    status = each.status
    if status is None:
        return (each.url, "-", "-", each.error, "-", "-", "-")
    if each.role == "standby":
        return (each.url, "-", "standby", f"relays to {status.name}", "-", "-", "-")
    counts = (str(status.parties), str(status.channels))
    if status.role == "replica":
        return (each.url, status.name, "replica", _age(status), f"{status.journal_depth} to tell", *counts)
    waiting = f"{status.unpublished} to publish" if status.role == "master" else "-"
    return (each.url, status.name or "-", status.role, _term(status), waiting, *counts)


def _age(status: ClusterStatus) -> str:
    if status.age_ms is None:
        return "nothing since its start: gives the key on air alone"
    age = f"{status.age_ms / 1_000:.1f} s ago"
    return age if status.is_fresh else f"{age}: gives the key on air alone"


def _term(status: ClusterStatus) -> str:
    return f"everything, term {status.term}" if status.role == "master" else "everything"


def journal_lines(found: Sequence[Answered]) -> list[str]:
    """Return what the master knows of the replicas' journals, the newest of each replica."""
    master = next((each.status for each in found if each.status and each.status.role == "master"), None)
    if master is None:
        return []
    newest = {row.replica: row for row in sorted(master.journals, key=lambda row: row.at)}
    lines = [f"the journal of {row.replica} is recorded up to {row.at}" for row in newest.values()]
    if master.aside:
        lines.append(f"{master.aside} rows of journals are kept aside: see the key server's log")
    return lines
