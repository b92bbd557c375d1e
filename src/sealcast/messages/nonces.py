"""Owns server nonces: freshness without trusting any clock but the server's (after RFC 9449 §8).

`nonce = base64url(wall time in ms, u64 ‖ HMAC-SHA-256(key, "sealcast nonce 1" ‖ time)[:16])`. All servers
of an operator share the key, so each accepts the others' nonces.
"""

import hashlib
import hmac
import struct

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.messages.encoding import b64url_decode, b64url_encode

NONCE_VALID_MS = 120_000
"""How long a nonce may be used: long enough for a slow device, short enough to bound remembered requests."""

NONCE_AHEAD_MS = 5_000
"""How far another server's clock may run ahead of ours."""

REMEMBERED_MAX = 8_192
"""Nonces remembered as ours, about 150 bytes each: a server mints ten a second, so more than those of two
minutes of six servers. With more, all are checked anew."""

_LABEL = b"sealcast nonce 1"
_TAG_BYTES = 16
_TIME = struct.Struct(">Q")


def mint_nonce(key: Secret, wall_ms: int) -> str:
    """Return a nonce that `check_nonce` accepts for two minutes."""
    time = _TIME.pack(wall_ms)
    return b64url_encode(time + _tag(key, time))


def check_nonce(key: Secret, nonce: str, wall_ms: int) -> None:
    """Raise AuthenticationError unless `nonce` was made under `key` at most two minutes ago."""
    _check_age(_time_of(key, nonce), wall_ms)


class Nonces:
    """Checks nonces as `check_nonce` does, each tag once: all who ask at one instant have the same nonce."""

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._times: dict[str, int] = {}

    def check(self, nonce: str, wall_ms: int) -> None:
        """Raise AuthenticationError unless `nonce` is of the last two minutes; 1 µs for one seen before."""
        time_ms = self._times.get(nonce)
        if time_ms is None:
            time_ms = _time_of(self._key, nonce)
            if len(self._times) >= REMEMBERED_MAX:
                self._times.clear()
            self._times[nonce] = time_ms
        _check_age(time_ms, wall_ms)


def _time_of(key: Secret, nonce: str) -> int:
    """Return when a nonce was minted; raises AuthenticationError unless it was under `key`."""
    try:
        data = b64url_decode(nonce)
    except FormatError as error:
        raise AuthenticationError("not a nonce of this server") from error
    time, tag = data[: _TIME.size], data[_TIME.size :]
    if len(time) != _TIME.size or not hmac.compare_digest(tag, _tag(key, time)):
        raise AuthenticationError("not a nonce of this server")
    return int(_TIME.unpack(time)[0])


def _check_age(time_ms: int, wall_ms: int) -> None:
    if not -NONCE_AHEAD_MS <= wall_ms - time_ms <= NONCE_VALID_MS:
        raise AuthenticationError("this nonce is too old; take a new one and ask again")


def _tag(key: Secret, time: bytes) -> bytes:
    return hmac.new(key.reveal(), _LABEL + time, hashlib.sha256).digest()[:_TAG_BYTES]
