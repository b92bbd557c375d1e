"""The SEAL packet: layout, round trip, and a signature that covers everything."""

import dataclasses
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.wire import rtcp, srtcp
from sealcast.wire import seal as seal_packet
from sealcast.wire.seal import NextKey, Seal, SealWindow, SenderCounts, build_seal, parse_seal, verify_seal
from wire import oracle

EXAMPLE = oracle.load_vectors("seal.json")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(EXAMPLE["private_key"]))
PUBLIC = PRIVATE.public_key()
WORD = srtcp.index_word(EXAMPLE["index"])
COUNTS = SenderCounts(timestamp=0x00015F90, packets=1000, octets=1_316_000)
SEAL = Seal(
    ssrc=0x5EA1CA57,
    current=KeyId(ChannelNumber(7), Epoch(3)),
    remaining_ms=4_000,
    lifetime_ms=5_000,
    roc=2,
    seq=65_530,
    extended=True,
    next=NextKey(KeyId(ChannelNumber(7), Epoch(4)), 4_000),
    window=SealWindow(1_000, 3_000),
    key_servers=("https://keys.example:8443",),
    rekeys=(b"\x01\x02\x03",),
    bye=True,
)

U32 = st.integers(0, 0xFFFFFFFF)
KEY_IDS = st.builds(KeyId, U32, U32)
SEALS = st.builds(
    Seal,
    ssrc=U32,
    current=KEY_IDS,
    remaining_ms=U32,
    lifetime_ms=U32,
    roc=U32,
    seq=st.integers(0, 0xFFFF),
    extended=st.booleans(),
    next=st.none() | st.builds(NextKey, KEY_IDS, U32),
    window=st.none() | st.builds(SealWindow, U32, U32),
    key_servers=st.lists(st.text(max_size=30), max_size=seal_packet.KEY_SERVERS_MAX).map(tuple),
    rekeys=st.lists(st.binary(max_size=30), max_size=seal_packet.REKEYS_MAX).map(tuple),
    bye=st.booleans(),
)


def compound_with(entries: bytes, *, sign: Callable[[bytes], bytes] = PRIVATE.sign) -> bytes:
    """Return a SEAL compound with these entries and a valid signature, as another program may make it."""
    data = entries + bytes(68)
    head = rtcp.sender_report(1, 0, 0, 0) + rtcp.source_description(1, "x")
    prefix = (head + rtcp.application(1, b"SEAL", data))[:-68]
    signed = b"sealcast SEAL 1" + prefix + SEAL.current.pack() + WORD
    return prefix + b"\x00\x7f\x00\x40" + sign(signed)


def entry(kind: int, value: bytes) -> bytes:
    """Return one type-length-value."""
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


CURRENT = entry(1, SEAL.current.pack() + bytes(12))
COUNTERS = entry(4, bytes(8))


def test_layout_written_by_hand() -> None:
    """The example of docs/spec/wire.md, byte for byte, signature and all."""
    compound = build_seal(SEAL, COUNTS, EXAMPLE["cname"], WORD, PRIVATE.sign)
    assert compound.hex() == "".join(EXAMPLE["compound"]).replace(" ", "")
    assert verify_seal(parse_seal(compound), PUBLIC, WORD) == SEAL


@given(SEALS, st.text(max_size=40))
def test_round_trip(seal: Seal, cname: str) -> None:
    """What is built is read back and verifies."""
    compound = build_seal(seal, COUNTS, cname, WORD, PRIVATE.sign)
    unverified = parse_seal(compound)
    assert unverified.seal == seal
    assert verify_seal(unverified, PUBLIC, WORD) == seal


def test_every_flipped_bit_is_refused() -> None:
    """No bit of the compound, BYE and the signature among them, can change unnoticed."""
    compound = build_seal(SEAL, COUNTS, "sender", WORD, PRIVATE.sign)
    for bit in range(8 * len(compound)):
        forged = bytearray(compound)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FormatError, AuthenticationError)):
            verify_seal(parse_seal(bytes(forged)), PUBLIC, WORD)


def test_the_signature_binds_index_and_sender() -> None:
    """A packet moved to another index, or signed by somebody else, is refused."""
    unverified = parse_seal(build_seal(SEAL, COUNTS, "sender", WORD, PRIVATE.sign))
    other_index = srtcp.index_word(EXAMPLE["index"] + 1)
    other_key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(AuthenticationError):
        verify_seal(unverified, PUBLIC, other_index)
    with pytest.raises(AuthenticationError):
        verify_seal(unverified, other_key, WORD)


def test_a_goodbye_is_neither_added_nor_removed() -> None:
    """BYE stands inside what is signed: nobody ends a stream for its sender, or hides its end."""
    for bye in (False, True):
        seal = dataclasses.replace(SEAL, bye=bye)
        compound = build_seal(seal, COUNTS, "sender", WORD, PRIVATE.sign)
        offset = len(rtcp.sender_report(0, 0, 0, 0) + rtcp.source_description(0, "sender"))
        goodbye = rtcp.goodbye(SEAL.ssrc)
        if bye:
            forged = compound[:offset] + compound[offset + len(goodbye) :]
        else:
            forged = compound[:offset] + goodbye + compound[offset:]
        assert parse_seal(forged).seal.bye is not bye
        with pytest.raises(AuthenticationError):
            verify_seal(parse_seal(forged), PUBLIC, WORD)


def test_unknown_entries_are_skipped_but_signed() -> None:
    """A later version's entry does no harm, and cannot be changed either."""
    compound = compound_with(CURRENT + entry(99, b"later") + COUNTERS)
    assert verify_seal(parse_seal(compound), PUBLIC, WORD).current == SEAL.current
    with pytest.raises(AuthenticationError):
        verify_seal(parse_seal(compound.replace(b"later", b"hater")), PUBLIC, WORD)


@pytest.mark.parametrize(
    "entries",
    [
        CURRENT + CURRENT + COUNTERS,
        CURRENT + COUNTERS + COUNTERS,
        CURRENT + COUNTERS + entry(99, b"") + entry(99, b""),
        CURRENT + COUNTERS + entry(127, bytes(64)),
        CURRENT,
        COUNTERS,
        b"",
        CURRENT + entry(4, bytes(7)),
        entry(1, bytes(19)) + COUNTERS,
        CURRENT + COUNTERS + entry(2, bytes(11)),
        CURRENT + COUNTERS + entry(3, bytes(12)),
        CURRENT + COUNTERS + entry(5, b"\xff"),
        CURRENT + COUNTERS + entry(5, b"u") * 9,
        CURRENT + COUNTERS + entry(6, b"r") * 17,
        CURRENT + COUNTERS + b"\x00\x63\xff\xff",
    ],
    ids=[
        "current twice",
        "counters twice",
        "unknown twice",
        "signature twice",
        "no counters",
        "no current",
        "nothing",
        "short counters",
        "short current",
        "short next",
        "long window",
        "not UTF-8",
        "too many servers",
        "too many rekeys",
        "length past the end",
    ],
)
def test_misshapen_entries_are_refused(entries: bytes) -> None:
    """Duplicates, missing, misshapen and too many entries are refused, signed or not."""
    with pytest.raises(FormatError):
        parse_seal(compound_with(entries))


def test_only_the_packets_of_one_sender() -> None:
    """Other orders, other names and packets of two senders are no SEAL packet."""
    good = compound_with(CURRENT + COUNTERS)
    report, description = rtcp.sender_report(1, 0, 0, 0), rtcp.source_description(1, "x")
    app = good[len(report + description) :]
    assert parse_seal(report + description + app) == parse_seal(good)
    for forged in (
        app,
        report + app,
        description + report + app,
        app + report + description,
        good + rtcp.goodbye(1),
        good.replace(b"SEAL", b"MEAL"),
        rtcp.sender_report(2, 0, 0, 0) + description + app,
        good[:-64],
    ):
        with pytest.raises(RemoteError):
            verify_seal(parse_seal(forged), PUBLIC, WORD)


@pytest.mark.parametrize(("given_ms", "sent_ms"), [(-5, 0), (1 << 40, seal_packet.MS_MAX)])
def test_times_are_kept_in_range(given_ms: int, sent_ms: int) -> None:
    """A time that is over is sent as 0, one past 49 days as the longest there is."""
    seal = dataclasses.replace(SEAL, remaining_ms=given_ms)
    compound = build_seal(seal, COUNTS, "sender", WORD, PRIVATE.sign)
    assert parse_seal(compound).seal.remaining_ms == sent_ms
