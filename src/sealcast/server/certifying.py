"""Owns the operations on certificates: issue, renew, list, revoke, and the revocation list."""

from collections.abc import Callable, Iterable

import msgspec
import sqlalchemy as sa

from sealcast.device.certified import read_certificate
from sealcast.device.chains import ESCROW_ROLE, read_escrow
from sealcast.keyserver import store_certificates, store_identified, store_principals, store_revoked_escrows
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.store_certificates import USE_SIGNING, CertificateEntry
from sealcast.keyserver.store_revoked_escrows import RevokedEscrow
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages.enrolment import (
    CertificateAnswer,
    CertificateIssueRequest,
    CertificateList,
    CertificateRenewRequest,
    CertificateRevokeRequest,
    CertificateRow,
)
from sealcast.messages.requests import ListRequest, RegisteredKeys, Role
from sealcast.server.issuing import REASONS, Issuer, read_csr

Register = Callable[[Call, str, Role, RegisteredKeys, list[str]], None]
"""Registers a party by id, role and public keys, and gives it its channels; raises a refusal."""


CRL_AGE_MS = 10_000
"""How old a list may be that is given out again, so that a crowd of readers costs one signature."""


class CertificateDesk:
    """Carries out what is asked about certificates; `forget` drops what is remembered of a party.

    `shut_out` has the keys that a revoked device holds go off the air. Escrows' certificates are `ca_pem`'s.
    """

    def __init__(
        self,
        *,
        issuer: Issuer,
        ca_pem: str,
        register: Register,
        forget: Callable[[str], None],
        shut_out: Callable[[Call, str], None],
    ) -> None:
        self._issuer, self._ca_pem = issuer, ca_pem
        self._crl: tuple[int, bytes] | None = None
        self._register = register
        self._forget = forget
        self._shut_out = shut_out

    def issue(self, call: Call, request: CertificateIssueRequest) -> Reply:
        """Register a party by a certificate request that came by another way, and certify it."""
        keys = RegisteredKeys(signing=read_csr(request.csr), kek=request.kek)
        issued = self._issuer.certify(
            id=request.id, role=request.role, signing=keys.signing, kek=keys.kek, wall_ms=call.wall_ms
        )
        self._register(call, request.id, request.role, keys, request.channels)
        store_certificates.add(call.connection, issued.entries)
        call.record("certificate-issue", f"{request.role} {request.id} {issued.entries[0].serial}")
        return Reply(CertificateAnswer(jti=request.jti, certificates=issued.certificates))

    def renew(self, call: Call, request: CertificateRenewRequest) -> Reply:
        """Give a certified party new certificates for the keys that it has."""
        caller = call.caller
        role = store_principals.role_of(call.connection, caller.id)
        if role is None or caller.standing is None:
            raise refusal(
                "not-certified", f"{caller.id} has no certificate to renew; its keys are registered"
            )
        issued = self._issuer.certify(
            id=caller.id,
            role=msgspec.convert(role, Role),
            signing=caller.signing,
            kek=caller.kek,
            wall_ms=call.wall_ms,
            is_identified=store_identified.find(call.connection, caller.id) is not None,
        )
        store_certificates.add(call.connection, issued.entries)
        call.record("certificate-renew", f"{caller.id} {issued.entries[0].serial}")
        self._forget(caller.id)
        return Reply(CertificateAnswer(jti=request.jti, certificates=issued.certificates))

    def list(self, call: Call, _: ListRequest) -> Reply:
        """Return every certificate that was issued to a party, and escrows' that were revoked."""
        rows = self._rows(call, store_certificates.entries(call.connection)).certificates
        gone = [_escrow_row(each) for each in store_revoked_escrows.entries(call.connection)]
        return Reply(CertificateList(certificates=[*rows, *gone]))

    def revoke(self, call: Call, request: CertificateRevokeRequest) -> Reply:
        """Revoke a party's certificates, named by one of them or by the party, or an escrow's."""
        if [request.serial, request.id, request.escrow].count(None) != 2:
            raise refusal(
                "bad-request", "name either a certificate by its serial, a party by its id, or an escrow"
            )
        if request.reason not in REASONS:
            raise refusal("bad-request", f"a reason is one of {', '.join(sorted(REASONS))}")
        if request.escrow is not None:
            return self._revoke_escrow(call, request.escrow, request.reason)
        gone = store_certificates.revoke(
            call.connection,
            call.wall_ms,
            request.reason,
            principal_id=request.id,
            serial=request.serial.lower().replace(":", "").lstrip("0")
            if request.serial is not None
            else None,
        )
        if not gone:
            named = (request.serial or request.id or "")[:80]
            raise refusal("unknown-certificate", f"there is no valid certificate {named!r}; see: ca list")
        self.forget_crl()
        self._shut_out(call, gone[0].principal)
        call.record("certificate-revoke", f"{gone[0].principal} {request.reason}")
        self._forget(gone[0].principal)
        return Reply(self._rows(call, gone))

    def _revoke_escrow(self, call: Call, certificate: str, reason: str) -> Reply:
        """Put an escrow's certificate on the list; raises FormatError, AuthenticationError for another."""
        escrow = read_escrow(certificate, self._ca_pem)
        ends_at_ms = int(read_certificate(certificate).not_valid_after_utc.timestamp()) * 1_000
        gone = RevokedEscrow(escrow.serial, escrow.id, ends_at_ms, call.wall_ms, reason)
        if not store_revoked_escrows.add(call.connection, gone):
            raise refusal(
                "unknown-certificate", f"the certificate of the escrow {escrow.id} is revoked already"
            )
        self.forget_crl()
        call.record("certificate-revoke", f"escrow {escrow.id} {reason}")
        return Reply(CertificateList(certificates=[_escrow_row(gone)]))

    def forget_crl(self) -> None:
        """Have the next revocation list made anew: something was revoked."""
        self._crl = None

    def crl(self, connection: sa.Connection, wall_ms: int) -> bytes:
        """Return the revocation list in DER, at most `CRL_AGE_MS` old.

        A fresh one costs a signature and a line for each revoked certificate; anybody may ask for it.
        """
        if self._crl is None or not 0 <= wall_ms - self._crl[0] < CRL_AGE_MS:
            revoked = store_certificates.revoked(connection, wall_ms)
            revoked += store_revoked_escrows.revoked(connection, wall_ms)
            self._crl = wall_ms, self._issuer.crl(revoked, wall_ms)
        return self._crl[1]

    def _rows(self, call: Call, entries: Iterable[CertificateEntry]) -> CertificateList:
        return CertificateList(certificates=[_row(entry, call.wall_ms) for entry in entries])


def _escrow_row(gone: RevokedEscrow) -> CertificateRow:
    return CertificateRow(
        serial=gone.serial,
        id=gone.escrow,
        role=ESCROW_ROLE,
        use=USE_SIGNING,
        state="revoked",
        expires_at=iso_time(gone.expires_at_ms),
        revoked_at=iso_time(gone.revoked_at_ms),
        reason=gone.reason,
    )


def _row(entry: CertificateEntry, wall_ms: int) -> CertificateRow:
    expired = "expired" if entry.expires_at_ms <= wall_ms else "valid"
    return CertificateRow(
        serial=entry.serial,
        id=entry.principal,
        role=entry.role,
        use=entry.use,
        state="revoked" if entry.revoked_at_ms is not None else expired,
        expires_at=iso_time(entry.expires_at_ms),
        revoked_at=iso_time(entry.revoked_at_ms) if entry.revoked_at_ms is not None else None,
        reason=entry.reason,
    )
