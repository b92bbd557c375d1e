"""Owns the targets of a sender's inputs: transport streams, their loops and pace, ADTS, live datagrams."""

from fuzz.targets import Script, Target
from sealcast.core.errors import RemoteError, UsageError
from sealcast.sender import adts, mpegts
from sealcast.sender.liveinput import LiveInput, unwrap_rtp
from sealcast.sender.looping import LoopRestamper
from sealcast.sender.mpegts import PACKET_BYTES, SYNC_BYTE
from sealcast.sender.pacing import PcrPacer, RatePacer
from sealcast.wire import rtp

INPUT = (RemoteError, UsageError)
"""A file that is not what it was taken for is told to the person who named it."""

PIECE_BYTES = 300


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    stream = _stream()
    live = rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, 7, 8, 9) + stream[:PACKET_BYTES]
    return {
        "mpegts": Target(_read_packets, INPUT, (stream,)),
        "mpegts_packets": Target(lambda data: _read_packets(_with_syncs(data)), INPUT, (stream,)),
        "looping": Target(_loop, INPUT, (stream,)),
        "looping_packets": Target(lambda data: _loop(_with_syncs(data)), INPUT, (stream,)),
        "pacing": Target(_pace, INPUT, (stream,)),
        "pacing_packets": Target(lambda data: _pace(_with_syncs(data)), INPUT, (stream,)),
        "pacing_rate": Target(_pace_by_rate, INPUT, (b"\0\0\1\0" + bytes(2_000),)),
        "adts": Target(adts.frames_duration, (), (bytes.fromhex("fff1508000fffc"),)),
        "pes_payload": Target(mpegts.pes_payload, (), (bytes.fromhex("000001e0000080800521000100010000"),)),
        "rtp_input": Target(unwrap_rtp, INPUT, (live,)),
        "live_input": Target(_take_live, (), (bytes([len(live)]) + live, bytes([188]) + stream[:188])),
    }


def _packet(pid: int, counter: int, pcr: int, pts: int) -> bytes:
    """Return a packet with a PCR, in which a PES packet with PTS and DTS begins."""
    block = bytearray(PACKET_BYTES)
    block[:6] = bytes([SYNC_BYTE, 0x40 | pid >> 8, pid & 0xFF, 0x30 | counter & 0x0F, 7, 0x10])
    mpegts.write_pcr(block, pcr)
    block[12:26] = bytes.fromhex("000001e0000080c00a") + bytes.fromhex("3100010001")
    block[26:31] = bytes.fromhex("1100010001")
    mpegts.shift_pes_times(block, pts)
    return bytes(block)


def _stream() -> bytes:
    """Return a second of a stream in eight packets."""
    return b"".join(_packet(256, at, at * 2_700_000, at * 9_000) for at in range(8))


def _with_syncs(data: bytes) -> bytes:
    """Return whole packets, whatever is in them: only the sync bytes are put right."""
    block = bytearray(data[: len(data) // PACKET_BYTES * PACKET_BYTES])
    block[::PACKET_BYTES] = bytes([SYNC_BYTE]) * (len(block) // PACKET_BYTES)
    return bytes(block)


def _read_packets(data: bytes) -> None:
    """Read all that is read of the packets of a stream, and change what is changed."""
    mpegts.looks_like_transport_stream(data)
    mpegts.check_rhythm(data)
    block = bytearray(data[: len(data) // PACKET_BYTES * PACKET_BYTES])
    for at in mpegts.packets_with_pcr(block):
        pcr = mpegts.read_pcr(block, at)
        assert pcr is not None
        mpegts.write_pcr(block, pcr, at)
        assert mpegts.read_pcr(block, at) == pcr % mpegts.PCR_MODULUS
    for at in range(0, len(block), PACKET_BYTES):
        header = mpegts.read_header(block, at)
        assert header.pid == mpegts.read_pid(block, at)
        mpegts.clear_discontinuity(block, at)
        assert not mpegts.read_discontinuity(block, at)
        assert at < mpegts.payload_start(block, at) <= at + PACKET_BYTES
    for at in mpegts.packets_with_unit_start(block):
        before = mpegts.read_pes_times(block, at)
        mpegts.shift_pes_times(block, 90_000, at)
        after = mpegts.read_pes_times(block, at)
        assert (before is None) is (after is None)


def _loop(data: bytes) -> None:
    """Loop a stream three times, in pieces; each pass is as long as the first."""
    restamper, lengths = LoopRestamper(), list[int]()
    for _ in range(3):
        lengths.append(sum(len(restamper.feed(piece)) for piece in _pieces(data)))
        restamper.end_pass()
    assert len(set(lengths)) == 1


def _pace(data: bytes) -> None:
    """Pace a stream by its clock: nothing is lost, and time goes forward."""
    _check_run(PcrPacer(), data)


def _pace_by_rate(data: bytes) -> None:
    """Pace raw data by the rate that the first bytes say."""
    script = Script(data)
    _check_run(RatePacer(script.number(4)), data[4:])


def _check_run(pacer: PcrPacer | RatePacer, data: bytes) -> None:
    sent, last_ns = b"", 0
    runs = [pacer.feed(piece) for piece in _pieces(data)]
    for run in [*runs, pacer.finish()]:
        sent += b"".join(run.payloads)
        for offset_ns in run.offsets_ns or ():
            assert offset_ns >= last_ns
            last_ns = offset_ns
    assert sent == data


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


def _take_live(data: bytes) -> None:
    """Take datagrams at a live input; what goes out counts on."""
    script = Script(data)
    live = LiveInput(rtp=bool(len(data) % 2))
    while script:
        taken = live.take(script.chunk())
        assert taken is None or taken.skipped >= 0
