"""Owns who a request is by, and whether it counts: size, signature, claims, nonce, standing, role.

```
size ─► header ─► principal ─► signature ─► claims ─► nonce ─► standing ─► role
```
A newcomer is nobody yet: its keys come with its request.
"""

import hashlib
from typing import NamedTuple

import msgspec

from sealcast.core.errors import AuthenticationError, RefusedError, RemoteError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.core.secret import Secret
from sealcast.keyserver.calls import Principal
from sealcast.keyserver.values import refusal
from sealcast.messages import jose, nonces
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.operation import Operation
from sealcast.messages.requests import Request
from sealcast.server.audience import Audience
from sealcast.server.newcomers import NEWCOMER_ROLE, ReadNewcomer
from sealcast.server.principals import Principals
from sealcast.storage.unitofwork import UnitOfWork

JTI_CHARS_MAX = 64
"""Ours have 22 characters; longer ones would only fill the table."""


class Asked(NamedTuple):
    """An authenticated request; `digest` is over all of it but the nonce, which a retry may renew."""

    caller: Principal
    request: Request
    digest: bytes
    token: bytes


class Authentication:
    """Reads requests and believes those that are signed and fresh. It changes nothing."""

    def __init__(
        self,
        *,
        audience: Audience,
        nonce_key: Secret,
        kek: Jwk,
        principals: Principals,
        unit_of_work: UnitOfWork,
        clock: Clock,
        read_newcomer: ReadNewcomer,
    ) -> None:
        """`kek` is the server's, which newcomers seal their keys to; `read_newcomer` reads what they sign."""
        self._audience, self._nonces, self._kek = audience, nonces.Nonces(nonce_key), kek
        self._principals, self._unit_of_work = principals, unit_of_work
        self._clock, self._read_newcomer = clock, read_newcomer

    async def authenticate(self, operation: Operation, body: bytes) -> Asked:
        """Return the request and its caller; raises RefusedError for what is not a fresh, signed request."""
        if operation.role == NEWCOMER_ROLE:
            return self._newcomer(operation, body)
        signed = _peek(body)
        caller = await self._principals.find(signed.kid, self._unit_of_work)
        if caller is None:
            raise _nobody()
        return self._verified(operation, caller, signed, body)

    def authenticate_remembered(self, operation: Operation, body: bytes) -> Asked | None:
        """Do as `authenticate` where the caller is remembered; None where the database has to be asked."""
        signed = _peek(body)
        caller = self._principals.remembered(signed.kid)
        return None if caller is None else self._verified(operation, caller, signed, body)

    def _newcomer(self, operation: Operation, body: bytes) -> Asked:
        try:
            newcomer = self._read_newcomer(_bounded(body), self._kek)
        except RemoteError as error:
            raise _unreadable(error) from error
        return self._checked(operation, newcomer.caller, newcomer.request, body)

    def _verified(
        self, operation: Operation, caller: Principal, signed: jose.UnverifiedHeader, body: bytes
    ) -> Asked:
        """Return the request of `caller` once its signature is verified."""
        try:
            payload = jose.verify(signed, caller.signing, typ=jose.TYP_REQUEST)
            request = decode(payload, operation.request)
        except RemoteError as error:
            raise _unreadable(error) from error
        return self._checked(operation, caller, request, body)

    def _checked(self, operation: Operation, caller: Principal, request: Request, body: bytes) -> Asked:
        self._check_claims(operation, caller, request)
        digest = hashlib.sha256(encode(msgspec.structs.replace(request, nonce=""))).digest()
        return Asked(caller, request, digest, body)

    def _check_claims(self, operation: Operation, caller: Principal, request: Request) -> None:
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        self._audience.check(request.aud)
        if request.op != operation.name:
            raise refusal(
                "bad-request", f"the request was signed for another operation than {operation.name}"
            )
        if not 0 < len(request.jti) <= JTI_CHARS_MAX:
            raise refusal("bad-request", f"a jti has 1 to {JTI_CHARS_MAX} characters")
        try:
            self._nonces.check(request.nonce, wall_ms)
        except AuthenticationError as error:
            raise refusal("use-nonce", str(error)) from error
        check_standing(caller, wall_ms)
        _check_role(operation, caller)


def why_no_longer(now: Principal | None, then: Principal, wall_ms: int) -> RefusedError | None:
    """Return a no for a caller that was removed or revoked while its request waited for its turn."""
    if now is then:
        return None
    if now is None or (now.role, now.signing, now.kek) != (then.role, then.signing, then.kek):
        return _nobody()
    try:
        check_standing(now, wall_ms)
    except RefusedError as no:
        return no
    return None


def check_standing(caller: Principal, wall_ms: int) -> None:
    """Raise a refusal for a caller whose certificate is no longer good."""
    standing = caller.standing
    if standing is not None and standing.is_revoked:
        raise refusal("certificate-revoked", f"the certificate of {caller.id} was revoked; ask the operator")
    if standing is not None and standing.expires_at_ms <= wall_ms:
        raise refusal(
            "certificate-expired",
            f"the certificate of {caller.id} has expired; ask for an invitation",
        )


def _check_role(operation: Operation, caller: Principal) -> None:
    if operation.role == "certified":
        if caller.standing is None:
            raise refusal("not-certified", f"{caller.id} has no certificate; its keys are registered as such")
    elif caller.role not in operation.role.split("-or-"):
        wanted = operation.role.replace("-or-", " or ")
        raise refusal("wrong-role", f"{operation.name} is for the role {wanted}, not {caller.role}")


def _nobody() -> RefusedError:
    return refusal("not-authenticated", "this key server does not know who signed the request")


def _peek(body: bytes) -> jose.UnverifiedHeader:
    try:
        return jose.peek(_bounded(body))
    except RemoteError as error:
        raise _unreadable(error) from error


def _bounded(body: bytes) -> bytes:
    if len(body) > MESSAGE_BYTES_MAX:
        raise refusal("bad-request", f"a request has at most {MESSAGE_BYTES_MAX} bytes")
    return body


def _unreadable(error: RemoteError) -> RefusedError:
    name = "not-authenticated" if isinstance(error, AuthenticationError) else "bad-request"
    return refusal(name, str(error))
