"""Owns the memory of who may call: operators from files, devices and senders from the registry."""

from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Principal
from sealcast.server.state import OperatorKeys
from sealcast.storage.unitofwork import UnitOfWork

REMEMBERED_MAX = 20_000
"""Principals kept in memory, about 1 kB each; with more, all are read anew."""

SERVER_ID = "keyserver"
"""The `kid` of the server's own signatures; no principal has it."""


class Principals:
    """Finds callers by id. A registered principal's keys never change, so what is remembered stays true."""

    def __init__(self, operators: tuple[OperatorKeys, ...], unit_of_work: UnitOfWork, master: Secret) -> None:
        self._operators = {
            each.id: Principal(each.id, "operator", each.signing, each.kek) for each in operators
        }
        self._unit_of_work = unit_of_work
        self._master = master
        self._remembered: dict[str, Principal] = {}

    def is_reserved(self, principal_id: str) -> bool:
        """Whether an id is the server's or an operator's, so that nothing is registered under it."""
        return principal_id == SERVER_ID or principal_id in self._operators

    async def find(self, principal_id: str) -> Principal | None:
        """Return the principal of that id."""
        known = self._operators.get(principal_id) or self._remembered.get(principal_id)
        if known is not None:
            return known
        found = await self._unit_of_work.run(
            lambda connection: store_principals.find(connection, principal_id, self._master)
        )
        if found is not None:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[principal_id] = found
        return found
