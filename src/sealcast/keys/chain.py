"""Owns the chain of keys: a link follows from the one before and a small update, so a change costs a packet.

```
C(i) ─┬─ Expand "sealcast chain tek 1"  ‖ key ID i ‖ suite ──► TEK(i): key ‖ salt
      ├─ Expand "sealcast chain wrap 1" ‖ key ID i ‖ suite ──► W(i): wraps Ku(i) on the air (RFC 3394)
      └─ HKDF salt Ku(i), info "sealcast chain 1" ‖ key ID i+1 ──► C(i+1)
```
S0-9: Kgr(i+1) = f(Kgr(i), Ku(i)). HKDF is RFC 5869 with SHA-256. A chain is broken by a *fresh start*: a C
that is random, and independent of every one before (S0-11).
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from sealcast.core.channel import SALT_BYTES, Suite
from sealcast.core.errors import AuthenticationError
from sealcast.core.ids import KeyId
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.core.update import UPDATE_BYTES
from sealcast.keys.material import Tek

CHAIN_BYTES = 32

_TEK_LABEL, _WRAP_LABEL, _NEXT_LABEL = b"sealcast chain tek 1", b"sealcast chain wrap 1", b"sealcast chain 1"


@dataclass(frozen=True, slots=True)
class Link:
    """C of one epoch: 32 bytes, from which its TEK, the wrap of its update and the next link follow."""

    key_id: KeyId
    suite: Suite
    secret: Secret

    def tek(self) -> Tek:
        """Return the TEK of this epoch. About 6 µs."""
        size = self.suite.key_bytes
        derived = self._expand(_TEK_LABEL, size + SALT_BYTES)
        return Tek(self.key_id, self.suite, Secret(derived[:size]), Secret(derived[size:]))

    def follow(self, update: Secret, next_id: KeyId) -> "Link":
        """Return the link that follows under `next_id`, with the update Ku of this one."""
        derive = HKDF(SHA256(), CHAIN_BYTES, salt=update.reveal(), info=_NEXT_LABEL + next_id.pack())
        return Link(next_id, self.suite, Secret(derive.derive(self.secret.reveal())))

    def wrap(self, update: Secret) -> bytes:
        """Return Ku as it travels: whoever has this link opens it, nobody else."""
        return aes_key_wrap(self._expand(_WRAP_LABEL, CHAIN_BYTES), update.reveal())

    def unwrap(self, wrapped: bytes) -> Secret:
        """Return the Ku that `wrap` made; raises AuthenticationError for anything else."""
        try:
            update = aes_key_unwrap(self._expand(_WRAP_LABEL, CHAIN_BYTES), wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise AuthenticationError(f"an update that does not open with the link {self.key_id}") from error
        if len(update) != UPDATE_BYTES:
            raise AuthenticationError(f"an update has {UPDATE_BYTES} bytes, not {len(update)}")
        return Secret(update)

    def erase(self) -> None:
        """Overwrite our copy."""
        self.secret.erase()

    def _expand(self, label: bytes, size: int) -> bytes:
        info = label + self.key_id.pack() + self.suite.value.encode()
        return HKDFExpand(SHA256(), size, info).derive(self.secret.reveal())


def start_chain(key_id: KeyId, suite: Suite, random: Random) -> Link:
    """Return the first link of a chain, independent of every other: a fresh start."""
    return Link(key_id, suite, Secret(random.bytes(CHAIN_BYTES)))


def make_update(random: Random) -> Secret:
    """Return a fresh Ku."""
    return Secret(random.bytes(UPDATE_BYTES))
