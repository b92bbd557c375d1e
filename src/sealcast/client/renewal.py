"""Owns when a party's certificates are renewed: in the last third of their life, as the key server tells it.

The server says with each answer how long they are still good for (`problems.HEADER_CERTIFICATE`), so no clock
of ours is read. A renewal runs beside the calls; one that fails is tried again with a later answer.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from msgspec.structs import replace

from sealcast.client import limits
from sealcast.core.errors import SealcastError
from sealcast.device.certified import check_certificates, life_s
from sealcast.device.vault import Credential
from sealcast.messages.enrolment import Certificates

RENEWED_AT = 1 / 3
"""The part of their life that is left when certificates are renewed: a party on holiday misses no turn."""

Keep = Callable[[Credential], None]
"""Takes a credential with new certificates and keeps it durably; raises UsageError where it cannot."""

log = structlog.get_logger("sealcast.client")


class Renewal:
    """Renews the certificates of one credential; does nothing for a party that has none."""

    def __init__(
        self, credential: Credential, ask: Callable[[], Awaitable[Certificates]], keep: Keep | None
    ) -> None:
        """`ask` gets new certificates from the key server."""
        self._credential = credential
        self._ask = ask
        self._keep = keep
        self._task: asyncio.Task[None] | None = None
        self._not_before_s = 0.0
        self.remaining_s: float | None = None
        """How long the certificates are still good for, as the key server last said."""

    @property
    def is_due(self) -> bool:
        """Whether less than a third of the certificates' life is left."""
        certificates = self._credential.certificates
        if certificates is None or self.remaining_s is None:
            return False
        return self.remaining_s < life_s(certificates) * RENEWED_AT

    def note(self, remaining_s: float | None) -> None:
        """Take over what an answer said, and begin to renew if it is time."""
        if remaining_s is None:
            return
        self.remaining_s = remaining_s
        loop = asyncio.get_running_loop()
        if self._task is None and loop.time() >= self._not_before_s and self.is_due:
            self._not_before_s = loop.time() + limits.RENEW_PAUSE_S
            self._task = loop.create_task(self._renew())

    def take_over(self, credential: Credential, keep: Keep | None) -> None:
        """Go on with a credential that was read anew; a renewal under way ends with its own."""
        self._credential, self._keep, self._not_before_s = credential, keep, 0.0

    async def finish(self) -> None:
        """Wait a moment for a renewal under way, then give it up."""
        if (task := self._task) is not None:
            await asyncio.wait((task,), timeout=limits.RENEW_FINISH_S)
            task.cancel()

    async def _renew(self) -> None:
        try:
            certificates = await self._ask()
            check_certificates(certificates, self._credential)
            self._credential = replace(self._credential, certificates=certificates)
            if self._keep is not None:
                await asyncio.to_thread(self._keep, self._credential)
            log.info("certificates renewed", good_for_days=round(life_s(certificates) / 86_400))
        except SealcastError as error:
            log.warning("certificates not renewed, will try again", reason=str(error))
        finally:
            self._task = None
