"""Owns how the patterns of a scrambled epoch follow from its TEK, so that a key ID and a number name them.

```
key, salt ── HKDF "sealcast pattern 1" ‖ key ID ‖ source ‖ number 32 ──► bits, cut to their number
```
HKDF is RFC 5869's with SHA-256; the TEK's master salt is its salt. Whoever finds one pattern does not find
the TEK, nor another pattern.
"""

import struct

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealcast.core.secret import Secret
from sealcast.keys.material import Tek

_LABEL = b"sealcast pattern 1"
_NUMBER = struct.Struct(">I")


def derive_pattern_bits(tek: Tek, source: str, number: int, bits: int) -> Secret:
    """Return the `bits` bits of a pattern, the first as the first byte's highest, then zeros to a byte.

    As `wire.patterns.Pattern` takes them; one of equal bits, which would hide nothing, has its last inverted.
    About 10 µs for 128 bits.
    """
    size, spare = (bits + 7) // 8, -bits % 8
    info = _LABEL + tek.key_id.pack() + source.encode() + _NUMBER.pack(number)
    derived = HKDF(SHA256(), size, tek.salt.reveal(), info).derive(tek.key.reveal())
    value = int.from_bytes(derived) >> spare
    if value in {0, (1 << bits) - 1}:
        value ^= 1
    return Secret((value << spare).to_bytes(size))
