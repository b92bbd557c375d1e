"""Whatever arrives, decoders raise RemoteError and nothing else."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import RemoteError
from sealcast.core.ids import KeyId
from sealcast.wire import rtcp, rtp
from wire.hostile import COMPOUND, CONTROL, MKI, RTP, read_control, read_data, read_hint, read_seal

READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "data": (read_data, RTP),
    "control": (read_control, CONTROL),
    "hint": (read_hint, CONTROL),
    "seal": (read_seal, COMPOUND),
    "compound": (rtcp.split_compound, COMPOUND),
    "header": (rtp.parse_header, RTP),
    "key ID": (KeyId.unpack, MKI.pack()),
}


def try_reading(read: Callable[[bytes], object], data: bytes) -> None:
    """Read; anything but success or a RemoteError fails the test."""
    with contextlib.suppress(RemoteError):
        read(data)


@pytest.mark.parametrize("name", READERS)
def test_the_valid_packet_is_read(name: str) -> None:
    """Each reader takes the packet that the others are made from."""
    read, valid = READERS[name]
    read(valid)


@pytest.mark.parametrize("name", READERS)
@given(data=st.binary(max_size=400))
def test_random_bytes(name: str, data: bytes) -> None:
    """Random bytes."""
    try_reading(READERS[name][0], data)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_damaged_packets(name: str, data: st.DataObject) -> None:
    """Valid packets with bytes overwritten, cut out, put in, and cut at either end."""
    read, valid = READERS[name]
    damaged = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(damaged) - 1)))
        length = data.draw(st.sampled_from([0, 1, 1, 2, 4, 40, 1000]))
        damaged[at : at + length] = data.draw(st.binary(max_size=8))
    try_reading(read, bytes(damaged))


@pytest.mark.parametrize("name", READERS)
def test_every_single_byte_changed(name: str) -> None:
    """Each byte of a valid packet at 0, 255 and with its top bit flipped."""
    read, valid = READERS[name]
    for at, byte in enumerate(valid):
        for value in (0, 255, byte ^ 0x80):
            try_reading(read, valid[:at] + bytes([value]) + valid[at + 1 :])


@pytest.mark.parametrize("text", ["", "00", "zz" * 8, "00" * 7, "00" * 9, "\u0660" * 16, "\n"])
def test_key_id_text(text: str) -> None:
    """A key ID in a message is 16 hexadecimal digits."""
    with pytest.raises(RemoteError):
        KeyId.parse(text)
