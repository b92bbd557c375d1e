"""Owns frames over a Unix socket: a length, a body, and descriptors that travel with the first byte.

```
u32 length of the body, big-endian ‖ body          descriptors: SCM_RIGHTS with the length's first byte
```
Whoever reads a frame owns the descriptors that came with it, and closes them.
"""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from sealcast.core.errors import FormatError, UnreachableError

HEADER = struct.Struct("!I")
FRAME_BYTES_MAX = 2 * 1024 * 1024
"""A package's header, a licence and a receipt, each as long as a message may be, with room to spare."""

DESCRIPTORS_MAX = 2
_ONE = array.array("i").itemsize


@dataclass(slots=True)
class Frame:
    """A body and the descriptors that came with it; used in a `with`, which closes them."""

    body: bytes
    descriptors: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_all(self.descriptors)


def send_frame(sock: socket.socket, body: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send a frame; raises UnreachableError if the other side is gone, FormatError for a body too long."""
    if len(body) > FRAME_BYTES_MAX:
        raise FormatError(f"a frame has at most {FRAME_BYTES_MAX} bytes, not {len(body)}")
    data = HEADER.pack(len(body)) + body
    try:
        sent = socket.send_fds(sock, [data], list(descriptors)) if descriptors else 0
        sock.sendall(memoryview(data)[sent:])
    except OSError as error:
        raise UnreachableError(f"the other side of the socket is gone: {error.strerror or error}") from error


def receive_frame(sock: socket.socket) -> Frame | None:
    """Return the next frame, None where the other side has ended; raises FormatError, UnreachableError."""
    descriptors: list[int] = []
    try:
        body = _read_body(sock, descriptors)
    except FormatError:
        close_all(descriptors)
        raise
    except OSError as error:
        close_all(descriptors)
        raise UnreachableError(f"the other side of the socket is gone: {error.strerror or error}") from error
    return None if body is None else Frame(body, descriptors)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors, whatever they are by now."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _read_body(sock: socket.socket, descriptors: list[int]) -> bytes | None:
    """Return the next body, None at the end of the stream; raises FormatError, OSError."""
    header = _read(sock, HEADER.size, descriptors)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise FormatError("a frame that ends in its length")
    (length,) = HEADER.unpack(header)
    if length > FRAME_BYTES_MAX:
        raise FormatError(f"a frame has at most {FRAME_BYTES_MAX} bytes, not {length}")
    body = _read(sock, length, descriptors)
    if len(body) < length:
        raise FormatError("a frame that ends before its end")
    return body


def _read(sock: socket.socket, count: int, descriptors: list[int]) -> bytes:
    """Return `count` bytes, less at the end of the stream; adds the descriptors that come along.

    Raises FormatError for more of them than an operation takes: what did not fit, the kernel has closed.
    """
    found = bytearray()
    while len(found) < count:
        data, ancillary, flags, _ = sock.recvmsg(
            count - len(found), socket.CMSG_SPACE(DESCRIPTORS_MAX * _ONE), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                came = array.array("i")
                came.frombytes(payload[: len(payload) - len(payload) % _ONE])
                descriptors.extend(came)
        if flags & socket.MSG_CTRUNC or len(descriptors) > DESCRIPTORS_MAX:
            raise FormatError(f"a frame brings at most {DESCRIPTORS_MAX} descriptors")
        if not data:
            break
        found += data
    return bytes(found)
