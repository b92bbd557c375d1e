"""Owns the TEK: SRTP master key and master salt of one epoch (RFC 7714 §12), and making one."""

from dataclasses import dataclass, field, replace

from sealcast.core.channel import SALT_BYTES, Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.ports import Random
from sealcast.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a TEK stands in a chain (`keys.chain`): its C, and what that follows from.

    `follows` and `update` are the key ID of the link before and the Ku that led from it; both None at a fresh
    start. From the epoch `fresh_at` on no key is of this chain.
    """

    link: Secret
    fresh_at: Epoch
    follows: KeyId | None = None
    update: Secret | None = None

    def erase(self) -> None:
        """Overwrite C and Ku: nothing follows from this key any more."""
        self.link.erase()
        self.forget_update()

    def forget_update(self) -> None:
        """Overwrite Ku, which nobody needs once this key is known to all; keys go on following from C."""
        if self.update is not None:
            self.update.erase()


@dataclass(frozen=True, slots=True)
class Tek:
    """Traffic encryption key of one epoch: `key` of 16 or 32 bytes by suite, `salt` of 12.

    `origin` is set if it is a chain's. Keys are equal by ID, suite and bytes, also once the origin is erased.
    """

    key_id: KeyId
    suite: Suite
    key: Secret
    salt: Secret
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.key) != self.suite.key_bytes or len(self.salt) != SALT_BYTES:
            raise FormatError(
                f"a {self.suite} key has {self.suite.key_bytes} bytes and its salt {SALT_BYTES}"
            )

    def erase(self) -> None:
        """Overwrite all of it."""
        self.key.erase()
        self.salt.erase()
        if self.origin is not None:
            self.origin.erase()

    def copy(self) -> "Tek":
        """Return a copy whose erasure leaves this one as it is."""
        origin = self.origin
        if origin is not None and len(origin.link):
            update = Secret(origin.update.reveal()) if origin.update else origin.update
            origin = replace(origin, link=Secret(origin.link.reveal()), update=update)
        key, salt = Secret(self.key.reveal()), Secret(self.salt.reveal())
        return replace(self, key=key, salt=salt, origin=origin)


def make_tek(key_id: KeyId, suite: Suite, random: Random) -> Tek:
    """Return a fresh key, independent of every other."""
    return Tek(key_id, suite, Secret(random.bytes(suite.key_bytes)), Secret(random.bytes(SALT_BYTES)))
