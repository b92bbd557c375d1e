"""One SSRC as received: opened under the right index or not at all, and counted without gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError, ReplayError
from sealcast.core.ids import KeyId
from sealcast.receiver.keyring import HeldKey
from sealcast.receiver.streams import Stream
from sealcast.wire import rtp, srtp
from simulation.parts import SECOND, make_key, payload
from wire.single import seal_single

SSRC = 0xABCD0123
TEK = make_key(1)


def hold(epoch: int = 1) -> HeldKey:
    """Return a key as a receiver holds it."""
    tek = make_key(epoch)
    return HeldKey(tek.key_id, srtp.derive_rtp(tek.key, tek.salt), srtp.derive_rtcp(tek.key, tek.salt))


HELD = hold()


def seal(
    index: int, *, held: HeldKey = HELD, header: bytes | None = None, body: bytes | None = None
) -> bytes:
    """Return the packet of an index."""
    head = rtp.pack_header(33, index & 0xFFFF, 0, SSRC) if header is None else header
    content = payload(index) if body is None else body
    return seal_single(held.rtp.stream(SSRC), head, content, index, held.key_id.pack())


def stream_at(index: int) -> Stream:
    """Return a stream whose counters are told to stand at an index."""
    stream = Stream(SSRC, 0)
    stream.counter.add_candidate(index >> 16, index & 0xFFFF)
    return stream


@pytest.mark.parametrize("roc", [0, 1, 2, 3])
def test_join_at_any_roc(roc: int) -> None:
    """With the right ROC as candidate the first packet opens, and the rollover that follows too."""
    stream = stream_at(roc << 16 | 65_530)
    for index in range((roc << 16) + 65_531, (roc << 16) + 65_560):
        assert stream.open(HELD, seal(index), 0) == (index, payload(index))
    assert (stream.lost, stream.opened) == (0, 29)


def test_wrong_roc_opens_nothing_until_a_right_one_comes() -> None:
    """A candidate that is off by more than one never gives wrong bytes; the right one recovers at once."""
    stream = stream_at(7 << 16)
    with pytest.raises(AuthenticationError):
        stream.open(HELD, seal((2 << 16) + 5), 0)
    stream.counter.add_candidate(2, 5)
    assert stream.open(HELD, seal((2 << 16) + 5), 0)[1] == payload((2 << 16) + 5)


def test_replays_are_refused_and_change_nothing() -> None:
    """A packet opens once, also when its index is tried under several candidates."""
    stream = stream_at(100)
    stream.open(HELD, seal(100), 0)
    for now in (0, 10 * SECOND):
        with pytest.raises(ReplayError):
            stream.open(HELD, seal(100), now)
    assert (stream.opened, stream.lost) == (1, 0)


def test_an_old_packet_under_a_dropped_key_does_not_come_back() -> None:
    """What belongs to keys that are no longer held is dropped with them."""
    stream = stream_at(100)
    stream.open(HELD, seal(100), 0)
    stream.open(hold(2), seal(101, held=hold(2)), 0)
    assert set(stream._windows) == set(stream._keys) == {HELD.key_id, hold(2).key_id}
    stream.keep_only([hold(2).key_id])
    assert set(stream._windows) == set(stream._keys) == {hold(2).key_id}


def test_extensions_csrcs_and_padding() -> None:
    """RTP from another program, with all that a header may have, gives its payload alone."""
    head = bytearray(rtp.pack_header(33, 5, 0, SSRC))
    head[0] = 0x80 | 0x20 | 0x10 | 2
    header = bytes(head) + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4)
    packet = seal(5, header=header, body=b"payload" + bytes([0, 0, 3]))
    assert stream_at(5).open(HELD, packet, 0) == (5, b"payload")


@given(st.binary(min_size=36, max_size=120))
def test_garbage_raises_remote_errors_only(data: bytes) -> None:
    """Any bytes of a packet's least length raise what the session counts, and open nothing."""
    stream = stream_at(5)
    with pytest.raises((FormatError, AuthenticationError, ReplayError)):
        stream.open(HELD, data, 0)
    assert (stream.opened, stream.counter.highest) == (0, -1)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=80))
def test_lost_is_sent_between_first_and_last_less_opened(indices: list[int]) -> None:
    """The invariant of the count, for any order, gaps and repeats."""
    stream = stream_at(250)
    for index in indices:
        try:
            stream.open(HELD, seal(index, body=b"x"), 0)
        except ReplayError:
            continue
    opened = set(indices)
    assert stream.opened == len(opened)
    assert (stream.first_index, stream.last_index) == (min(opened), max(opened))
    assert stream.lost == max(opened) - min(opened) + 1 - len(opened)


def test_key_ids_tell_windows_apart() -> None:
    """Each key has its own replay window (RFC 3711 §3.3.2), so windows are found by key ID."""
    stream = stream_at(9)
    stream.open(HELD, seal(10), 0)
    stream.open(hold(2), seal(9, held=hold(2)), 0)
    assert {type(key_id) for key_id in stream._windows} == {KeyId}
    with pytest.raises(ReplayError):
        stream.open(HELD, seal(10), 0)
