"""Owns keys of epochs on their way to and from the database, wrapped under the master key.

| stored                | of                                                      |
|-----------------------|---------------------------------------------------------|
| key (16 or 32) ‖ salt | fetched keys; a chain's once the epoch is off the air   |
| C (32), or C ‖ Ku     | a chain's: Ku led to it, none did to a fresh start      |
"""

from sealcast.core.channel import SALT_BYTES, Suite
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.chain import CHAIN_BYTES, Link
from sealcast.keys.material import Tek
from sealcast.keys.schedule import chained_tek
from sealcast.storage.wrapping import unwrap, wrap

LABEL_TEK = b"sealcast tek 1"
LABEL_LINK = b"sealcast link 1"


def wrap_tek(master: Secret, tek: Tek) -> bytes:
    """Return key ‖ salt wrapped for the row of that key ID."""
    return wrap(master, LABEL_TEK, tek.key_id.pack(), Secret(tek.key.reveal() + tek.salt.reveal()))


def unwrap_tek(master: Secret, key_id: KeyId, suite: Suite, wrapped: bytes) -> Tek:
    """Open what `wrap_tek` made; raises LocalError if the master key or the key ID is another."""
    both = unwrap(master, LABEL_TEK, key_id.pack(), wrapped).reveal()
    return Tek(key_id, suite, Secret(both[:-SALT_BYTES]), Secret(both[-SALT_BYTES:]))


def wrap_key(master: Secret, tek: Tek) -> bytes:
    """Return a key wrapped for its row: of a chain what it follows from, else as `wrap_tek` does."""
    if tek.origin is None:
        return wrap_tek(master, tek)
    update = b"" if tek.origin.update is None else tek.origin.update.reveal()
    return wrap(master, LABEL_LINK, tek.key_id.pack(), Secret(tek.origin.link.reveal() + update))


def unwrap_link(
    master: Secret, key_id: KeyId, suite: Suite, wrapped: bytes, *, fresh_at: Epoch, follows: Epoch | None
) -> Tek:
    """Open a chain's key that `wrap_key` made, with its origin; raises LocalError as `unwrap_tek` does."""
    both = unwrap(master, LABEL_LINK, key_id.pack(), wrapped).reveal()
    link, update = Link(key_id, suite, Secret(both[:CHAIN_BYTES])), both[CHAIN_BYTES:]
    if follows is None:
        return chained_tek(link, fresh_at)
    return chained_tek(link, fresh_at, KeyId(key_id.channel, follows), Secret(update))
