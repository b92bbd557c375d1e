"""Owns the update of a chained key (S0-9): made and followed in `keys`, carried on air by `wire.rekey`."""

from dataclasses import dataclass

from sealcast.core.ids import KeyId

UPDATE_BYTES = 32
WRAPPED_BYTES = UPDATE_BYTES + 8
"""A Ku on the air: 40 bytes (RFC 3394 §2.2.1)."""


@dataclass(frozen=True, slots=True)
class Update:
    """What leads from one key to the next: Ku, wrapped so that holders of the link of `follows` open it."""

    follows: KeyId
    key_id: KeyId
    wrapped: bytes
