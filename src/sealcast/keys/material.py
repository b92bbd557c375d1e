"""Owns the TEK: SRTP master key and master salt of one epoch (RFC 7714 §12), and making one."""

from dataclasses import dataclass

from sealcast.core.channel import SALT_BYTES, Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.ports import Random
from sealcast.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Tek:
    """Traffic encryption key of one epoch: `key` of 16 or 32 bytes by suite, `salt` of 12."""

    key_id: KeyId
    suite: Suite
    key: Secret
    salt: Secret

    def __post_init__(self) -> None:
        if len(self.key) != self.suite.key_bytes or len(self.salt) != SALT_BYTES:
            raise FormatError(
                f"a {self.suite} key has {self.suite.key_bytes} bytes and its salt {SALT_BYTES}"
            )

    def erase(self) -> None:
        """Overwrite both parts."""
        self.key.erase()
        self.salt.erase()


def make_tek(key_id: KeyId, suite: Suite, random: Random) -> Tek:
    """Return a fresh key, independent of every other."""
    return Tek(key_id, suite, Secret(random.bytes(suite.key_bytes)), Secret(random.bytes(SALT_BYTES)))
