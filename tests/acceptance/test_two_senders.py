"""Two senders of one channel, as real programs: a standby that takes over, and two on air at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acceptance.onair import OnAir, capture
from acceptance.stations import Running, Station, eventually
from sealcast.testing import SimRandom

GROUP = "239.255.77.47:5004"
BITS_PER_S = 400_000
DATAGRAM_BYTES = 1_316


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Return a station whose channel has two studios, each with a folder and a file of its own."""
    station = Station(tmp_path, GROUP, "--lifetime", "6s", "--prefetch-at", "2s")
    with station.terminal.key_server():
        station.set_up()
        sending = ("--role", "sender", "--channel", "news")
        station.terminal.good("registry", "add", "other", *sending, "--output", "other.vault")
        for name in ("studio", "other"):
            (tmp_path / f"{name}.bin").write_bytes(SimRandom(name).bytes(BITS_PER_S // 8 * 90))
        yield station


@contextmanager
def sending(station: Station, name: str, *options: str) -> Iterator[Running]:
    """Run a studio's sender."""
    command = ["send", "news", "--input", f"{name}.bin", "--rate", str(BITS_PER_S), "--json"]
    command += ["--credential", f"{name}.vault", *options]
    folder = str(station.folder / f"sending-{name}")
    with station.terminal.running(*command, SEALCAST_SENDER_STATE=folder) as process:
        yield Running(process)


def check_nonces(air: OnAir) -> None:
    """No SSRC had a number twice under one key: no (key, IV) came twice. Few packets, so no number wraps."""
    used = Counter((packet.ssrc, packet.epoch, packet.seq) for packet in air.packets)
    assert used.most_common(1)[0][1] == 1
    assert len({packet.ssrc for packet in air.packets}) >= 2


def pieces(data: bytes) -> set[bytes]:
    """Return the datagrams that a file is sent in."""
    return {data[at : at + DATAGRAM_BYTES] for at in range(0, len(data), DATAGRAM_BYTES)}


def taken(station: Station, name: str) -> int:
    """Return how many datagrams of a studio's file the viewer wrote; nothing else is in its file."""
    out = (station.folder / "tv.out").read_bytes()
    found = pieces(out[: len(out) // DATAGRAM_BYTES * DATAGRAM_BYTES])
    assert found <= pieces((station.folder / "studio.bin").read_bytes()) | pieces(
        (station.folder / "other.bin").read_bytes()
    )
    return len(found & pieces((station.folder / f"{name}.bin").read_bytes()))


def test_a_standby_takes_over_and_stands_back(station: Station) -> None:
    """The first is killed: the standby is on air; when the first comes back, the standby is silent."""
    with capture(station.folder, GROUP) as air, station.receiver("--output", "tv.out", "--wait") as tv:
        tv.wait_for("granted")
        with sending(station, "studio") as first, sending(station, "other", "--standby", "1s") as standby:
            first.wait_for("on air")
            standby.wait_for("standing by")
            eventually(lambda: taken(station, "studio") > 30)
            first.process.kill()
            standby.wait_for("the other sender is silent")
            eventually(lambda: taken(station, "other") > 60)
            with sending(station, "studio") as again:
                again.wait_for("on air")
                standby.wait_for("the other sender is back")
                count = taken(station, "studio")
                eventually(lambda: taken(station, "studio") > count + 60)
                standby.process.terminate()
                last = standby.summary()
                again.process.terminate()
                again.summary()
        got = tv.summary()
    assert last["ended_by"] == "stopped"
    assert got["ended_by"] == "bye"
    assert (got["lost"], got["refused"], got["dropped"]) == (0, 0, 0)
    assert got["packets_opened"] == len(air.packets)
    check_nonces(air)


def test_two_on_air_at_once(station: Station) -> None:
    """Both are received over key changes; one says BYE and the other goes on; its BYE ends the stream."""
    with capture(station.folder, GROUP) as air, station.receiver("--output", "tv.out", "--wait") as tv:
        tv.wait_for("granted")
        with sending(station, "studio", "--beside") as first, sending(station, "other", "--beside") as second:
            first.wait_for("on air")
            second.wait_for("on air")
            for _ in range(2):
                first.wait_for("on air")
                second.wait_for("on air")
            first.process.terminate()
            sent = [first.summary()]
            count = taken(station, "other")
            eventually(lambda: taken(station, "other") > count)
            second.process.terminate()
            sent.append(second.summary())
        got = tv.summary()
    assert got["ended_by"] == "bye"
    assert got["packets_opened"] >= len(air.packets) - 60
    assert (got["refused"], got["replayed"]) == (0, 0)
    assert len(air.packets) == sum(each["packets"] for each in sent)
    by_epoch = Counter(epoch for epoch in {(packet.ssrc, packet.epoch) for packet in air.packets})
    shared = Counter(epoch for _, epoch in by_epoch)
    assert sum(count == 2 for count in shared.values()) >= 2
    check_nonces(air)
