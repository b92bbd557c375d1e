"""Owns GStreamer as a peer: `srtpenc` and `srtpdec` in pipelines of `gst-launch-1.0`."""

import time
from collections.abc import Callable
from pathlib import Path

from sealcast.bench.processes import cpu_seconds
from sealcast.bench.stage import BATCH, GROUP, PAYLOAD_BYTES, Stage
from sealcast.core.ports import Clock, Random
from sealcast.transport.unicast import open_unicast_sender

HOST = "127.0.0.1"
PORT = 5084
MTU_BYTES = 1400
START_S_MAX = 10.0
QUEUED_BYTES_MAX = 1 << 20
"""So much may wait in its socket: never empty, and far from full."""

BATCHES_A_LOOK = 4
LOOK_S = 0.0002

DECODED = "fakesink sync=false async=false"
"""Where the opened packets go: nowhere."""

_CIPHERS = ("rtp-cipher=aes-128-gcm", "rtp-auth=null", "rtcp-cipher=aes-128-gcm", "rtcp-auth=null")


def seal(packets: int, random: Random) -> float:
    """Have payloads made, put into RTP, sealed and sent to a group that nobody joined; return CPU seconds."""
    source = (
        f"fakesrc num-buffers={packets} sizetype=fixed sizemax={PAYLOAD_BYTES} filltype=nothing ! "
        f"video/mpegts,systemstream=true,packetsize=188 ! rtpmp2tpay mtu={MTU_BYTES}"
    )
    cipher = f"srtpenc key={random.bytes(28).hex()} {' '.join(_CIPHERS)}"
    where = f"host={GROUP} port={PORT} multicast-iface=lo auto-multicast=false ttl-mc=0"
    sink = f"udpsink {where} sync=false async=false"
    return cpu_seconds(["gst-launch-1.0", "-q", *f"{source} ! {cipher} ! {sink}".split()])


def open_packets(packets: int, random: Random, clock: Clock) -> float:
    """Have packets of ours received and opened, from a socket that is never empty; return CPU seconds."""
    stage = Stage(random, clock.monotonic_ns())
    source = f"udpsrc address={HOST} port={PORT} num-buffers={packets} buffer-size={8 * QUEUED_BYTES_MAX}"
    command = ["gst-launch-1.0", "-q", *source.split(), f"caps={_caps(stage)}"]
    command += ["!", "srtpdec", "!", *DECODED.split()]
    return cpu_seconds(command, lambda goes_on: _feed(stage, goes_on))


def _caps(stage: Stage) -> str:
    tek = stage.tek
    fields = (
        "application/x-srtp,media=(string)video,encoding-name=(string)MP2T,clock-rate=(int)90000,payload=(int)33",
        f"ssrc=(uint){stage.sender.ssrc},roc=(uint)0",
        *(f"{layer}-cipher=(string)aes-128-gcm,{layer}-auth=(string)null" for layer in ("srtp", "srtcp")),
        f"srtp-key=(buffer){(tek.key.reveal() + tek.salt.reveal()).hex()}",
        f"mki=(buffer){tek.key_id.pack().hex()}",
    )
    return ",".join(fields)


def _feed(stage: Stage, goes_on: Callable[[], bool]) -> None:
    """Keep its socket filled until it has had enough."""
    starts = time.monotonic() + START_S_MAX
    while goes_on() and _queued_bytes() is None and time.monotonic() < starts:
        time.sleep(LOOK_S)
    with open_unicast_sender(HOST, PORT) as sender:
        while goes_on():
            queued_bytes = _queued_bytes()
            if queued_bytes is None or queued_bytes > QUEUED_BYTES_MAX:
                time.sleep(LOOK_S)
                continue
            for _ in range(BATCHES_A_LOOK):
                batch = stage.seal(BATCH)
                sender.send_train(batch.data, batch.segment_bytes)


def _queued_bytes() -> int | None:
    """Return what waits in the socket of `PORT`; None while there is none."""
    wanted = f":{PORT:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted):
            return int(fields[4].partition(":")[2], 16)
    return None
