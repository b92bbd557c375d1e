"""Owns the `SEAL` packet: what a sender tells all receivers about its keys, signed.

```
compound = SR ‖ SDES(CNAME) ‖ [BYE] ‖ APP "SEAL", subtype 0
APP data = TLVs, each: type 16 ‖ length 16 ‖ value ‖ zeros to a word

 1 CURRENT      key ID 8 ‖ remaining ms 32 ‖ lifetime ms 32 ‖ flags 32 (bit 0: extended)
 2 NEXT         key ID 8 ‖ ms to the switch 32
 3 WINDOW       opens in ms 32 ‖ closes in ms 32          when to fetch the next key
 4 COUNTERS     ROC 32 ‖ highest SEQ 16 ‖ 0 16
 5 KEY_SERVER   URL, UTF-8                                once for each
 6 REKEY        one rekey message (`wire.rekey`)          once for each
 7 PATTERNS     number 32 ‖ ms to the next 32             of the scramble suite; 0xFFFFFFFF: not by time
 127 SIGNATURE  Ed25519, 64 bytes, always the last
```

The signature is over `"sealcast SEAL 1" ‖ compound up to that TLV ‖ key ID ‖ SRTCP index word`, so it binds
the packet to its key and its index. BYE stands before APP, so that it is signed too. Types that are not
known are skipped: they are signed like the others.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import KeyId
from sealcast.wire import rtcp

APP_NAME = b"SEAL"
SIGNING_CONTEXT = b"sealcast SEAL 1"
SIGNATURE_BYTES = 64
KEY_SERVERS_MAX = 8
REKEYS_MAX = 16
MS_MAX = 0xFFFFFFFF

T_CURRENT, T_NEXT, T_WINDOW, T_COUNTERS, T_KEY_SERVER, T_REKEY, T_PATTERNS = 1, 2, 3, 4, 5, 6, 7
T_SIGNATURE = 127
FLAG_EXTENDED = 1

_TLV = struct.Struct(">HH")
_CURRENT = struct.Struct(">8sIII")
_NEXT = struct.Struct(">8sI")
_WINDOW = struct.Struct(">II")
_COUNTERS = struct.Struct(">IHH")
_PATTERNS = struct.Struct(">II")
_SIGNATURE_TLV_BYTES = _TLV.size + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class NextKey:
    """Notice of the coming change (S1-9)."""

    key_id: KeyId
    switch_in_ms: int


@dataclass(frozen=True, slots=True)
class SealWindow:
    """When receivers fetch the next key, in ms from now."""

    opens_in_ms: int
    closes_in_ms: int


@dataclass(frozen=True, slots=True)
class PatternState:
    """The pattern number in use (S1-10), and when it changes; `MS_MAX` if not by time."""

    number: int
    remaining_ms: int


@dataclass(frozen=True, slots=True)
class SenderCounts:
    """What the SR says: RTP timestamp now, packets and payload octets sent."""

    timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Seal:
    """The content of a SEAL packet."""

    ssrc: int
    current: KeyId
    remaining_ms: int
    lifetime_ms: int
    roc: int
    seq: int
    extended: bool = False
    next: NextKey | None = None
    window: SealWindow | None = None
    key_servers: tuple[str, ...] = ()
    rekeys: tuple[bytes, ...] = ()
    patterns: PatternState | None = None
    bye: bool = False


@dataclass(frozen=True, slots=True)
class UnverifiedSeal:
    """A SEAL packet as read: at most a hint, until `verify_seal` has seen its signature."""

    seal: Seal
    signed: bytes
    signature: bytes


def build_seal(
    seal: Seal, counts: SenderCounts, cname: str, word: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """Return the compound. `word` is the SRTCP index word; `sign` makes an Ed25519 signature."""
    head = rtcp.sender_report(seal.ssrc, counts.timestamp, counts.packets, counts.octets)
    head += rtcp.source_description(seal.ssrc, cname)
    if seal.bye:
        head += rtcp.goodbye(seal.ssrc)
    values = b"".join(_tlv(kind, value) for kind, value in _values(seal))
    unsigned = head + rtcp.application(seal.ssrc, APP_NAME, values + bytes(_SIGNATURE_TLV_BYTES))
    prefix = unsigned[:-_SIGNATURE_TLV_BYTES]
    return prefix + _tlv(T_SIGNATURE, sign(_to_sign(prefix, seal.current, word)))


def parse_seal(compound: bytes) -> UnverifiedSeal:
    """Read a compound; raises FormatError unless it is an SR, SDES, perhaps BYE, and one signed APP SEAL."""
    packets = rtcp.split_compound(compound)
    kinds = [packet.packet_type for packet in packets]
    if kinds not in ([rtcp.PT_SR, rtcp.PT_SDES, rtcp.PT_APP], [*_WITH_BYE]):
        raise FormatError("not the RTCP packets of a SEAL packet")
    app = packets[-1]
    if app.body[: len(APP_NAME)] != APP_NAME or any(packet.ssrc != app.ssrc for packet in packets):
        raise FormatError("not a SEAL packet of one sender")
    tlvs = list(_split(app.body[len(APP_NAME) :]))
    if not tlvs or tlvs[-1][0] != T_SIGNATURE or len(tlvs[-1][1]) != SIGNATURE_BYTES:
        raise FormatError("a SEAL packet that does not end in a signature")
    seal = _read(app.ssrc, tlvs[:-1], bye=rtcp.PT_BYE in kinds)
    return UnverifiedSeal(seal, compound[:-_SIGNATURE_TLV_BYTES], tlvs[-1][1])


def verify_seal(unverified: UnverifiedSeal, public_key: Ed25519PublicKey, word: bytes) -> Seal:
    """Return the content; raises AuthenticationError if the sender of `public_key` did not sign it."""
    try:
        public_key.verify(unverified.signature, _to_sign(unverified.signed, unverified.seal.current, word))
    except InvalidSignature as error:
        raise AuthenticationError("a SEAL packet whose signature does not verify") from error
    return unverified.seal


_WITH_BYE = (rtcp.PT_SR, rtcp.PT_SDES, rtcp.PT_BYE, rtcp.PT_APP)


def _to_sign(prefix: bytes, key_id: KeyId, word: bytes) -> bytes:
    return b"".join((SIGNING_CONTEXT, prefix, key_id.pack(), word))


def _values(seal: Seal) -> Iterator[tuple[int, bytes]]:
    flags = FLAG_EXTENDED if seal.extended else 0
    current = seal.current.pack()
    yield T_CURRENT, _CURRENT.pack(current, capped_ms(seal.remaining_ms), capped_ms(seal.lifetime_ms), flags)
    if seal.next is not None:
        yield T_NEXT, _NEXT.pack(seal.next.key_id.pack(), capped_ms(seal.next.switch_in_ms))
    if seal.window is not None:
        yield T_WINDOW, _WINDOW.pack(capped_ms(seal.window.opens_in_ms), capped_ms(seal.window.closes_in_ms))
    yield T_COUNTERS, _COUNTERS.pack(seal.roc, seal.seq, 0)
    for url in seal.key_servers[:KEY_SERVERS_MAX]:
        yield T_KEY_SERVER, url.encode()
    for message in seal.rekeys[:REKEYS_MAX]:
        yield T_REKEY, message
    if seal.patterns is not None:
        yield T_PATTERNS, _PATTERNS.pack(seal.patterns.number, capped_ms(seal.patterns.remaining_ms))


def _read(ssrc: int, tlvs: list[tuple[int, bytes]], *, bye: bool) -> Seal:
    single = {kind: value for kind, value in tlvs if kind not in (T_KEY_SERVER, T_REKEY)}
    urls = [value for kind, value in tlvs if kind == T_KEY_SERVER]
    rekeys = tuple(value for kind, value in tlvs if kind == T_REKEY)
    if len(single) + len(urls) + len(rekeys) != len(tlvs) or T_SIGNATURE in single:
        raise FormatError("a SEAL packet that says one thing twice")
    if len(urls) > KEY_SERVERS_MAX or len(rekeys) > REKEYS_MAX:
        raise FormatError("a SEAL packet with too many entries")
    try:
        key_id, remaining_ms, lifetime_ms, flags = _CURRENT.unpack(single[T_CURRENT])
        roc, seq, _ = _COUNTERS.unpack(single[T_COUNTERS])
        coming = _NEXT.unpack(single[T_NEXT]) if T_NEXT in single else None
        window = _WINDOW.unpack(single[T_WINDOW]) if T_WINDOW in single else None
        patterns = _PATTERNS.unpack(single[T_PATTERNS]) if T_PATTERNS in single else None
        key_servers = tuple(url.decode() for url in urls)
    except (KeyError, struct.error, UnicodeDecodeError) as error:
        raise FormatError("a SEAL packet with a missing or misshapen entry") from error
    return Seal(
        ssrc=ssrc,
        current=KeyId.unpack(key_id),
        remaining_ms=remaining_ms,
        lifetime_ms=lifetime_ms,
        roc=roc,
        seq=seq,
        extended=bool(flags & FLAG_EXTENDED),
        next=NextKey(KeyId.unpack(coming[0]), coming[1]) if coming else None,
        window=SealWindow(*window) if window else None,
        key_servers=key_servers,
        rekeys=rekeys,
        patterns=PatternState(*patterns) if patterns else None,
        bye=bye,
    )


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        if offset + _TLV.size > len(data):
            raise FormatError("a SEAL entry that is cut short")
        kind, length = _TLV.unpack_from(data, offset)
        offset += _TLV.size
        if offset + length + -length % 4 > len(data):
            raise FormatError("a SEAL entry that is cut short")
        yield kind, data[offset : offset + length]
        offset += length + -length % 4


def _tlv(kind: int, value: bytes) -> bytes:
    return _TLV.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def capped_ms(value: int) -> int:
    """Return a time as a packet can carry it: 0 to `MS_MAX`."""
    return min(max(value, 0), MS_MAX)
