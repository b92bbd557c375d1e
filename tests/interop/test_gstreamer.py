"""GStreamer's `srtpdec` opens what our sender puts on the air, across key changes, bit for bit."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.onair import SSRC, OnAir, run_sender
from sealcast.core.channel import Suite
from sealcast.wire import srtcp

pytestmark = pytest.mark.players

ROC_BITS = 16


def framed(packets: Sequence[bytes]) -> bytes:
    """Return packets as RFC 4571 puts them on a byte stream: a 16-bit length before each."""
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def caps(kind: str, suite: Suite, keys: Sequence[tuple[bytes, bytes]], roc: int) -> str:
    """Return what `srtpdec` is told: cipher, ROC, and the numbered keys with their MKIs."""
    fields = [
        f"application/{kind}",
        "media=(string)video",
        "encoding-name=(string)MP2T",
        "clock-rate=(int)90000",
        "payload=(int)33",
        f"ssrc=(uint){SSRC}",
        f"roc=(uint){roc}",
        *(f"{layer}-cipher=(string){suite.value}" for layer in ("srtp", "srtcp")),
        *(f"{layer}-auth=(string)null" for layer in ("srtp", "srtcp")),
    ]
    for number, (mki, master) in enumerate(keys, start=1):
        suffix = "" if number == 1 else str(number)
        fields += [f"srtp-key{suffix}=(buffer){master.hex()}", f"mki{suffix}=(buffer){mki.hex()}"]
    return ",".join(fields)


def launch(folder: Path, stream: bytes, *middle: str) -> bytes:
    """Run a pipeline from a file to a file; return what it wrote."""
    source, sink = folder / "in", folder / "out"
    source.write_bytes(stream)
    pipeline = ["filesrc", f"location={source}", *middle, "!", "filesink", f"location={sink}"]
    done = subprocess.run(
        ["gst-launch-1.0", "-q", *pipeline], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return sink.read_bytes()


def play(folder: Path, air: OnAir, suite: Suite, *, first: int = 0, roc: int = 0) -> bytes:
    """Return the transport stream that GStreamer gets out of the packets from the one numbered `first`."""
    told = caps("x-srtp-stream", suite, air.used_keys(), roc)
    chain = ["!", told, "!", "rtpstreamdepay", "!", "srtpdec", "!", "rtpmp2tdepay"]
    return launch(folder, framed(air.data[first:]), *chain)


@pytest.mark.parametrize("suite", [Suite.AES_128_GCM, Suite.AES_256_GCM])
def test_across_two_key_changes(suite: Suite, tmp_path: Path) -> None:
    """Three keys, SEQ wrapping under the second: the transport stream comes out bit for bit."""
    air = run_sender(suite, changes=2, first_seq=64_000)
    assert len(air.used_keys()) == 3
    assert play(tmp_path, air, suite) == b"".join(air.payloads)


def test_joining_late(tmp_path: Path) -> None:
    """A player that is told the ROC opens a stream that has wrapped already."""
    first_seq, first = 65_000, 1_500
    air = run_sender(Suite.AES_128_GCM, changes=2, first_seq=first_seq)
    roc = (first_seq + first) >> ROC_BITS
    assert roc == 1
    opened = play(tmp_path, air, Suite.AES_128_GCM, first=first, roc=roc)
    assert opened == b"".join(air.payloads[first:])


def test_without_the_key_nothing_opens(tmp_path: Path) -> None:
    """The same pipeline under another key gives not one byte."""
    air = run_sender(Suite.AES_128_GCM, changes=0, first_seq=1)
    air.masters = dict.fromkeys(air.masters, bytes(28))
    assert play(tmp_path, air, Suite.AES_128_GCM) == b""


def test_control_packets_verify(tmp_path: Path) -> None:
    """`srtpdec` verifies the SEAL packets too and hands on their compounds, BYE among them."""
    air = run_sender(Suite.AES_128_GCM, changes=2, first_seq=1)
    told = caps("x-srtcp-stream", Suite.AES_128_GCM, air.used_keys(), 0)
    chain = ["!", told, "!", "rtpstreamdepay", "!", "decoder.rtcp_sink", "srtpdec", "name=decoder"]
    opened = launch(tmp_path, framed(air.control), *chain, "decoder.rtcp_src")
    compounds = [srtcp.split_control(packet).clear_compound for packet in air.control]
    assert len(compounds) > 10
    assert opened == b"".join(compounds)
