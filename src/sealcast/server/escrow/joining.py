"""Owns how a party becomes known to an escrow: by the operator's certificates, under the key they are for.

```
certificates ─► by our operator's issuing CA? ─► request signed by the key in them? ─► not revoked, not over?
  ─► device: identified? ─► id free, or the same keys, or the earlier certificates no longer good ─► known
```
An escrow certifies nobody. Who joins again with renewed certificates goes on under these.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealcast.core.errors import AuthenticationError
from sealcast.core.secret import Secret
from sealcast.device.certified import read_certificate
from sealcast.device.chains import CertifiedParty, read_party
from sealcast.keyserver import store_certificates, store_principals
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.registry import check_id, check_keys
from sealcast.keyserver.store_certificates import USE_KEK, USE_SIGNING, CertificateEntry
from sealcast.keyserver.store_principals import CERTIFICATE, RegistryEntry
from sealcast.keyserver.values import refusal
from sealcast.messages import jose, operations_escrow
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import Joined, JoinRequest
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import RegisteredKeys, Role
from sealcast.server.certificates import same_certificate
from sealcast.server.escrow.revocation import RevokedParties
from sealcast.server.newcomers import NEWCOMER_ROLE, Newcomer
from sealcast.server.principals import Principals
from sealcast.server.state import ServerState

ROLES = ("device", "seller")
"""Who takes part in a sale, besides administrators."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who vouches for parties: the operator's CA, and the one CA below it that issues their certificates.

    Only of that one do we read what was revoked; so another CA below the operator's counts for nothing.
    """

    operator: str
    ca_pem: str
    issuer_pem: str

    @classmethod
    def of(cls, state: ServerState) -> "Voucher":
        """Return who vouches for the parties of an escrow's operator."""
        return cls(state.operator, state.ca_pem, state.issuer.certificate_pem.decode())

    def read(self, certificates: Certificates) -> CertifiedParty:
        """Return whose certificates these are; raises AuthenticationError and FormatError."""
        read_certificate(certificates.issuer)
        if not same_certificate(certificates.issuer.encode(), self.issuer_pem.encode()):
            raise AuthenticationError("these certificates are not by this operator's issuing CA")
        party = read_party(certificates, self.ca_pem)
        if party.operator != self.operator:
            raise AuthenticationError(f"these certificates are of the operator {party.operator}")
        return party

    def read_newcomer(self, body: bytes, _: Jwk) -> Newcomer:
        """Read a request to join, whose signature verifies under the certificate that it brings.

        Raises FormatError for what is no such request, AuthenticationError for anything that does not verify.
        Costs four signature checks, and no read of the database.
        """
        signed = jose.peek(body)
        claimed = decode(jose.unverified_payload(body), JoinRequest)
        party = self.read(claimed.certificates)
        if signed.kid != party.id:
            raise AuthenticationError(f"the certificates of {party.id} came with a request by {signed.kid}")
        request = decode(jose.verify(signed, party.signing, typ=jose.TYP_REQUEST), JoinRequest)
        return Newcomer(Principal(party.id, NEWCOMER_ROLE, party.signing, party.kek), request)


class JoinDesk:
    """Makes certified parties known."""

    def __init__(
        self,
        *,
        escrow: str,
        master: Secret,
        voucher: Voucher,
        revoked: RevokedParties,
        principals: Principals,
    ) -> None:
        self._escrow = escrow
        self._master = master
        self._voucher = voucher
        self._revoked = revoked
        self._principals = principals

    def join(self, call: Call, request: JoinRequest) -> Reply:
        """Know a party from now on; asked again with the same certificates, give the same answer.

        Raises the refusals `wrong-role`, `certificate-expired`, `certificate-revoked`, `not-identified`, and
        `exists` for an id that is ours, or that somebody with other keys still has.
        """
        party = self._voucher.read(request.certificates)
        self._check(call, party)
        keys = RegisteredKeys(signing=party.signing, kek=party.kek)
        found = store_principals.find(call.connection, party.id, self._master)
        if found is None or (found.signing, found.kek) != (party.signing, party.kek):
            if found is not None:
                self._take_place(call, found)
            role: Role = "device" if party.role == "device" else "seller"
            check_keys(role, keys)
            entry = RegistryEntry(party.id, role, CERTIFICATE, call.wall_ms)
            store_principals.add(call.connection, entry, keys, self._master)
        if self._is_newer(call, party, request.certificates):
            store_certificates.add(call.connection, _entries(party, request.certificates))
            call.record("escrow-join", f"{party.role} {party.id} {party.serials[0]}")
        self._principals.forget(party.id)
        return Reply(Joined(jti=request.jti, id=party.id, role=party.role, escrow=self._escrow))

    def _check(self, call: Call, party: CertifiedParty) -> None:
        """Raise a refusal for a party that may not take part."""
        if party.role not in ROLES:
            raise refusal("wrong-role", f"an escrow deals with devices and sellers, not with a {party.role}")
        if party.ends_at_ms <= call.wall_ms:
            raise refusal("certificate-expired", f"the certificates of {party.id} have expired; renew them")
        if any(self._revoked.has(serial) for serial in party.serials):
            raise refusal("certificate-revoked", f"the certificates of {party.id} were revoked")
        if party.role == "device" and not party.is_identified:
            raise refusal(
                "not-identified",
                f"the operator has not identified {party.id}: sealcast device identify, then device renew",
            )
        check_id(party.id)
        if self._principals.is_reserved(party.id) or party.id == self._escrow:
            raise refusal("exists", f"{party.id} is no party's id here")

    def _take_place(self, call: Call, found: Principal) -> None:
        """Make room for a party that was certified anew under an id; `exists` while the other is good."""
        standing = found.standing
        if standing is not None and not standing.is_revoked and standing.expires_at_ms > call.wall_ms:
            raise refusal("exists", f"{found.id} is known here under other keys, and these are good")
        store_principals.remove(call.connection, found.id, call.wall_ms)
        call.record("escrow-replace", found.id)

    def _is_newer(self, call: Call, party: CertifiedParty, certificates: Certificates) -> bool:
        """Whether certificates are not on record, and none that was issued later is good."""
        if store_certificates.is_known(call.connection, party.serials[0]):
            return False
        newest = store_certificates.newest(call.connection, party.id)
        standing = store_certificates.standing(call.connection, party.id)
        if newest is None or standing is None or standing.is_revoked:
            return True
        present = x509.load_der_x509_certificate(newest[0])
        return read_certificate(certificates.signing).not_valid_before_utc >= present.not_valid_before_utc


def join_handler(desk: JoinDesk) -> Handler:
    """Return the handler of `escrow-join`."""
    return Handler(operations_escrow.ESCROW_JOIN, desk.join)


def _entries(party: CertifiedParty, certificates: Certificates) -> tuple[CertificateEntry, ...]:
    """Return two certificates as the database keeps them, as issued when their life begins."""
    pairs = zip(party.serials, (USE_SIGNING, USE_KEK), (certificates.signing, certificates.kek), strict=True)
    entries = []
    for serial, use, pem in pairs:
        certificate = read_certificate(pem)
        entries.append(
            CertificateEntry(
                serial=serial,
                principal=party.id,
                use=use,
                certificate=certificate.public_bytes(Encoding.DER),
                issued_at_ms=int(certificate.not_valid_before_utc.timestamp()) * 1_000,
                expires_at_ms=party.ends_at_ms,
            )
        )
    return tuple(entries)
