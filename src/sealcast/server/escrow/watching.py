"""Owns the task that reads the list of revoked certificates, and marks those that are known here."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from sealcast.client.revocations import fetch_revoked
from sealcast.core.errors import LocalError, SealcastError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.device.revoked import CRL_BYTES_MAX
from sealcast.keyserver import store_certificates
from sealcast.server.escrow.revocation import RevokedParties
from sealcast.server.principals import Principals
from sealcast.storage.unitofwork import UnitOfWork

AT_ONCE = 500
"""Serial numbers in one query."""

REASON = "unspecified"
"""Why certificates were revoked is the key server's to tell."""

log = structlog.get_logger("sealcast.server")


class RevocationWatch:
    """Reads the list every so often; `sources` are addresses of key servers, or one file."""

    def __init__(
        self,
        *,
        revoked: RevokedParties,
        ca_pem: str,
        sources: Sequence[str] | Path,
        every_s: float,
        unit_of_work: UnitOfWork,
        principals: Principals,
        clock: Clock,
    ) -> None:
        self._revoked = revoked
        self._ca_pem = ca_pem
        self._sources = sources
        self._every_s = every_s
        self._unit_of_work = unit_of_work
        self._principals = principals
        self._clock = clock
        self._is_known = True
        self._unmarked: frozenset[int] = frozenset()
        self.asked = asyncio.Event()
        """Set it to have the list read at once."""

    async def run(self) -> None:
        """Read now and then until cancelled; what fails is said once, and tried again."""
        self._unmarked = self._revoked.serials
        while True:
            try:
                await self.read()
            except (SealcastError, OSError) as error:
                if self._is_known:
                    log.warning("revoked certificates cannot be read", reason=str(error))
                self._is_known = False
            else:
                if not self._is_known:
                    log.info("revoked certificates are read again")
                self._is_known = True
            self.asked.clear()
            try:
                async with asyncio.timeout(self._every_s):
                    await self.asked.wait()
            except TimeoutError:
                continue

    async def read(self) -> None:
        """Read the list once, and mark what is new on it; raises SealcastError, or OSError for a file."""
        try:
            wall_ms = self._clock.wall_ns() // NS_PER_MS
            self._unmarked |= await asyncio.to_thread(self._revoked.take, await self._fetch(), wall_ms)
        finally:
            # What could not be marked the last time is on no later list as news.
            await self._mark_all(self._unmarked)
        self._unmarked = frozenset()

    async def _mark_all(self, serials: frozenset[int]) -> None:
        """Have no party go on under these certificates; in as many units of work as needed."""
        names = [f"{serial:x}" for serial in sorted(serials)]
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        for place in range(0, len(names), AT_ONCE):
            gone = await self._unit_of_work.run(partial(self._mark, names[place : place + AT_ONCE], wall_ms))
            if gone:
                log.info("certificates were revoked", parties=sorted(gone))

    def _mark(self, names: Sequence[str], wall_ms: int, connection: sa.Connection) -> set[str]:
        gone = store_certificates.mark_revoked(connection, names, wall_ms, REASON)
        for party in gone:
            self._principals.forget(party)
        return gone

    async def _fetch(self) -> bytes:
        if isinstance(self._sources, Path):
            return await asyncio.to_thread(_read_file, self._sources)
        return await fetch_revoked(self._sources, self._ca_pem)


def _read_file(path: Path) -> bytes:
    """Return what a file holds, bounded; raises OSError, LocalError."""
    if path.stat().st_size > CRL_BYTES_MAX:
        raise LocalError(f"{path} is larger than a list of revoked certificates")
    return path.read_bytes()
