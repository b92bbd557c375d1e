"""Owns what is asked of PyAV: encoding the test card and copying streams; needs the extra `demo`.

Nothing imports this at start-up: `testcard.py` does, when a clip is wanted.
"""

import math
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from sealcast.core.errors import UsageError
from sealcast.demo.card import FRAMES_PER_S, HEIGHT, WIDTH, Card

MUX_RATE_BITS_PER_S = 8_000_000
"""Constant rate of the stream; null packets fill what picture and tone leave free."""

VIDEO_RATE_BITS_PER_S = 5_000_000
"""Upper bound for the pictures, well below the constant rate, so that the stream's clock always holds."""

SAMPLES_PER_S = 48_000
FRAME_SAMPLES = 1_024
"""Samples of an AAC frame."""

TONE_PERIOD_SAMPLES = 64
"""750 Hz: a whole number of periods to an AAC frame, so that all frames are the same bytes."""

TONE_LEVEL = 0.1
"""Share of full scale: -20 dB, the usual level of a line-up tone."""


def encode_testcard(path: Path, seconds: float, progress: Callable[[float], None]) -> None:
    """Encode the test card, picture by picture; raises UsageError when `path` cannot be written."""
    pictures = max(1, round(seconds * FRAMES_PER_S))
    options = {"muxrate": str(MUX_RATE_BITS_PER_S)}
    with _plain_errors(path), av.open(str(path), "w", format="mpegts", options=options) as clip:
        video, audio = _add_video(clip), _add_audio(clip)
        card, tone = Card(), _tone()
        samples = 0
        for number in range(pictures):
            clip.mux(video.encode(_picture(card, number)))
            while samples * FRAMES_PER_S < (number + 1) * SAMPLES_PER_S:
                clip.mux(audio.encode(_sound(tone, samples)))
                samples += FRAME_SAMPLES
            if number % FRAMES_PER_S == 0:
                progress(number / pictures)
        clip.mux(video.encode(None))
        clip.mux(audio.encode(None))
    progress(1.0)


def copy_to_ts(source_path: Path, target_path: Path) -> None:
    """Copy all packets of picture and sound; raises UsageError when a file cannot be read or written."""
    with (
        _plain_errors(target_path),
        av.open(str(source_path)) as source,
        av.open(str(target_path), "w", format="mpegts") as target,
    ):
        wanted = [*source.streams.video, *source.streams.audio]
        if not wanted:
            raise UsageError(f"{source_path} has neither picture nor sound")
        streams = {stream.index: target.add_stream_from_template(stream) for stream in wanted}
        for packet in source.demux(wanted):
            # The last packet of each stream is empty: it tells decoders to give out what they hold.
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)


def _add_video(clip: OutputContainer) -> VideoStream:
    """Add H.264 at the lowest cost and delay; one key picture a second, so that players start soon."""
    options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "threads": "1",
        "maxrate": str(VIDEO_RATE_BITS_PER_S),
        "bufsize": str(VIDEO_RATE_BITS_PER_S // 2),
        "g": str(FRAMES_PER_S),
    }
    stream = clip.add_stream("libx264", rate=FRAMES_PER_S, options=options)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.bit_rate = VIDEO_RATE_BITS_PER_S
    return stream


def _add_audio(clip: OutputContainer) -> AudioStream:
    stream = clip.add_stream("aac", rate=SAMPLES_PER_S, layout="mono", options={"aac_coder": "fast"})
    stream.bit_rate = 96_000
    return stream


def _picture(card: Card, number: int) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane, content in zip(frame.planes, (card.luma(number), *card.chroma), strict=True):
        plane.update(content)
    frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_S)
    return frame


def _sound(tone: bytes, first_sample: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="fltp", layout="mono", samples=FRAME_SAMPLES)
    frame.planes[0].update(tone)
    frame.sample_rate = SAMPLES_PER_S
    frame.pts, frame.time_base = first_sample, Fraction(1, SAMPLES_PER_S)
    return frame


def _tone() -> bytes:
    """Return one AAC frame of a sine as 32-bit floats."""
    step = 2 * math.pi / TONE_PERIOD_SAMPLES
    return array("f", (TONE_LEVEL * math.sin(step * sample) for sample in range(FRAME_SAMPLES))).tobytes()


@contextmanager
def _plain_errors(target_path: Path) -> Iterator[None]:
    """Turn what PyAV and the system raise into one line; it names the target where no file is named."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        raise UsageError(f"{error.filename or target_path}: {error.strerror or error}") from error
