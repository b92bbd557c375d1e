"""Owns what an escrow knows of revoked certificates: the key server's list, checked, kept, and how old it is.

```
GET /v1/crl or a file ─► by the issuing CA? not older than what we have? ─► crl.der ─► certificates marked
```
The age of a list counts from what it says itself (`thisUpdate`, RFC 5280 §5.1.2.4), so that an old one
that is sent again stays old. While none is young enough, nothing is opened.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sealcast.core.errors import AuthenticationError, FormatError, LocalError, RefusedError, UsageError
from sealcast.device.files import read_private, replace_private
from sealcast.keyserver.values import refusal

CRL_FILE = "crl.der"
CRL_BYTES_MAX = 16 * 2**20
"""Some 300,000 revoked certificates; they leave the list when they expire."""

AHEAD_MS = 60_000
"""How far the key server's clock may run ahead of ours."""

RETRY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class _List:
    """A list that was checked: when it was made, its number (RFC 5280 §5.2.3), and who stands on it."""

    made_ms: int
    number: int
    serials: frozenset[int]

    @property
    def order(self) -> tuple[int, int]:
        """What rises from list to list, also within a second."""
        return self.made_ms, self.number


class RevokedParties:
    """The present list. The loop's thread takes lists, the writer's asks; each sees a whole one."""

    def __init__(self, issuer_pem: str, max_age_ms: int, kept: Path | None = None) -> None:
        """`kept` is where the list is kept between runs; raises UsageError for one that does not do."""
        self._issuer = x509.load_pem_x509_certificate(issuer_pem.encode())
        self.max_age_ms = max_age_ms
        self._kept = kept
        self._list: _List | None = None
        if kept is not None and kept.exists():
            try:
                self._list = self._read(read_private(kept))
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
        found = self._read(der)
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

    def _read(self, der: bytes) -> "_List":
        if len(der) > CRL_BYTES_MAX:
            raise FormatError(f"a list of revoked certificates has at most {CRL_BYTES_MAX} bytes")
        try:
            found = x509.load_der_x509_crl(der)
            made = found.last_update_utc
            serials = frozenset(each.serial_number for each in found)
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except Exception as error:
            # The library has an error of its own for each fault of a list.
            raise FormatError("not a list of revoked certificates (DER)") from error
        key = self._issuer.public_key()
        kinds = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
        if not isinstance(key, kinds) or not found.is_signature_valid(key):
            raise AuthenticationError("the list of revoked certificates is not by this operator's issuing CA")
        return _List(int(made.timestamp()) * 1_000, number, serials)
