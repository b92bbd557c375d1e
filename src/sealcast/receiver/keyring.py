"""Owns the keys a receiver holds, ready for use: the table of states with the session keys derived."""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import FormatError, UsageError
from sealcast.core.ids import KeyId
from sealcast.keys.material import Tek
from sealcast.keys.table import KeyTable
from sealcast.messages.answers import Grant, GrantedKey, KeyMaterial
from sealcast.messages.channels import channel_spec
from sealcast.messages.material import read_key
from sealcast.wire import srtp


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One key: session keys for data and control."""

    key_id: KeyId
    rtp: srtp.SessionKey
    rtcp: srtp.SessionKey


class KeyRing:
    """Finds the key of a packet by its MKI; the table behind it decides which keys there are."""

    def __init__(self) -> None:
        self._table = KeyTable()
        self._by_mki: dict[bytes, HeldKey] = {}

    @property
    def current(self) -> KeyId | None:
        """The key announced as on air, held or not."""
        return self._table.announced

    @property
    def held(self) -> tuple[KeyId, ...]:
        """All keys held."""
        return self._table.held

    def find(self, mki: bytes) -> HeldKey | None:
        """Return the key that an MKI names, if it is held: current, next and previous alike."""
        return self._by_mki.get(mki)

    def holds_next(self, announced: KeyId | None = None) -> bool:
        """Whether the key announced as next is held, or if none is named, any newer than the one on air."""
        if announced is not None:
            return self._table.get(announced) is not None
        current = self._table.announced
        return current is not None and any(key_id > current for key_id in self._table.held)

    @property
    def named(self) -> tuple[KeyId, ...]:
        """The keys that a request names as held.

        Not one whose C is gone while nothing newer is held: a key server would send no more than the update
        that follows it.
        """
        return tuple(key_id for key_id in self._table.held if not self._leads_nowhere(key_id))

    def tek(self, key_id: KeyId) -> Tek | None:
        """Return a key that is held, which stays the ring's."""
        entry = self._table.get(key_id)
        return entry.tek if entry is not None else None

    @property
    def is_chain_over(self) -> bool:
        """Whether the next key cannot follow from the one on air: a fresh start is due (S0-11)."""
        current = self._table.current
        if current is None or current.tek.origin is None:
            return False
        return current.tek.key_id.epoch + 1 >= current.tek.origin.fresh_at

    def check(self, teks: list[Tek]) -> None:
        """Raise FormatError if two keys, of these and those held, have one key ID; changes nothing."""
        seen: dict[KeyId, Tek] = {}
        for tek in teks:
            entry = self._table.get(tek.key_id)
            known = entry.tek if entry is not None else seen.setdefault(tek.key_id, tek)
            if known != tek:
                raise FormatError(f"two different keys under the key ID {tek.key_id}")

    def learn(self, tek: Tek, lifetime_ms: int, now: int) -> bool:
        """Take in a key, which is the ring's from now on; False, and it is erased, if it is no news.

        Raises FormatError as `KeyTable.learn`.
        """
        is_new = self._table.learn(tek, lifetime_ms, now)
        if is_new:
            rtp, rtcp = srtp.derive_rtp(tek.key, tek.salt), srtp.derive_rtcp(tek.key, tek.salt)
            self._by_mki[tek.key_id.pack()] = HeldKey(tek.key_id, rtp, rtcp)
            self._drop_retired()
        elif self.tek(tek.key_id) is not tek:
            tek.erase()
        return is_new

    def announce(self, key_id: KeyId, now: int) -> bool:
        """Put a key on air; False if that is no news."""
        is_new = self._table.announce(key_id, now)
        if is_new:
            self._drop_retired()
        return is_new

    def mark_used(self, key_id: KeyId, now: int) -> None:
        """Note that a packet verified under a key."""
        self._table.mark_used(key_id, now)

    def expire(self, now: int) -> list[KeyId]:
        """Erase previous keys whose time is over; return them."""
        over = self._table.expire(now)
        self._drop_retired()
        return over

    def next_timeout(self) -> int | None:
        """Return when `expire` has something to do."""
        return self._table.next_timeout()

    def erase(self) -> None:
        """Erase all keys."""
        self._table.erase()
        self._drop_retired()

    def _leads_nowhere(self, key_id: KeyId) -> bool:
        tek = self.tek(key_id)
        if tek is None or tek.origin is None or len(tek.origin.link):
            return False
        return all(other <= key_id for other in self._table.held)

    def _drop_retired(self) -> None:
        held = set(self._table.held)
        self._by_mki = {mki: key for mki, key in self._by_mki.items() if key.key_id in held}


def granted_keys(grant: Grant, spec: ChannelSpec, ring: KeyRing) -> list[tuple[Tek, GrantedKey]]:
    """Return the keys in a grant, the one on air first, then as they follow; one may be the ring's own.

    Raises FormatError unless they are of this channel, and each update follows a key of the grant or one
    held, and none has the key ID of another; changes nothing.
    """
    teks: dict[KeyId, Tek] = {}
    keys = sorted(grant.keys, key=lambda key: (key.state, key.material.key_id))
    read: list[tuple[Tek, GrantedKey]] = []
    for key in keys:
        tek = _granted_key(key.material, teks, ring)
        if tek.key_id.channel != spec.number:
            raise FormatError(f"a key of channel {tek.key_id.channel} in a grant for {spec.number}")
        teks.setdefault(tek.key_id, tek)
        read.append((tek, key))
    ring.check([tek for tek, _ in read])
    return read


def _granted_key(material: KeyMaterial, teks: dict[KeyId, Tek], ring: KeyRing) -> Tek:
    """Return one key; `teks` are those of the grant that were read before."""
    if not material.update or material.link:
        return read_key(material)
    # The update may have come over the air while the answer was on its way: then what it follows is gone.
    held = ring.tek(KeyId.parse(material.key_id))
    if held is not None:
        return held
    follows = KeyId.parse(material.follows)
    return read_key(material, teks.get(follows) or ring.tek(follows))


def granted_channel(grant: Grant, known: ChannelSpec | None) -> ChannelSpec:
    """Return the channel of a grant; raises FormatError unless it is possible, and the one known so far."""
    try:
        spec = channel_spec(grant.channel)
    except UsageError as error:
        raise FormatError(f"a grant for an impossible channel: {error}") from error
    if known is not None and spec.number != known.number:
        raise FormatError(f"a grant for channel {spec.name}, not for {known.name}")
    return spec
