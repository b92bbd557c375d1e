"""Questions to a sender and its answers: round trips, and a signature that covers everything."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.wire.asking import (
    ANSWER_MAGIC,
    MESSAGE_BYTES,
    NONCE_BYTES,
    SIGNING_CONTEXT,
    Question,
    build_answer,
    build_question,
    parse_answer,
    parse_question,
    verify_answer,
)
from sealcast.wire.seal import MS_MAX, NextKey, PatternState, Seal, SealWindow

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key()
NONCE = bytes(range(NONCE_BYTES))
CHANNEL = ChannelNumber(7)
SEAL = Seal(
    ssrc=0x5EA1CA57,
    current=KeyId(CHANNEL, Epoch(3)),
    remaining_ms=4_000,
    lifetime_ms=5_000,
    roc=2,
    seq=65_530,
    extended=True,
    next=NextKey(KeyId(CHANNEL, Epoch(4)), 4_000),
    window=SealWindow(1_000, 3_000),
    patterns=PatternState(12, 900),
)

U32 = st.integers(0, 0xFFFFFFFF)
NEXTS = st.tuples(
    st.builds(NextKey, st.builds(KeyId, st.just(CHANNEL), st.integers(9, 0xFFFFFFFF)), U32),
    st.builds(SealWindow, U32, U32),
)
SEALS = st.builds(
    lambda coming, **fields: Seal(**fields, next=coming[0], window=coming[1]),
    st.just((None, None)) | NEXTS,
    ssrc=U32,
    current=st.builds(KeyId, st.just(CHANNEL), st.integers(0, 8)),
    remaining_ms=U32,
    lifetime_ms=U32,
    roc=U32,
    seq=st.integers(0, 0xFFFF),
    extended=st.booleans(),
    patterns=st.none() | st.builds(PatternState, U32, U32),
)


def read(data: bytes) -> Seal:
    """Return what a verified answer says."""
    return verify_answer(parse_answer(data), PUBLIC)


@given(channel=U32, nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_a_question_comes_back(channel: int, nonce: bytes) -> None:
    """What was asked is what is read."""
    question = Question(ChannelNumber(channel), nonce)
    assert parse_question(build_question(question)) == question


@given(seal=SEALS, nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_an_answer_comes_back_and_is_as_long_as_its_question(seal: Seal, nonce: bytes) -> None:
    """Whatever a sender says comes back, with the nonce, in no more bytes than it was asked with."""
    data = build_answer(seal, nonce, PRIVATE.sign)
    assert len(data) == len(build_question(Question(CHANNEL, nonce))) == MESSAGE_BYTES
    assert parse_answer(data).nonce == nonce
    assert read(data) == seal


@given(place=st.integers(0, MESSAGE_BYTES - 1), change=st.integers(1, 255))
def test_one_changed_byte_of_an_answer_is_refused(place: int, change: int) -> None:
    """There is no byte of an answer that can be another."""
    data = bytearray(build_answer(SEAL, NONCE, PRIVATE.sign))
    data[place] ^= change
    with pytest.raises(RemoteError):
        read(bytes(data))


@given(place=st.integers(0, MESSAGE_BYTES - 1), change=st.integers(1, 255))
def test_one_changed_byte_makes_another_question_or_none(place: int, change: int) -> None:
    """A question whose nonce or channel is another is another question; else it is refused."""
    question = Question(CHANNEL, NONCE)
    data = bytearray(build_question(question))
    data[place] ^= change
    try:
        read_question = parse_question(bytes(data))
    except FormatError:
        return
    assert read_question != question
    assert build_question(read_question) == data


@given(data=st.binary(max_size=2 * MESSAGE_BYTES) | st.binary(min_size=MESSAGE_BYTES, max_size=MESSAGE_BYTES))
def test_rubbish_raises_nothing_but_our_errors(data: bytes) -> None:
    """Random bytes, also behind the right first ones, are refused as remote errors."""
    for candidate in (data, (ANSWER_MAGIC + b"\1" + data).ljust(MESSAGE_BYTES, b"\0")[:MESSAGE_BYTES]):
        with pytest.raises(RemoteError):
            read(candidate)
        with pytest.raises(RemoteError):
            parse_question(candidate)


@given(flags=st.integers(0, 255), body=st.binary(min_size=56, max_size=56))
def test_what_a_sender_signed_may_be_nonsense(flags: int, body: bytes) -> None:
    """Signed fields that contradict each other are refused; what is taken is said again in the same bytes."""
    signed = ANSWER_MAGIC + bytes([1, flags, 0, 0]) + NONCE + body
    data = signed + PRIVATE.sign(SIGNING_CONTEXT + signed)
    try:
        seal = read(data)
    except FormatError:
        return
    assert build_answer(seal, NONCE, PRIVATE.sign) == data


def test_the_signature_of_another_sender_is_refused() -> None:
    """An answer verifies with its sender's key alone."""
    data = build_answer(SEAL, NONCE, Ed25519PrivateKey.from_private_bytes(bytes(32)).sign)
    with pytest.raises(AuthenticationError):
        read(data)


def test_long_times_are_told_as_the_longest() -> None:
    """Times beyond 32 bits are cut to the longest, below 0 to nothing."""
    seal = dataclasses.replace(SEAL, remaining_ms=1 << 40, lifetime_ms=-1)
    told = read(build_answer(seal, NONCE, PRIVATE.sign))
    assert (told.remaining_ms, told.lifetime_ms) == (MS_MAX, 0)
