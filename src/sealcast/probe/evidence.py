"""Owns the judgement of a whole stream from outside: in the clear, sealed, or not to be told.

Three things tell without a key. MPEG-TS shows its byte 47 every 188 bytes. SRTP lengthens each packet by tag
and MKI, so that sizes modulo 188 give the tag away, and the MKI stands at the end of packet after packet.
And a cipher leaves all byte values equally frequent: over N bytes the chi-squared statistic is then near
255 (± 23), while compressed pictures and sound lie far above it, the more the longer the sample. Good
compression of a short sample looks like a cipher, so evenness alone is no verdict.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from sealcast.core.ids import KEY_ID_BYTES
from sealcast.probe.looks import TS_PACKET_BYTES, Look
from sealcast.wire.rtp import PAYLOAD_TYPE_MP2T
from sealcast.wire.scramble import TRAILER_BYTES
from sealcast.wire.srtp import OVERHEAD_BYTES

SAMPLE_BYTES_MAX = 1 << 16
"""Byte values counted in all: enough to tell, and a hundredth of a second of work."""

SAMPLE_BYTES_OF_PACKET = 512
"""Taken from each packet, so that the sample spans at least 128 of them."""

SAMPLE_BYTES_MIN = 4_096
"""Sixteen of each byte value; below that chi-squared says nothing."""

EVEN_MAX = 400.0
"""Chi-squared of even bytes exceeds this (255 + 6 standard deviations) once in a thousand million samples."""

ENDINGS_MAX = 64
"""Different packet endings remembered; a stream has as many key IDs as epochs within the few seconds."""

ENDINGS_PACKETS_MIN = 8
"""Packets that must share few endings before these count as key IDs."""

PACKETS_OF_AN_ENDING = 4
"""Key IDs stay for many packets: so many must share each ending, on average."""

MOSTLY = 0.9
MKI_LENGTHS = (KEY_ID_BYTES, 4)
"""Sealcast's, and the one that other systems use most."""

ENDING_LENGTHS = (TRAILER_BYTES, *MKI_LENGTHS)
"""A pattern number and key ID stay for many packets; of what is sealed a tag stands there, ever new."""

TAGS = {16: "AES-GCM, 128 or 256 bits", 10: "AES-CM with HMAC-SHA1-80", 4: "AES-CM with HMAC-SHA1-32"}
"""Length of the tag by suite (RFC 7714 §12, RFC 3711 §5)."""


class Protection(StrEnum):
    """The verdict."""

    NOTHING = "nothing heard"
    CLEAR = "clear"
    SCRAMBLED = "scrambled"
    MIXED = "mixed"
    ENCRYPTED = "encrypted"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the stream is and why we say so; `suite` where the sizes tell it, `mki_bytes` 0 without an MKI."""

    protection: Protection
    why: str
    suite: str | None = None
    mki_bytes: int = 0


class Evidence:
    """Collects what packets show; bounded, whatever is sent."""

    def __init__(self) -> None:
        self.packets = 0
        self.clear = 0
        self._ts_packets = 0
        self._ts_scrambled = 0
        self._histogram: Counter[int] = Counter()
        self._sample_bytes = 0
        self._remainders: Counter[int] = Counter()
        self._endings: dict[int, Counter[bytes]] = {length: Counter() for length in ENDING_LENGTHS}

    def add(self, look: Look) -> None:
        """Take one packet in."""
        self.packets += 1
        if look.ts_packets:
            self.clear += 1
            self._ts_packets += look.ts_packets
            self._ts_scrambled += look.ts_scrambled
            return
        self._sample(look.payload)
        if look.header is None or len(look.payload) < OVERHEAD_BYTES:
            return
        if look.header.payload_type == PAYLOAD_TYPE_MP2T:
            self._remainders[len(look.payload) % TS_PACKET_BYTES] += 1
        for length, endings in self._endings.items():
            ending = look.payload[-length:]
            if ending in endings or len(endings) < ENDINGS_MAX:
                endings[ending] += 1

    def chi_squared(self) -> float | None:
        """Return the statistic over the sample; None while it is too short to say anything."""
        if self._sample_bytes < SAMPLE_BYTES_MIN:
            return None
        expected = self._sample_bytes / 256
        return sum((self._histogram[value] - expected) ** 2 / expected for value in range(256))

    def mki_bytes(self) -> int:
        """Return how long the MKI seems to be: 8, 4, or 0 where packets end in ever new bytes."""
        return next((length for length in MKI_LENGTHS if self._is_shared(length)), 0)

    def _is_shared(self, length: int) -> bool:
        """Whether most packets end in few different strings of that length."""
        endings = self._endings[length]
        kept = sum(endings.values())
        is_most = kept >= MOSTLY * (self.packets - self.clear)
        return kept >= max(ENDINGS_PACKETS_MIN, PACKETS_OF_AN_ENDING * len(endings)) and is_most

    def verdict(self) -> Verdict:
        """Judge what was seen so far."""
        if not self.packets:
            return Verdict(Protection.NOTHING, "no packet came")
        if self.clear == self.packets:
            return self._open()
        if self.clear:
            why = f"{self.clear} of {self.packets} packets are MPEG-TS in the clear, the others are not"
            return Verdict(Protection.MIXED, why)
        return self._opaque()

    def _open(self) -> Verdict:
        if self._ts_scrambled * 2 > self._ts_packets:
            why = f"MPEG-TS in which {self._ts_scrambled} of {self._ts_packets} packets are marked scrambled"
            return Verdict(Protection.SCRAMBLED, why)
        why = f"MPEG-TS: the byte 47 stands every {TS_PACKET_BYTES} bytes in all {self.packets} packets"
        return Verdict(Protection.CLEAR, why)

    def _opaque(self) -> Verdict:
        if self._is_shared(TRAILER_BYTES):
            why = "packets end in a pattern number and a key ID: XOR with patterns, which protects nothing"
            return Verdict(Protection.SCRAMBLED, why, mki_bytes=KEY_ID_BYTES)
        statistic, mki = self.chi_squared(), self.mki_bytes()
        suite, tag = self._suite(mki)
        if statistic is not None and statistic > EVEN_MAX:
            why = f"byte values are spread unevenly, as no cipher leaves them (chi-squared {statistic:.0f})"
            return Verdict(Protection.CLEAR, why)
        spread = "" if statistic is None else f"byte values are even (chi-squared {statistic:.0f})"
        signs = [part for part in (f"an MKI of {mki} bytes" if mki else "", tag, spread) if part]
        if mki or (suite and spread):
            return Verdict(Protection.ENCRYPTED, "SRTP: " + ", ".join(signs), suite, mki)
        reason = spread or "too little came to tell"
        return Verdict(Protection.UNCLEAR, f"{reason}: encrypted, or well compressed")

    def _suite(self, mki: int) -> tuple[str | None, str]:
        """Return the suite by the length of its tag, and what shows it; only MPEG-TS gives it away."""
        if not self._remainders:
            return None, ""
        remainder, count = self._remainders.most_common(1)[0]
        name = TAGS.get(remainder - mki)
        if name is None or count < MOSTLY * sum(self._remainders.values()):
            return None, ""
        return name, f"a tag of {remainder - mki} bytes behind whole TS packets"

    def _sample(self, payload: bytes) -> None:
        room = min(SAMPLE_BYTES_OF_PACKET, SAMPLE_BYTES_MAX - self._sample_bytes)
        if room > 0:
            part = payload[: min(room, max(0, len(payload) - OVERHEAD_BYTES))]
            self._histogram.update(part)
            self._sample_bytes += len(part)
