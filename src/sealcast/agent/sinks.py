"""Owns writing content into a descriptor that somebody else opened, without ever being stuck in it.

Pipes and sockets are waited for in short steps, between which `check` is asked whether to go on: a player
that stands still keeps no agent from ending. Their flags are left alone, the other side shares them.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from typing import Protocol

from sealcast.core.errors import LocalError, UnreachableError

STEP_MS = 200
PIECE_BYTES = select.PIPE_BUF
"""What a pipe that is said to be writable takes without waiting (poll(2), pipe(7))."""

Check = Callable[[], None]
"""Raises if the work is to end."""


class Sink(Protocol):
    """Takes content."""

    def write(self, data: memoryview) -> None:
        """Write all of it; raises UnreachableError where nobody reads any more, LocalError where it fails."""

    def close(self) -> None:
        """Let go of what was opened here; the descriptor stays its owner's."""


def open_sink(descriptor: int, check: Check) -> Sink:
    """Return the sink for a descriptor of any kind."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return _SocketSink(descriptor, check)
    if stat.S_ISFIFO(mode):
        return _PipeSink(descriptor, check)
    return _FileSink(descriptor)


class _FileSink:
    """A file, or a device: it is written at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: memoryview) -> None:
        done = 0
        while done < len(data):
            try:
                done += os.write(self._descriptor, data[done:])
            except OSError as error:
                raise _failed(error) from error

    def close(self) -> None:
        """Nothing was opened."""


class _PipeSink:
    """A pipe: what it takes without waiting, as often as there is room."""

    def __init__(self, descriptor: int, check: Check) -> None:
        self._descriptor, self._check = descriptor, check
        self._poll = _polling(descriptor)

    def write(self, data: memoryview) -> None:
        done = 0
        while done < len(data):
            _wait(self._poll, self._check)
            try:
                done += os.write(self._descriptor, data[done : done + PIECE_BYTES])
            except BlockingIOError:
                continue
            except OSError as error:
                raise _failed(error) from error

    def close(self) -> None:
        """Nothing was opened."""


class _SocketSink:
    """A connected socket: each call says that it must not wait."""

    def __init__(self, descriptor: int, check: Check) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._check = check
        self._poll = _polling(descriptor)

    def write(self, data: memoryview) -> None:
        done = 0
        while done < len(data):
            try:
                done += self._socket.send(data[done:], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                _wait(self._poll, self._check)
            except OSError as error:
                raise _failed(error) from error

    def close(self) -> None:
        self._socket.close()


def _polling(descriptor: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll


def _wait(poll: select.poll, check: Check) -> None:
    while not poll.poll(STEP_MS):
        check()


def _failed(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return UnreachableError("whoever reads the content has ended")
    return LocalError(f"the content cannot be written: {error.strerror}")
