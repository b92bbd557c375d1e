"""Owns where an escrow's private keys are: wrapped under the master key, or in a token.

```
master key ── "sealcast escrow key 1" ‖ key id ──► AES-KWP ──► the five numbers (`private`), in the database
token      ── an object id of 8 random bytes, in the database ──► the key itself never leaves
```
"""

import msgspec

from sealcast.core.errors import LocalError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.escrow.store_keys import EscrowKey
from sealcast.keys.rsakem import RsaPublic
from sealcast.server.escrow.private import PrivateKey, SoftKey, make_key
from sealcast.server.escrow.token import EscrowToken, HeldKey
from sealcast.storage.wrapping import unwrap, wrap

LABEL = b"sealcast escrow key 1"
OBJECT_ID_BYTES = 8


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was made, as it is recorded; `repr` shows its id alone."""

    id: str
    modulus: bytes
    wrapped: bytes | None = None
    token_object: str | None = None

    def __repr__(self) -> str:
        return f"Fresh({self.id})"


class Keyring:
    """Makes keys, and opens those that are on record."""

    def __init__(self, master: Secret, random: Random, token: EscrowToken | None = None) -> None:
        """With a `token` new keys are made there; those that were wrapped before stay where they are."""
        self._master = master
        self._random = random
        self._token = token

    @property
    def has_token(self) -> bool:
        """Whether a token is open."""
        return self._token is not None

    def make(self, bits: int) -> Fresh:
        """Return a fresh key of so many bits; blocks for a second, or many where the key is long."""
        if self._token is not None:
            id_ = self._random.bytes(OBJECT_ID_BYTES)
            public = RsaPublic(self._token.make(bits, id_))
            return Fresh(id=public.key_id, modulus=public.pack(public.modulus), token_object=id_.hex())
        made = make_key(bits)
        public = RsaPublic(made.modulus)
        wrapped = wrap(self._master, LABEL, public.key_id.encode(), Secret(made.secret))
        return Fresh(id=public.key_id, modulus=public.pack(public.modulus), wrapped=wrapped)

    def open(self, key: EscrowKey) -> PrivateKey:
        """Return the private half of a key on record; raises LocalError where it is not to be had."""
        if key.wrapped is not None:
            return SoftKey(unwrap(self._master, LABEL, key.id.encode(), key.wrapped))
        if self._token is None or key.token_object is None:
            raise LocalError(f"the private key of {key.id} is in a token, and none is open: [escrow] token")
        return HeldKey(self._token, bytes.fromhex(key.token_object), int.from_bytes(key.modulus, "big"))

    def close(self) -> None:
        """Log out of the token."""
        if self._token is not None:
            self._token.close()
