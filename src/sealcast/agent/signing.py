"""Owns which requests an agent signs: those of `operations_escrow.DEVICE_SIGNS`, read whole before.

The client says what stands in the JWS, header and payload; the agent reads both and signs these bytes only if
they are a request of that kind, by this device, to one of its own operator's escrows, which `aud` names.
Whoever reaches the socket gets no signature over anything else: `agent.blinding` puts openings together.
"""

from sealcast.agent.holding import Held
from sealcast.core.errors import FormatError, RefusedError
from sealcast.messages import jose
from sealcast.messages.compact import SignedHeader, decode_header, decode_part
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, decode
from sealcast.messages.escrow import escrow_audience
from sealcast.messages.keytools import signing_tool
from sealcast.messages.operations_escrow import DEVICE_SIGNS, ESCROW
from sealcast.messages.parties import is_id
from sealcast.messages.requests import Request

NOT_SIGNED = "not-signed"
_KINDS = {each.name: each.request for each in ESCROW if each.name in DEVICE_SIGNS}


class _Named(Request, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The claims that every request has."""


def sign_request(signed: bytes, held: Held) -> tuple[str, bytes]:
    """Return the name of the operation and the signature over header ‖ "." ‖ payload.

    Raises RefusedError `not-signed` for what is no such request of this device, FormatError for what is none.
    """
    header, payload = _read(signed)
    credential = held.credential
    wanted = SignedHeader(alg=held.keys.signing.signing_algorithm, kid=credential.id, typ=jose.TYP_REQUEST)
    if header != wanted:
        raise RefusedError(NOT_SIGNED, "the device signs requests of its own, and nothing else")
    operation = decode(payload, _Named).op
    if operation not in _KINDS:
        raise RefusedError(NOT_SIGNED, f"the device does not sign {operation[:40]!r} for programs")
    request = decode(payload, _KINDS[operation])
    prefix = escrow_audience(credential.operator, "")
    if not request.aud.startswith(prefix) or not is_id(request.aud.removeprefix(prefix)):
        raise RefusedError(NOT_SIGNED, f"the request is not to one escrow of {credential.operator}")
    return operation, signing_tool(held.keys.signing).sign(signed)


def _read(signed: bytes) -> tuple[SignedHeader, bytes]:
    first, mark, second = signed.partition(b".")
    if len(signed) > MESSAGE_BYTES_MAX or not mark:
        raise FormatError("not what a JWS signs")
    return decode_header(first, SignedHeader), decode_part(second)
