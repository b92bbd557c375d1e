"""Owns ffmpeg as a peer: a transport stream in a file, copied to SRTP."""

from pathlib import Path

from sealcast.bench.processes import cpu_seconds
from sealcast.bench.stage import GROUP, PAYLOAD_BYTES

PORT = 5086
TS_BYTES = 188
PCR_EACH = 70
PCR_STEP = 2_700_000
"""Ticks of 27 MHz: 0.1 s."""

DATAGRAM_BYTES = 1342
"""What makes it put seven transport stream packets into a datagram: header and tag count twice."""

KEY = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"
"""Thirty bytes that guard nothing."""


def seal(packets: int, folder: Path) -> float:
    """Have a file read, put into RTP, sealed with AES-CM and HMAC-SHA1 and sent; return CPU seconds."""
    path = folder / "ffmpeg.ts"
    path.write_bytes(_transport_stream(packets))
    where = f"srtp://{GROUP}:{PORT}?pkt_size={DATAGRAM_BYTES}&localaddr=127.0.0.1&ttl=0"
    seal_with = f"-srtp_out_suite AES_CM_128_HMAC_SHA1_80 -srtp_out_params {KEY}"
    command = f"ffmpeg -v error -f mpegtsraw -i {path} -map 0:0 -c copy -f rtp {seal_with} {where}"
    return cpu_seconds(command.split())


def _transport_stream(packets: int) -> bytes:
    """Return null packets, and one with a clock reference now and then, without which it reads nothing."""
    null = b"\x47\x1f\xff\x10" + b"\xff" * (TS_BYTES - 4)
    count = packets * PAYLOAD_BYTES // TS_BYTES
    between = null * (PCR_EACH - 1)
    clocks = [_pcr(number) + between for number in range(-(-count // PCR_EACH))]
    return b"".join(clocks)[: count * TS_BYTES]


def _pcr(number: int) -> bytes:
    """Return a packet with a clock reference (ISO/IEC 13818-1 §2.4.3.5)."""
    base, extension = divmod(number * PCR_STEP, 300)
    clock = (base << 15 | 0x3F << 9 | extension).to_bytes(6, "big")
    return b"\x47\x01\x00\x20" + bytes([TS_BYTES - 5, 0x10]) + clock + b"\xff" * (TS_BYTES - 12)
