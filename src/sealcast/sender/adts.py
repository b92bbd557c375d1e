"""Owns the header of AAC frames in a transport stream (ADTS, ISO/IEC 13818-7 §6.2), as far as time goes.

bits 0..11    111111111111
16..17        profile; 18..21 index of the sampling rate
30..42        bytes of the frame, header included
54..55        blocks of 1,024 samples in the frame, less one
"""

from sealcast.sender.mpegts import PTS_HZ

HEADER_BYTES = 7
BLOCK_SAMPLES = 1_024
SAMPLE_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def frames_duration(data: bytes) -> int | None:
    """Return how long the frames in `data` last, in 90 kHz ticks; None if it is not whole ADTS frames."""
    ticks, at = 0.0, 0
    while at < len(data):
        if at + HEADER_BYTES > len(data) or data[at] != 0xFF or data[at + 1] & 0xF0 != 0xF0:
            return None
        rate_index = data[at + 2] >> 2 & 0x0F
        frame_bytes = (data[at + 3] & 0x03) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if rate_index >= len(SAMPLE_RATES_HZ) or frame_bytes < HEADER_BYTES:
            return None
        blocks = (data[at + 6] & 0x03) + 1
        ticks += blocks * BLOCK_SAMPLES * PTS_HZ / SAMPLE_RATES_HZ[rate_index]
        at += frame_bytes
    return round(ticks) if at == len(data) else None
