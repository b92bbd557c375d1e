"""Owns what enrolment and certificates say by unicast: invitations, newcomers, certificates, revocation.

```
operator ── invite: SHA-256 of a token ──► key server        token and CA fingerprint go to the newcomer
newcomer ── GET /v1/operator: CA matches the fingerprint? ──► OperatorDocument
newcomer ── enrol: token, keys or CSR, signed with its new key ──► Enrolled, sealed to its new KEK
```
The server never knows a token before it is used. That the answer is sealed to the new KEK proves, by its use,
that the newcomer holds the private half (the indirect method of RFC 4210 §5.2.8.3).
"""

import hashlib

import msgspec

from sealcast.core.errors import FormatError
from sealcast.core.ports import Random
from sealcast.messages.encoding import b64url_decode, b64url_encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import Request, Role

TOKEN_BYTES = 16
"""128 random bits: guessing one takes longer than any invitation lives."""

FINGERPRINT_BYTES = 32
INVITATION_S_MAX = 30 * 86_400
OPERATOR_PATH, CRL_PATH = "/v1/operator", "/v1/crl"
IDENTIFIED_POLICY = "2.25.292942020057998292633071037864845507814"
"""The certificate policy (RFC 5280 §4.2.1.4) of a party whose person the operator identified.

Below 2.25 (X.667) stands the UUID of name `urn:sealcast:policy:identified`.
"""

NEWCOMER = "newcomer"
"""The `kid` of an enrolment: the server gives the name, or the invitation has it."""


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """A party's two certificates, one for each of its keys, in PEM.

    `issuer` is the CA certificate between them and the operator's CA.
    """

    signing: str
    kek: str
    issuer: str


class InviteRequest(Request, frozen=True, kw_only=True):
    """Operator: let one newcomer enrol. `token_hash` is SHA-256 of the token; `id` names it, if given.

    `channels` are those that a device is subscribed to, or that a sender may send on, once it enrolled.
    """

    token_hash: bytes
    role: Role = "device"
    id: str | None = None
    channels: list[str] = msgspec.field(default_factory=list)
    valid_s: int = 86_400


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as administrators see it; the server has no token to show."""

    number: int
    role: str
    id: str | None
    channels: list[str]
    state: str
    expires_at: str
    used_by: str | None = None


class InvitationList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to invite and to the list of invitations."""

    invitations: list[InvitationRow]


class InvitationCancelRequest(Request, frozen=True, kw_only=True):
    """Operator: withdraw an invitation that was not used."""

    number: int


class EnrolRequest(Request, frozen=True, kw_only=True):
    """Newcomer: register under an invitation, in exactly one of two forms.

    Either `sealed_keys`, a JWE of `RegisteredKeys` to the server, for symmetric secrets (S0-7); or `csr`, a
    PKCS #10 request in PEM (RFC 2986) for the signing key, with `kek`, the public key to seal to (S0-8). The
    whole request is signed with the new signing key. `id` is left out where the invitation, or the server,
    names the party.
    """

    token: str
    id: str | None = None
    sealed_keys: str | None = None
    csr: str | None = None
    kek: Jwk | None = None


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a newcomer: its name and role, its channels, and its certificates if it sent a CSR."""

    jti: str
    id: str
    role: Role
    channels: list[str]
    certificates: Certificates | None = None


class OperatorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /v1/operator` tells everybody.

    Nothing of it is believed before `ca_pem` has been checked against a fingerprint, and the rest only over a
    connection that this CA vouches for.
    """

    operator: str
    ca_pem: str
    servers: list[str]
    server_key: Jwk
    server_kek: Jwk


class CertificateIssueRequest(Request, frozen=True, kw_only=True):
    """Operator: register a party by a CSR that came by another way, and certify it."""

    id: str
    role: Role
    csr: str
    kek: Jwk
    channels: list[str] = msgspec.field(default_factory=list)


class CertificateRenewRequest(Request, frozen=True, kw_only=True):
    """Any certified party: new certificates for the same keys."""


class CertificateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to issue and renew."""

    jti: str
    certificates: Certificates


class CertificateRevokeRequest(Request, frozen=True, kw_only=True):
    """Operator: revoke one certificate by its serial number (hexadecimal), or all of a party by `id`.

    Or an escrow's: `escrow` is its certificate (PEM), which the operator's CA issued and nobody keeps.
    """

    serial: str | None = None
    id: str | None = None
    escrow: str | None = None
    reason: str = "unspecified"


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate as administrators see it; `use` is signing or kek, `state` valid, expired or revoked."""

    serial: str
    id: str
    role: str
    use: str
    state: str
    expires_at: str
    revoked_at: str | None = None
    reason: str | None = None


class CertificateList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to the list of certificates and to revoke (those that it revoked)."""

    certificates: list[CertificateRow]


class Invitation(msgspec.Struct, frozen=True):
    """What one line says to a newcomer: `https://HOST:PORT#TOKEN.FINGERPRINT`."""

    server: str
    token: str
    fingerprint: str

    def __repr__(self) -> str:
        return f"Invitation(to {self.server})"

    def line(self) -> str:
        """Return the one line; it is as good as the key to what the invitation is for, until it is used."""
        return f"{self.server}#{self.token}.{self.fingerprint}"


def new_token(random: Random) -> str:
    """Return a fresh token."""
    return b64url_encode(random.bytes(TOKEN_BYTES))


def token_hash(token: str) -> bytes:
    """Return the 32 bytes under which a server knows a token."""
    return hashlib.sha256(b"sealcast invitation 1" + token.encode()).digest()


def read_invitation(text: str) -> Invitation:
    """Read the line of an invitation; raises FormatError saying which part does not fit."""
    server, mark, rest = text.strip().partition("#")
    token, dot, fingerprint = rest.partition(".")
    if not server.startswith("https://") or not mark or not dot:
        raise FormatError("an invitation reads https://HOST:PORT#TOKEN.FINGERPRINT; copy the whole line")
    if not (_has_bytes(token, TOKEN_BYTES) and _has_bytes(fingerprint, FINGERPRINT_BYTES)):
        raise FormatError("a part of the invitation is missing; copy the whole line")
    return Invitation(server.rstrip("/"), token, fingerprint)


def ca_fingerprint(certificate_der: bytes) -> str:
    """Return SHA-256 of a CA certificate in DER, in base64url: what an invitation pins."""
    return b64url_encode(hashlib.sha256(certificate_der).digest())


def _has_bytes(text: str, count: int) -> bool:
    try:
        return len(b64url_decode(text)) == count
    except FormatError:
        return False
