"""Owns what a key server and its event process say to each other: frames over a pair of sockets.

```
frame = length u32 ‖ MessagePack of one of the structs below
event process ── Asked, Check, Counts ──► key server
key server ── Verdict, Tell, Look, Checked, Certify ──► event process
```
The event process holds connections and decides nothing: who may listen to what is asked here. When its end of
the pair is closed it ends, whatever it does.
"""

import asyncio
import struct

import msgspec

from sealcast.messages.subscribing import Event

FRAME_BYTES_MAX = 1024 * 1024
"""The largest are `Check` and its answer: 256 streams of 64 channels each."""

_LENGTH = struct.Struct(">I")


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What all frames share."""


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """Whom a stream belongs to, its role, and the numbers of the channels that it hears of."""

    party: str
    role: str
    channels: list[int]


class Asked(Frame, frozen=True):
    """Event process: a request came in; `number` comes back with the verdict."""

    number: int
    body: bytes


class Verdict(Frame, frozen=True):
    """Key server: the answer to a request; with `opened` a stream begins in place of `body`."""

    number: int
    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes = b""
    opened: Opened | None = None


class Tell(Frame, frozen=True):
    """Key server: an event for `party`, or for all whom it concerns.

    `told_ns` is when the window in the event counted from, by the clock that both processes share.
    """

    event: Event
    told_ns: int
    party: str | None = None


class Look(Frame, frozen=True):
    """Key server: something changed with this party; check its streams at once."""

    party: str


class Check(Frame, frozen=True):
    """Event process: a question whether these may still listen."""

    number: int
    rows: list[Opened]


class Checked(Frame, frozen=True):
    """Key server: for each row of the check, the channels that it may go on to hear of."""

    number: int
    channels: list[list[int]]


class Certify(Frame, frozen=True):
    """Key server: serve new connections under this certificate and key, two files."""

    certificate: str
    key: str


class Counts(Frame, frozen=True):
    """Event process: how many streams it has, and what came of streams since its start."""

    streams: int
    events: int
    slow: int
    displaced: int


Upward = Asked | Check | Counts
Downward = Verdict | Tell | Look | Checked | Certify


def pack(frame: Frame) -> bytes:
    """Return a frame with its length in front."""
    data = msgspec.msgpack.encode(frame)
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the bytes of the next frame, None once the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_BYTES_MAX:
            return None
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None


def upward(data: bytes) -> Upward:
    """Read a frame from the event process."""
    frame: Upward = msgspec.msgpack.decode(data, type=Upward)
    return frame


def downward(data: bytes) -> Downward:
    """Read a frame from the key server."""
    frame: Downward = msgspec.msgpack.decode(data, type=Downward)
    return frame
