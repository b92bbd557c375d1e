"""Owns grants that come late: made before the device stated that it destroyed the key, recorded after.

The statement closed a withdrawal before the master knew of the grant: what it erased was not on record then.
It is now, as it would be had the grant come first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from sealcast.core.errors import RemoteError
from sealcast.core.ids import KeyId
from sealcast.messages.encoding import b64url_decode, decode
from sealcast.messages.subscribing import ErasureStatement
from sealcast.subscribers import store_withdrawals
from sealcast.subscribers.tables import erasures, withdrawals

_CLOSED = sa.select(
    withdrawals.c.number, withdrawals.c.device, withdrawals.c.statement, withdrawals.c.closed_at_ms
).where(
    withdrawals.c.device.in_(sa.bindparam("devices", expanding=True)),
    withdrawals.c.closed_at_ms >= sa.bindparam("since_ms"),
)
_ERASED_BY = sa.select(erasures.c.channel, erasures.c.epoch).where(
    erasures.c.withdrawal == sa.bindparam("number")
)


class GrantMade(NamedTuple):
    """A row of the table of grants; of a chain it covers all before `until_epoch`."""

    device: str
    channel: int
    epoch: int
    granted_at_ms: int
    until_epoch: int | None

    def covers(self, key_id: KeyId) -> bool:
        """Whether the device has that key by this grant."""
        until = self.epoch + 1 if self.until_epoch is None else self.until_epoch
        return key_id.channel == self.channel and self.epoch <= key_id.epoch < until


def state_again(
    connection: sa.Connection, devices: Sequence[str], since_ms: int, grants: Sequence[GrantMade]
) -> int:
    """Record what statements of `devices` since an instant erased of `grants`; return how many keys."""
    found = 0
    for row in connection.execute(_CLOSED, {"devices": devices, "since_ms": since_ms}).all():
        late = [
            each for each in grants if each.device == row.device and each.granted_at_ms <= row.closed_at_ms
        ]
        covered = {key_id for key_id in _erased(row.statement) for each in late if each.covers(key_id)}
        known = {
            (channel, epoch) for channel, epoch in connection.execute(_ERASED_BY, {"number": row.number})
        }
        keys = sorted(key_id for key_id in covered if (key_id.channel, key_id.epoch) not in known)
        store_withdrawals.add_erasures(connection, row.number, row.device, keys, row.closed_at_ms)
        found += len(keys)
    return found


def _erased(token: str) -> frozenset[KeyId]:
    """Return the keys of a statement that was verified when it came."""
    try:
        statement = decode(b64url_decode(token.split(".")[1]), ErasureStatement)
        return frozenset(KeyId.parse(text) for text in statement.erased)
    except RemoteError:
        return frozenset()
