"""Patterns that follow from a key."""

import hmac
from typing import Any

import pytest

from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.wire.patterns import Pattern
from wire.oracle import load_vectors

KEY_ID = KeyId(ChannelNumber(7), Epoch(3))
TEK = Tek(KEY_ID, Suite.SCRAMBLE, Secret(bytes(range(16))), Secret(bytes(range(16, 28))))


def hkdf(label: bytes, size_bytes: int) -> bytes:
    """Return HKDF as RFC 5869 §2 writes it, with HMAC alone."""
    extracted = hmac.digest(TEK.salt.reveal(), TEK.key.reveal(), "sha256")
    made = block = b""
    counter = 0
    while len(made) < size_bytes:
        counter += 1
        block = hmac.digest(extracted, block + label + bytes([counter]), "sha256")
        made += block
    return made[:size_bytes]


@pytest.mark.parametrize("bits", [4, 31, 32, 128, 509, 512, 4_096])
def test_as_the_specification_says(bits: int) -> None:
    """Label, key ID, source and number give the bits, cut to their number."""
    derived = derive_pattern_bits(TEK, "a", 9, bits)
    label = b"sealcast pattern 1" + KEY_ID.pack() + b"a" + bytes([0, 0, 0, 9])
    expected = int.from_bytes(hkdf(label, (bits + 7) // 8)) >> -bits % 8
    assert Pattern(bits, derived).value() == expected


@pytest.mark.parametrize(
    "vector", load_vectors("scramble.json")["derived"], ids=lambda each: str(each["bits"])
)
def test_published_vectors(vector: dict[str, Any]) -> None:
    """What is published follows from its key."""
    key, salt = (Secret(bytes.fromhex(vector[name])) for name in ("key", "salt"))
    tek = Tek(KeyId.unpack(bytes.fromhex(vector["key_id"])), Suite.SCRAMBLE, key, salt)
    derived = derive_pattern_bits(tek, vector["source"], vector["number"], vector["bits"])
    assert derived.reveal().hex() == vector["bytes"]


def test_each_is_another() -> None:
    """Source, number and key make another pattern."""
    other = Tek(KeyId(ChannelNumber(7), Epoch(4)), TEK.suite, TEK.key, TEK.salt)
    patterns = [
        derive_pattern_bits(tek, source, number, 128).reveal()
        for tek in (TEK, other)
        for source in "ab"
        for number in range(8)
    ]
    assert len(set(patterns)) == len(patterns)


def test_no_pattern_of_equal_bits() -> None:
    """Zeros or ones alone would hide nothing."""
    values = {Pattern(4, derive_pattern_bits(TEK, "a", number, 4)).value() for number in range(200)}
    assert values == set(range(1, 15))
