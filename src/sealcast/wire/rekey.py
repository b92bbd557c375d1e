"""Owns the rekey message: what one entry of a SEAL packet says about how the next key follows (S0-9).

```
kind 8 (1: chain) ‖ 0 24 ‖ key ID that it follows 8 ‖ key ID that comes 8 ‖ Ku, wrapped (RFC 3394) 40
```
It stands in signed SEAL packets alone: any subscriber can wrap a Ku, and only the sender's word counts.
"""

import struct

from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.update import WRAPPED_BYTES, Update

KIND_CHAIN = 1

_MESSAGE = struct.Struct(f">B3x8s8s{WRAPPED_BYTES}s")
MESSAGE_BYTES = _MESSAGE.size


def pack_rekey(update: Update) -> bytes:
    """Return the 60 bytes of a message."""
    return _MESSAGE.pack(KIND_CHAIN, update.follows.pack(), update.key_id.pack(), update.wrapped)


def parse_rekey(message: bytes) -> Update | None:
    """Read a message, None if it is of a kind that we do not know; raises FormatError if it is cut short."""
    if not message:
        raise FormatError("an empty rekey message")
    if message[0] != KIND_CHAIN:
        return None
    if len(message) != MESSAGE_BYTES:
        raise FormatError(f"a rekey message of a chain has {MESSAGE_BYTES} bytes, not {len(message)}")
    _, follows, key_id, wrapped = _MESSAGE.unpack(message)
    return Update(KeyId.unpack(follows), KeyId.unpack(key_id), wrapped)
