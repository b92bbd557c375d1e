"""Owns the comparison with other programs that do the same work: which there are, and microseconds a packet.

| peer | its work | ours |
|---|---|---|
| gstreamer-srtpenc | payloader, AES-128-GCM, one UDP datagram each | seal_send |
| gstreamer-srtpdec | UDP, AES-128-GCM, to a sink that takes nothing | receive_open |
| ffmpeg-srtp | raw transport stream, AES-CM with HMAC-SHA1 (it has no GCM), UDP | seal_send |
| uftp | a file to one client, AES-128-GCM, both ends | seal_send and receive_open |
| openssl | the cipher alone, from C | floor |

A program runs with few packets and with many, on one core; the difference of its processor time, its start-up
not in it, is divided by the difference of packets.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sealcast.bench import ffmpeg, gstreamer, openssl, uftp
from sealcast.core.errors import SealcastError
from sealcast.core.ports import Clock, Random

PACKETS_FEW, PACKETS_MANY = 2_000, 30_000
"""40 MB: long enough beside a start of a tenth of a second."""

RUNS = 2
"""The better of so many is taken."""


@dataclass(frozen=True, slots=True)
class PeerFigure:
    """Microseconds of processor time per packet, and how many times ours that is."""

    us: float
    ratio: float


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """The peers that ran; and, for all, what stands in a comparison's way."""

    peers: dict[str, PeerFigure]
    notes: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Scene:
    folder: Path
    random: Random
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Peer:
    """Programs it needs, the figures of ours that do its work, how to measure it, what to know of it."""

    programs: tuple[str, ...]
    ours: tuple[str, ...]
    measure_us: Callable[[_Scene], float]
    note: str = ""


def measure_peers(us: Mapping[str, float], clock: Clock, random: Random) -> PeerFigures:
    """Measure those that are installed, some seconds each, beside our microseconds by name."""
    found = PeerFigures({}, {})
    with tempfile.TemporaryDirectory() as folder:
        scene = _Scene(Path(folder), random, clock)
        for name, peer in _PEERS.items():
            ours_us = sum(us[work] for work in peer.ours)
            _add(found, name, peer, ours_us, scene)
    return found


def _add(found: PeerFigures, name: str, peer: _Peer, ours_us: float, scene: _Scene) -> None:
    """Measure one peer, or note why not."""
    missing = [program for program in peer.programs if shutil.which(program) is None]
    if missing:
        found.notes[name] = f"left out: {', '.join(missing)} not installed"
        return
    try:
        peer_us = peer.measure_us(scene)
    except SealcastError as error:
        found.notes[name] = f"left out: {error}"
        return
    if peer_us <= 0:
        found.notes[name] = "left out: too fast to tell from its start on this machine; try again"
        return
    found.peers[name] = PeerFigure(round(peer_us, 3), round(peer_us / ours_us, 2))
    if peer.note:
        found.notes[name] = peer.note


def _slope(run: Callable[[_Scene, int], float]) -> Callable[[_Scene], float]:
    """Return what measures microseconds a packet, the start of the program not in it."""

    def measure_us(scene: _Scene) -> float:
        few_s = min(run(scene, PACKETS_FEW) for _ in range(RUNS))
        many_s = min(run(scene, PACKETS_MANY) for _ in range(RUNS))
        return (many_s - few_s) / (PACKETS_MANY - PACKETS_FEW) * 1e6

    return measure_us


_PEERS = {
    "gstreamer-srtpenc": _Peer(
        ("gst-launch-1.0",),
        ("seal_send",),
        _slope(lambda scene, packets: gstreamer.seal(packets, scene.random)),
    ),
    "gstreamer-srtpdec": _Peer(
        ("gst-launch-1.0",),
        ("receive_open",),
        _slope(lambda scene, packets: gstreamer.open_packets(packets, scene.random, scene.clock)),
    ),
    "ffmpeg-srtp": _Peer(
        ("ffmpeg",),
        ("seal_send",),
        _slope(lambda scene, packets: ffmpeg.seal(packets, scene.folder)),
        "AES-CM with HMAC-SHA1: it has no GCM",
    ),
    "uftp": _Peer(
        ("uftp", "uftpd", "unshare", "ip"),
        ("seal_send", "receive_open"),
        _slope(lambda scene, packets: uftp.transfer(packets, scene.folder)),
        "both ends together, beside both of ours",
    ),
    "openssl": _Peer(
        ("openssl",), ("floor",), lambda _: openssl.measure_us(), "the cipher alone, of the system's OpenSSL"
    ),
}
