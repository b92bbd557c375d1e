"""Owns keys of epochs on their way to and from the database, wrapped under the master key."""

from sealcast.core.channel import SALT_BYTES, Suite
from sealcast.core.ids import KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek
from sealcast.storage.wrapping import unwrap, wrap

LABEL_TEK = b"sealcast tek 1"


def wrap_tek(master: Secret, tek: Tek) -> bytes:
    """Return key ‖ salt wrapped for the row of that key ID."""
    return wrap(master, LABEL_TEK, tek.key_id.pack(), Secret(tek.key.reveal() + tek.salt.reveal()))


def unwrap_tek(master: Secret, key_id: KeyId, suite: Suite, wrapped: bytes) -> Tek:
    """Open what `wrap_tek` made; raises LocalError if the master key or the key ID is another."""
    both = unwrap(master, LABEL_TEK, key_id.pack(), wrapped).reveal()
    return Tek(key_id, suite, Secret(both[:-SALT_BYTES]), Secret(both[-SALT_BYTES:]))
