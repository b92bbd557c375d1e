"""Owns how a TEK goes into a message and comes out of one."""

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.chain import CHAIN_BYTES, Link
from sealcast.keys.material import Tek
from sealcast.keys.schedule import chained_tek, follow, link_of
from sealcast.messages.answers import KeyMaterial


def key_material(tek: Tek) -> KeyMaterial:
    """Return a key as messages carry it, inside what is sealed; of a chain, its link and what led to it."""
    key_id, suite, link, origin = str(tek.key_id), tek.suite.value, link_of(tek), tek.origin
    if link is None or origin is None:
        return KeyMaterial(key_id=key_id, suite=suite, key=tek.key.reveal(), salt=tek.salt.reveal())
    return KeyMaterial(
        key_id=key_id,
        suite=suite,
        link=link.secret.reveal(),
        fresh_at=origin.fresh_at,
        follows=str(origin.follows) if origin.follows is not None else "",
        update=origin.update.reveal() if origin.update is not None else b"",
    )


def update_material(tek: Tek) -> KeyMaterial:
    """Return a chained key for a device that has the one before: the Ku alone (S0-9).

    Raises FormatError if it follows from none.
    """
    origin = tek.origin
    if origin is None or origin.follows is None or origin.update is None:
        raise FormatError(f"the key {tek.key_id} follows from no other")
    return KeyMaterial(
        key_id=str(tek.key_id),
        suite=tek.suite.value,
        fresh_at=origin.fresh_at,
        follows=str(origin.follows),
        update=origin.update.reveal(),
    )


def read_key(material: KeyMaterial, before: Tek | None = None) -> Tek:
    """Return the key in a message; `before` is the one that a bare update follows.

    Raises FormatError for a suite, key ID or length that does not exist, or an update that follows nothing.
    """
    try:
        suite = Suite(material.suite)
    except ValueError as error:
        raise FormatError(f"a key for an unknown suite: {material.suite[:40]!r}") from error
    key_id = KeyId.parse(material.key_id)
    if not material.link and not material.update:
        return Tek(key_id, suite, Secret(material.key), Secret(material.salt))
    follows = KeyId.parse(material.follows) if material.follows else None
    if not material.link:
        if before is None or follows != before.key_id or before.suite is not suite:
            raise FormatError(f"an update to {key_id}, whose key before is not held")
        return follow(before, key_id, Secret(material.update))
    if len(material.link) != CHAIN_BYTES or (follows is None) != (not material.update):
        raise FormatError(
            f"a link of {CHAIN_BYTES} bytes, with the update that led to it or none, is a chain's key"
        )
    update = Secret(material.update) if material.update else None
    return chained_tek(Link(key_id, suite, Secret(material.link)), Epoch(material.fresh_at), follows, update)
