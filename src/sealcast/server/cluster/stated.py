"""Owns grants that come late: made before the device stated that it destroyed the key, recorded after.

The statement closed a withdrawal before the master knew of the grant: what it erased was not on record then.
It is now, as it would be had the grant come first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import RemoteError
from sealcast.core.ids import KeyId
from sealcast.messages.encoding import b64url_decode, decode
from sealcast.messages.subscribing import ErasureStatement
from sealcast.storage.among import among, listed
from sealcast.subscribers import store_withdrawals
from sealcast.subscribers.tables import erasures, withdrawals

_CLOSED = sa.select(
    withdrawals.c.number, withdrawals.c.device, withdrawals.c.statement, withdrawals.c.closed_at_ms
).where(among(withdrawals.c.device, "devices"), withdrawals.c.closed_at_ms.is_not(None))
_ERASED_BY = sa.select(erasures.c.channel, erasures.c.epoch).where(
    erasures.c.withdrawal == sa.bindparam("number")
)


@dataclass(frozen=True, slots=True)
class Closed:
    """A withdrawal that a statement closed."""

    number: int
    device: str
    statement: str
    at_ms: int


class GrantMade(msgspec.Struct, frozen=True):
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


def grant_made(row: Mapping[str, object]) -> GrantMade:
    """Return a row of the table."""
    return msgspec.convert(row, GrantMade)


def closed_by(connection: sa.Connection, devices: Iterable[str]) -> list[Closed]:
    """Return the withdrawals of devices that statements closed: of most there are none."""
    return [Closed(*row) for row in connection.execute(_CLOSED, {"devices": listed(devices)})]


def state_again(connection: sa.Connection, closed: Sequence[Closed], grants: Sequence[GrantMade]) -> int:
    """Record what the statements of `closed` erased of `grants` that are older; return how many keys."""
    found = 0
    for each in closed:
        late = [one for one in grants if one.device == each.device and one.granted_at_ms <= each.at_ms]
        if not late:
            continue
        covered = {key_id for key_id in _erased(each.statement) for one in late if one.covers(key_id)}
        known = {
            (channel, epoch) for channel, epoch in connection.execute(_ERASED_BY, {"number": each.number})
        }
        keys = sorted(key_id for key_id in covered if (key_id.channel, key_id.epoch) not in known)
        store_withdrawals.add_erasures(connection, each.number, each.device, keys, each.at_ms)
        found += len(keys)
    return found


def _erased(token: str) -> frozenset[KeyId]:
    """Return the keys of a statement that was verified when it came."""
    try:
        statement = decode(b64url_decode(token.split(".")[1]), ErasureStatement)
        return frozenset(KeyId.parse(text) for text in statement.erased)
    except RemoteError:
        return frozenset()
