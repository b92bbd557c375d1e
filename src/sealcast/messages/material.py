"""Owns how a TEK goes into a message and comes out of one."""

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek
from sealcast.messages.answers import KeyMaterial


def key_material(tek: Tek) -> KeyMaterial:
    """Return a key as messages carry it, inside what is sealed."""
    return KeyMaterial(
        key_id=str(tek.key_id), suite=tek.suite.value, key=tek.key.reveal(), salt=tek.salt.reveal()
    )


def read_key(material: KeyMaterial) -> Tek:
    """Return the key in a message; raises FormatError for a suite, key ID or length that does not exist."""
    try:
        suite = Suite(material.suite)
    except ValueError as error:
        raise FormatError(f"a key for an unknown suite: {material.suite[:40]!r}") from error
    return Tek(KeyId.parse(material.key_id), suite, Secret(material.key), Secret(material.salt))
