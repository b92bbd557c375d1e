"""Owns packets made by hand for tests of the probe: sealed and clear, with SEAL packets true and forged."""

from dataclasses import replace

from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keys.material import make_tek
from sealcast.testing import SimRandom
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.seal import NextKey, Seal, SealWindow, SenderCounts, build_seal
from wire.single import seal_single

SSRC = 0x5EA1CA57
TS = (b"\x47\x01\x00\x10" + bytes(184)) * 7
CURRENT = KeyId(ChannelNumber(7), Epoch(3))
SEAL = Seal(
    ssrc=SSRC,
    current=CURRENT,
    remaining_ms=4_000,
    lifetime_ms=5_000,
    roc=2,
    seq=100,
    next=NextKey(KeyId(ChannelNumber(7), Epoch(4)), 4_000),
    window=SealWindow(1_000, 3_000),
    key_servers=("https://keys.example:8443",),
)


def sealed(
    count: int, *, first: int = 100, key_id: KeyId = CURRENT, payload: bytes = TS, ssrc: int = SSRC
) -> list[bytes]:
    """Return packets as a Sealcast sender seals them."""
    tek = make_tek(key_id, Suite.AES_128_GCM, SimRandom(3))
    key = srtp.derive_rtp(tek.key, tek.salt).stream(ssrc)
    kind = rtp.PAYLOAD_TYPE_MP2T if payload.startswith(b"\x47") else rtp.PAYLOAD_TYPE_DATA
    return [
        seal_single(key, rtp.pack_header(kind, n % 65_536, 0, ssrc), payload, n, key_id.pack())
        for n in range(first, first + count)
    ]


def clear(count: int, *, with_rtp: bool = True, payload: bytes = TS) -> list[bytes]:
    """Return packets of MPEG-TS in the clear."""
    headers = [rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, n, 0, SSRC) if with_rtp else b"" for n in range(count)]
    return [header + payload for header in headers]


def seal_packet(index: int, *, mki: KeyId | None = None, **changed: object) -> bytes:
    """Return a SEAL packet with neither a true tag nor a true signature, as a stranger can make it."""
    seal = replace(SEAL, **changed)  # type: ignore[arg-type]
    word = srtcp.index_word(index)
    compound = build_seal(seal, SenderCounts(0, 0, 0), "s1.example", word, lambda _: bytes(64))
    return b"".join((compound, bytes(srtp.TAG_BYTES), word, (mki or seal.current).pack()))
