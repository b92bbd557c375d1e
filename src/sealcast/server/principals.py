"""Owns the memory of who may call: operators from files, all other parties from the registry.

The writer's thread alone changes the memory, so what is remembered is what the database says: whoever changes
a party there forgets it here, in the same unit of work.
"""

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Principal
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.sealedanswers import SERVER_ID
from sealcast.server.state import OperatorKeys
from sealcast.storage.unitofwork import UnitOfWork

REMEMBERED_MAX = 20_000
"""Principals kept in memory, about 5 kB each with their keys as the JOSE library has them (these go when the
principal goes); with more, all are read anew."""

UNKNOWN_MAX = 20_000
"""Ids kept in memory that belong to nobody, at most 200 bytes each: asking again costs no read."""


class Principals:
    """Finds callers by id."""

    def __init__(
        self,
        operators: tuple[OperatorKeys, ...],
        master: Secret,
        peers: tuple[OperatorKeys, ...] = (),
    ) -> None:
        """`peers` are other servers of the operator, known by files as operators are."""
        self._operators = _by_id(operators, peers)
        self._master = master
        self._remembered: dict[str, Principal] = {}
        self._unknown: set[str] = set()
        self.on_change: Callable[[str], None] | None = None
        """Told of each party that changes, in the writer's thread and before the commit."""

    def is_reserved(self, principal_id: str) -> bool:
        """Whether an id is nobody's to have: the server's, a newcomer's, that of an operator's file."""
        return principal_id in {SERVER_ID, NEWCOMER} or principal_id in self._operators

    def set_operators(
        self, operators: tuple[OperatorKeys, ...], peers: tuple[OperatorKeys, ...] = ()
    ) -> None:
        """Take over operators and peers of files that were read anew; in the writer's thread."""
        self._operators = _by_id(operators, peers)
        self.clear()

    async def find(self, principal_id: str, unit_of_work: UnitOfWork) -> Principal | None:
        """Return the principal of that id; reads the database only for one that is not remembered."""
        if principal_id in self._unknown:
            return None
        return self.remembered(principal_id) or await unit_of_work.run(partial(self._read, principal_id))

    def remembered(self, principal_id: str) -> Principal | None:
        """Return the principal of that id if it is known without a look at the database."""
        return self._operators.get(principal_id) or self._remembered.get(principal_id)

    def current(self, connection: sa.Connection, caller: Principal) -> Principal | None:
        """Return a caller as it is by now: itself unless it changed; in the writer's thread."""
        return self.named(connection, caller.id)

    def named(self, connection: sa.Connection, principal_id: str) -> Principal | None:
        """Return the principal of that id as the database has it; in the writer's thread."""
        return self.remembered(principal_id) or self._read(principal_id, connection)

    def forget(self, principal_id: str) -> None:
        """Drop what is remembered of a party that changes; in the writer's thread."""
        self._remembered.pop(principal_id, None)
        self._unknown.discard(principal_id)
        if self.on_change is not None:
            self.on_change(principal_id)

    def clear(self) -> None:
        """Drop everything, when a transaction was undone."""
        self._remembered.clear()
        self._unknown.clear()

    def _read(self, principal_id: str, connection: sa.Connection) -> Principal | None:
        found = self._operators.get(principal_id)
        found = found or store_principals.find(connection, principal_id, self._master)
        if found is None:
            if len(self._unknown) >= UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown.add(principal_id)
        else:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[principal_id] = found
        return found


def _by_id(operators: tuple[OperatorKeys, ...], peers: tuple[OperatorKeys, ...] = ()) -> dict[str, Principal]:
    servers = {each.id: Principal(each.id, "server", each.signing, each.kek) for each in peers}
    return servers | {each.id: Principal(each.id, "operator", each.signing, each.kek) for each in operators}
