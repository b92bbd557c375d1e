"""Owns the keys that devices sign with, now or earlier: what a signature on record is verified under."""

from collections.abc import Callable

import sqlalchemy as sa
from cryptography import x509

from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.store_certificates import USE_SIGNING
from sealcast.keyserver.tables import certificates
from sealcast.messages.jwk import Jwk, jwk_of

SigningKeys = Callable[[sa.Connection, str], tuple[Jwk, ...]]

_CERTIFICATES = (
    sa.select(certificates.c.certificate)
    .where(certificates.c.principal == sa.bindparam("wanted"), certificates.c.use == USE_SIGNING)
    .order_by(certificates.c.issued_at_ms.desc())
)


def signing_keys(master: Secret) -> SigningKeys:
    """Return what finds the keys of a device: those it is registered with, and of all its certificates.

    Of one that was removed only certificates are left, and of a symmetric one nothing: its keys are erased.
    """

    def keys_of(connection: sa.Connection, device: str) -> tuple[Jwk, ...]:
        registered = store_principals.find(connection, device, master)
        found = [] if registered is None else [registered.signing]
        for der in connection.execute(_CERTIFICATES, {"wanted": device}).scalars():
            key = jwk_of(x509.load_der_x509_certificate(der).public_key())
            if key not in found:
                found.append(key)
        return tuple(found)

    return keys_of


def no_keys(_: sa.Connection, __: str) -> tuple[Jwk, ...]:
    """Know nobody's keys."""
    return ()
