"""Owns problem details (RFC 9457) and the stable `type` of each reason for a no."""

from http import HTTPStatus

import msgspec

PROBLEM_PREFIX = "urn:sealcast:problem:"
MEDIA_TYPE_PROBLEM = "application/problem+json"
MEDIA_TYPE_JOSE = "application/jose"
MEDIA_TYPE_JSON = "application/json"
HEADER_NONCE = "Sealcast-Nonce"
HEADER_CERTIFICATE = "Sealcast-Certificate-Remaining"
"""Seconds that the caller's certificate is still good for; with every answer to a certified party."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A no, as sent: `type` for programs, `title` and `detail` for people."""

    type: str
    title: str
    status: int
    detail: str = ""


STATUS_OF = {
    "bad-request": HTTPStatus.BAD_REQUEST,
    "use-nonce": HTTPStatus.UNAUTHORIZED,
    "not-authenticated": HTTPStatus.UNAUTHORIZED,
    "wrong-role": HTTPStatus.FORBIDDEN,
    "not-subscribed": HTTPStatus.FORBIDDEN,
    "not-sold": HTTPStatus.FORBIDDEN,
    "channel-closed": HTTPStatus.FORBIDDEN,
    "not-in-good-standing": HTTPStatus.FORBIDDEN,
    "erasure-refused": HTTPStatus.FORBIDDEN,
    "not-your-channel": HTTPStatus.FORBIDDEN,
    "not-invited": HTTPStatus.FORBIDDEN,
    "invitation-expired": HTTPStatus.FORBIDDEN,
    "invitation-used": HTTPStatus.FORBIDDEN,
    "certificate-expired": HTTPStatus.FORBIDDEN,
    "certificate-revoked": HTTPStatus.FORBIDDEN,
    "not-certified": HTTPStatus.CONFLICT,
    "wrong-escrow": HTTPStatus.FORBIDDEN,
    "not-identified": HTTPStatus.FORBIDDEN,
    "not-admitted": HTTPStatus.FORBIDDEN,
    "not-your-order": HTTPStatus.FORBIDDEN,
    "opening-refused": HTTPStatus.FORBIDDEN,
    "unknown-key": HTTPStatus.NOT_FOUND,
    "unknown-order": HTTPStatus.NOT_FOUND,
    "order-used": HTTPStatus.CONFLICT,
    "order-state": HTTPStatus.CONFLICT,
    "not-paid": HTTPStatus.CONFLICT,
    "too-many-refunds": HTTPStatus.FORBIDDEN,
    "not-covered": HTTPStatus.PAYMENT_REQUIRED,
    "revocation-unknown": HTTPStatus.SERVICE_UNAVAILABLE,
    "unknown-certificate": HTTPStatus.NOT_FOUND,
    "unknown-invitation": HTTPStatus.NOT_FOUND,
    "unknown-channel": HTTPStatus.NOT_FOUND,
    "unknown-device": HTTPStatus.NOT_FOUND,
    "unknown-tariff": HTTPStatus.NOT_FOUND,
    "unknown-customer": HTTPStatus.NOT_FOUND,
    "unknown-invoice": HTTPStatus.NOT_FOUND,
    "unknown-entry": HTTPStatus.NOT_FOUND,
    "unknown-contract": HTTPStatus.NOT_FOUND,
    "exists": HTTPStatus.CONFLICT,
    "period-closed": HTTPStatus.CONFLICT,
    "already-subscribed": HTTPStatus.CONFLICT,
    "overlap": HTTPStatus.CONFLICT,
    "epoch-taken": HTTPStatus.CONFLICT,
    "not-leased": HTTPStatus.CONFLICT,
    "fresh-start-needed": HTTPStatus.CONFLICT,
    "jti-reused": HTTPStatus.CONFLICT,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "reception-unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""HTTP status of each reason; the reason's URN is PROBLEM_PREFIX + its name."""


def problem(name: str, detail: str) -> Problem:
    """Return the problem of that name; KeyError for a name that does not stand in the table."""
    return Problem(
        type=PROBLEM_PREFIX + name,
        title=name.replace("-", " "),
        status=int(STATUS_OF[name]),
        detail=detail,
    )


def problem_name(type_: str) -> str:
    """Return the name in a problem's `type`, whatever it is."""
    return type_.removeprefix(PROBLEM_PREFIX)
