"""Owns reading what the key server tells of a channel's other runs: the key on air, and what comes next."""

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RemoteError
from sealcast.core.ids import Epoch, KeyId
from sealcast.keys.material import Tek
from sealcast.messages.answers import GrantedKey, Shared
from sealcast.messages.material import read_key
from sealcast.sender.beside import SharedKeys


def shared_keys(answer: Shared, spec: ChannelSpec) -> SharedKeys:
    """Return what an answer says; raises RemoteError if it is of another channel or suite."""
    keys = answer.grant.keys
    on_air = next((key for key in keys if key.state == "current"), None)
    current = None if on_air is None else _tek(on_air, spec)
    coming = [key for key in keys if key.state == "next"]
    later = [key for key in coming if current is None or _epoch(key) > current.key_id.epoch]
    following = min(later, key=_epoch, default=None)
    return SharedKeys(
        current=current,
        remaining_ms=0 if on_air is None else on_air.remaining_ms,
        lifetime_ms=spec.lifetime_ms if on_air is None else on_air.lifetime_ms,
        is_extended=on_air is not None and on_air.extended,
        following=None if following is None else _epoch(following),
        is_chained=following is not None and bool(following.material.follows),
        living=answer.living,
        lead=answer.lead,
    )


def _epoch(key: GrantedKey) -> Epoch:
    return KeyId.parse(key.material.key_id).epoch


def _tek(key: GrantedKey, spec: ChannelSpec) -> Tek:
    """Return the key alone: of a chain only the run that leads makes what follows."""
    tek = read_key(key.material)
    if tek.key_id.channel != spec.number or tek.suite is not spec.suite:
        raise RemoteError(f"the key server shared the key {tek.key_id}, not one of channel {spec.number}")
    if tek.origin is not None:
        tek.origin.erase()
    return Tek(tek.key_id, tek.suite, tek.key, tek.salt)
