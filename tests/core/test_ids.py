"""Key IDs, as bytes and as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.core.ids import KEY_ID_BYTES, ChannelNumber, Epoch, KeyId

U32 = st.integers(0, 0xFFFFFFFF)
KEY_IDS = st.builds(KeyId, U32.map(ChannelNumber), U32.map(Epoch))


@given(KEY_IDS)
def test_round_trips(key_id: KeyId) -> None:
    """Bytes and text both come back."""
    assert KeyId.unpack(key_id.pack()) == key_id
    assert KeyId.unpack(memoryview(key_id.pack())) == key_id
    assert KeyId.parse(str(key_id)) == key_id
    assert len(key_id.pack()) == KEY_ID_BYTES


@given(KEY_IDS, KEY_IDS)
def test_order_is_that_of_the_bytes(one: KeyId, other: KeyId) -> None:
    """Channel first, then epoch."""
    assert (one < other) is (one.pack() < other.pack())


def test_layout() -> None:
    """Both numbers are big-endian."""
    assert str(KeyId(ChannelNumber(7), Epoch(0x0102))) == "0000000700000102"


@pytest.mark.parametrize("length", [0, 7, 9])
def test_other_lengths_are_refused(length: int) -> None:
    """A key ID has 8 bytes."""
    with pytest.raises(FormatError):
        KeyId.unpack(bytes(length))
