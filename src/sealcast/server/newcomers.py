"""Owns who a newcomer is: nobody knows it yet, so its keys are read from the enrolment that they sign."""

from collections.abc import Callable
from dataclasses import dataclass

from sealcast.core.errors import FormatError
from sealcast.keyserver.calls import Principal
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import NEWCOMER, EnrolRequest
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import RegisteredKeys, Request
from sealcast.server.issuing import read_csr

NEWCOMER_ROLE = "newcomer"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A request whose signature verifies under the signing key that it brings."""

    caller: Principal
    request: Request


ReadNewcomer = Callable[[bytes, Jwk], Newcomer]
"""Reads a request of somebody unknown, given our own KEK; raises FormatError and AuthenticationError."""


def read_newcomer(body: bytes, kek: Jwk) -> Newcomer:
    """Read an enrolment; `kek` is the server's own pair, that secrets are sealed to.

    Raises FormatError for what is no enrolment, AuthenticationError if it is not signed with its own key.
    Costs one key agreement and one signature check, and no read of the database.
    """
    if jose.peek(body).kid != NEWCOMER:
        raise FormatError(f"an enrolment is signed as {NEWCOMER}")
    claimed = decode(jose.unverified_payload(body), EnrolRequest)
    keys = newcomer_keys(claimed, kek)
    request = decode(jose.verify(body, keys.signing, typ=jose.TYP_REQUEST), EnrolRequest)
    return Newcomer(Principal(NEWCOMER, NEWCOMER_ROLE, keys.signing, keys.kek), request)


def newcomer_keys(request: EnrolRequest, kek: Jwk) -> RegisteredKeys:
    """Return the keys that an enrolment brings in one of its two forms; raises FormatError for another."""
    if request.sealed_keys is not None and request.csr is None and request.kek is None:
        opened = jose.unseal(request.sealed_keys, kek, typ=jose.TYP_SEALED_KEY)
        keys = decode(opened, RegisteredKeys)
        if keys.signing.kty != "oct" or keys.kek.kty != "oct":
            raise FormatError("sealed_keys are two symmetric secrets; a key pair enrols with csr and kek")
        return keys
    if request.sealed_keys is None and request.csr is not None and request.kek is not None:
        return RegisteredKeys(signing=read_csr(request.csr), kek=request.kek)
    raise FormatError("an enrolment brings either sealed_keys, or csr and kek")
