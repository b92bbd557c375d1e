"""Owns what an escrow knows of revoked certificates: the key server's list, checked, kept, and how old it is.

```
GET /v1/crl or a file ─► by the issuing CA? not older than what we have? ─► crl.der ─► certificates marked
```
The age of a list counts from what it says itself (`thisUpdate`, RFC 5280 §5.1.2.4), so that an old one
that is sent again stays old. While none is young enough, nothing is opened.
"""

from pathlib import Path

from sealcast.core.errors import AuthenticationError, FormatError, LocalError, RefusedError, UsageError
from sealcast.device.files import read_private, replace_private
from sealcast.device.revoked import RevocationList, read_revoked
from sealcast.keyserver.values import refusal

CRL_FILE = "crl.der"
AHEAD_MS = 60_000
"""How far the key server's clock may run ahead of ours."""

RETRY_AFTER_S = 10.0


class RevokedParties:
    """The present list. The loop's thread takes lists, the writer's asks; each sees a whole one."""

    def __init__(self, issuer_pem: str, max_age_ms: int, kept: Path | None = None) -> None:
        """`kept` is where the list is kept between runs; raises UsageError for one that does not do."""
        self._issuer_pem = issuer_pem
        self.max_age_ms = max_age_ms
        self._kept = kept
        self._list: RevocationList | None = None
        if kept is not None and kept.exists():
            try:
                self._list = read_revoked(read_private(kept), issuer_pem)
            except (FormatError, AuthenticationError) as error:
                raise UsageError(f"{kept}: {error}; remove it, it will be fetched again") from error

    @property
    def this_update_ms(self) -> int | None:
        """When the present list was made, None without one."""
        return None if self._list is None else self._list.made_ms

    @property
    def serials(self) -> frozenset[int]:
        """Serial numbers of the certificates that are revoked and have not expired."""
        return frozenset() if self._list is None else self._list.serials

    def has(self, serial: str) -> bool:
        """Whether a certificate, by its serial number in hexadecimal, is on the list."""
        return int(serial, 16) in self.serials

    def take(self, der: bytes, wall_ms: int) -> frozenset[int]:
        """Take over a list, keep it, and return the serial numbers that are new on it.

        Blocks for a write to disk. Raises AuthenticationError for one that is not by the issuing CA or is of
        the future, FormatError for what is no list, LocalError where it cannot be kept. One that is not newer
        than ours changes nothing.
        """
        found = read_revoked(der, self._issuer_pem)
        if found.made_ms > wall_ms + AHEAD_MS:
            raise AuthenticationError("the list of revoked certificates is of the future: look at the clocks")
        before = self._list
        if before is not None and found.order <= before.order:
            return frozenset()
        if self._kept is not None:
            try:
                replace_private(self._kept, der)
            except UsageError as error:
                raise LocalError(str(error)) from error
        self._list = found
        return found.serials - before.serials if before is not None else found.serials

    def check_fresh(self, wall_ms: int) -> None:
        """Raise the refusal `revocation-unknown` while the list is too old to rely on."""
        made_ms = self.this_update_ms
        if made_ms is not None and wall_ms - made_ms <= self.max_age_ms:
            return
        what = "no list" if made_ms is None else f"one of {(wall_ms - made_ms) // 1_000} s ago"
        no = refusal(
            "revocation-unknown",
            f"the escrow has {what} of revoked certificates, and opens nothing until it has a new one",
        )
        raise RefusedError(no.type, no.detail, no.status, retry_after_s=RETRY_AFTER_S)
