"""Owns how a newcomer comes to trust an operator, and becomes known to it.

```
1  GET /v1/operator, nothing verified, nothing sent     does its CA have the invitation's fingerprint?
2  GET /v1/operator over TLS under that CA alone        name, servers and keys of the operator
3  enrol: token and new keys, signed with the new key   id, role, channels, certificates, sealed to our KEK
```
Between 2 and 3 the new keys are kept, so that an answer that was lost is asked for again with the same keys.
"""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from sealcast.client import limits
from sealcast.client.keyserver import KeyServerClient
from sealcast.core.errors import FormatError, UnreachableError
from sealcast.core.ports import Random
from sealcast.device.certified import check_certificates
from sealcast.device.csr import make_csr
from sealcast.device.holder import keys_of
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.token import PartyKeys, TokenKeys
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.enrolment import (
    NEWCOMER,
    OPERATOR_PATH,
    Enrolled,
    Invitation,
    OperatorDocument,
    ca_fingerprint,
)
from sealcast.messages.operations import ENROL
from sealcast.messages.requests import RegisteredKeys

FINAL_REFUSALS = frozenset(
    {
        "not-invited",
        "invitation-expired",
        "invitation-used",
        "exists",
        "bad-request",
        "not-authenticated",
        "not-sold",
    }
)
"""After these the new keys are of no use to anybody; after any other no they may be known to the server."""


async def meet_operator(invitation: Invitation) -> OperatorDocument:
    """Return what the operator says of itself, once its CA is the one that the invitation names.

    Its `ca_pem` holds that one certificate and nothing else. Raises UnreachableError: no answer, not a key
    server's, another CA, or a server that this CA does not vouch for; nothing secret was sent then.
    """
    # aiohttp is for programs that do ask; see `client.keyserver`.
    from sealcast.client.transfer import Transfer, fetch_unverified  # noqa: PLC0415 - see above

    shown = _document(invitation.server, (await fetch_unverified(invitation.server, OPERATOR_PATH)).body)
    ca_pem = _pinned(shown.ca_pem, invitation)
    transfer = Transfer(ca_pem)
    try:
        reply = await transfer.get(invitation.server, OPERATOR_PATH)
    finally:
        await transfer.close()
    return replace(_document(invitation.server, reply.body), ca_pem=ca_pem)


def new_credential(
    operator: OperatorDocument,
    invitation: Invitation,
    kind: KeyKind,
    random: Random,
    token: TokenKeys | None = None,
) -> Credential:
    """Return a newcomer's credential with fresh keys, which is good for enrolling and nothing else.

    The keys are those of `token`, which were made inside it, or made here.
    """
    signing, kek = new_keys(kind, random) if token is None else (token.signing.public(), token.kek.public())
    servers = dict.fromkeys((invitation.server, *operator.servers[: limits.SERVERS_MAX]))
    return Credential(
        role="device",
        id=NEWCOMER,
        operator=operator.operator,
        signing=signing,
        kek=kek,
        ca_pem=operator.ca_pem,
        servers=list(servers),
        server_key=operator.server_key,
        server_kek=operator.server_kek,
        token=token.place if token is not None else None,
    )


def is_for(credential: Credential, invitation: Invitation) -> bool:
    """Whether a credential waits for the answer to an enrolment with the operator of this invitation."""
    return credential.id == NEWCOMER and fingerprint_of(credential.ca_pem) == invitation.fingerprint


def fingerprint_of(ca_pem: str) -> str:
    """Return the fingerprint of a CA certificate in PEM, as invitations have it; raises UnreachableError."""
    try:
        certificate = x509.load_pem_x509_certificate(ca_pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise UnreachableError("what should be the operator's CA is not a certificate") from error
    return ca_fingerprint(certificate.public_bytes(Encoding.DER))


async def enrol(
    newcomer: Credential,
    invitation: Invitation,
    id_: str | None,
    random: Random,
    keys: PartyKeys | None = None,
) -> tuple[Credential, Enrolled]:
    """Register under an invitation; return the party's credential and what the key server said.

    `id_` is the name that the newcomer would like; `keys` are needed where they are in a token. Raises as
    `KeyServerClient.call`; a RefusedError whose `type` is among FINAL_REFUSALS says that these keys are of no
    use.
    """
    keys = keys or keys_of(newcomer)
    async with KeyServerClient(newcomer, random, keys=keys) as client:
        shown = _keys_of(newcomer, keys)
        enrolled = await client.expect(ENROL, Enrolled, token=invitation.token, id=id_, **shown)
    party = replace(newcomer, id=enrolled.id, role=enrolled.role, certificates=enrolled.certificates)
    if enrolled.certificates is not None:
        check_certificates(enrolled.certificates, party)
    elif newcomer.signing.kty != "oct":
        raise FormatError("the key server has sent no certificates for our keys")
    return party, enrolled


def _keys_of(newcomer: Credential, keys: PartyKeys) -> dict[str, object]:
    """Return the keys as a request has them: symmetric secrets sealed, or a CSR and the public KEK."""
    if newcomer.signing.kty != "oct":
        return {"csr": make_csr(keys.signing), "kek": newcomer.kek.public()}
    registered = RegisteredKeys(signing=newcomer.signing, kek=newcomer.kek)
    return {
        "sealed_keys": jose.seal(
            encode(registered), newcomer.server_kek, kid=newcomer.operator, typ=jose.TYP_SEALED_KEY
        )
    }


def _document(server: str, body: bytes) -> OperatorDocument:
    try:
        return decode(body, OperatorDocument)
    except FormatError as error:
        raise UnreachableError(
            f"{server} does not answer as a key server does; is the address right?"
        ) from error


def _pinned(ca_pem: str, invitation: Invitation) -> str:
    """Return the one certificate that the invitation names, alone; raises UnreachableError for another."""
    fingerprint = fingerprint_of(ca_pem)
    if fingerprint != invitation.fingerprint:
        raise UnreachableError(
            f"{invitation.server} is under another CA than the invitation names (its fingerprint is"
            f" {fingerprint}, not {invitation.fingerprint}): this is not the operator who invited; nothing"
            " was sent"
        )
    # What came may hold more certificates behind the right one; those are not trusted.
    return x509.load_pem_x509_certificate(ca_pem.encode()).public_bytes(Encoding.PEM).decode()
