"""Owns moving datagrams through open sockets, many to a call, and counting what the kernel dropped.

Nothing here waits for the network: callers ask `fileno()` to their event loop and call again.
"""

import errno
import select
import socket
import struct
from collections.abc import Callable, Sequence
from itertools import islice
from types import TracebackType
from typing import Self

from sealcast.transport import linux
from sealcast.transport.failures import BUFFER_FULL, DISCARDED, explain

RECEIVE_BUFFER_BYTES = 32 << 20
"""Asked of the kernel, which gives twice that and takes memory only for what waits: a program may stand still
for a quarter of a second at 2 Gbit/s."""

ADVISED_BUFFER_BYTES = 8 << 20
"""With less than this an operator is told: it holds 9 s of 8 Mbit/s and 78 ms of 1 Gbit/s."""

DATAGRAM_MAX_BYTES = 65_535
"""The longest IP packet (jumbograms apart), so that nothing received is ever cut short."""

SEND_WAITS = 3
"""How often one `send_batch` waits for room in the socket before it hands the rest back."""

SEND_WAIT_MS = 1
"""How long each of these waits lasts: together below the shortest control interval by far."""

NO_SEGMENTS = frozenset({errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.EMSGSIZE})
"""The kernel or the interface does not cut this train apart: too long for its frames, or no checksums."""

_COUNT = struct.Struct("@I")
_SEGMENT = struct.Struct("@i")
_SEGMENT_ANCILLARY_BYTES = socket.CMSG_SPACE(_SEGMENT.size)
_ANCILLARY_BYTES = socket.CMSG_SPACE(_COUNT.size)
_U32_MASK = 0xFFFFFFFF


class Endable:
    """A socket with an end: `close` may be called again, and `with` calls it."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self._socket = sock
        self._name = name

    def fileno(self) -> int:
        """Return the descriptor for an event loop, -1 once closed."""
        return self._socket.fileno()

    @property
    def local_address(self) -> tuple[str, int]:
        """Address and port of our side."""
        address, port, *_ = self._socket.getsockname()
        return address, port

    def close(self) -> None:
        """Close the socket; the kernel leaves its groups with it."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"


class DatagramReceiver(Endable):
    """Receives datagrams from an open, bound, non-blocking socket.

    `receive_buffer_bytes` is what the kernel granted of the `asked_bytes`.
    """

    def __init__(self, sock: socket.socket, name: str, asked_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        super().__init__(sock, name)
        self.asked_buffer_bytes = asked_bytes
        self.receive_buffer_bytes = _size_buffer(sock, asked_bytes)
        self._gathers = False
        self._left_over: tuple[bytes, int] | None = None
        self._seen_empty = False
        self._last_count = 0
        self._dropped: int | None = 0
        self._receive: Callable[[int], bytes] = sock.recv
        # Asking costs nothing per packet; being told with each packet is the second choice.
        self._asks = linux.read_drops(sock) is not None
        if not self._asks:
            if linux.attach_drops(sock):
                self._receive = self._receive_with_count
            else:
                self._dropped = None

    def receive_batch(self, limit: int) -> list[bytes]:
        """Return the waiting datagrams, oldest first, at most `limit`; an empty list if there are none.

        Never waits. Raises UnreachableError when the kernel reports the network gone. About 1 µs a datagram.
        """
        batch: list[bytes] = []
        receive = self._receive
        try:
            while len(batch) < limit:
                batch.append(receive(DATAGRAM_MAX_BYTES))
        except BlockingIOError:
            pass
        except OSError as error:
            if not batch and error.errno != errno.EBADF:  # EBADF: closed by us, nothing comes any more
                raise explain(error, f"cannot receive {self._name}") from error
        return batch

    def take_trains(self) -> bool:
        """Have the kernel gather datagrams; from now on use `receive_train` only. False if it cannot."""
        self._gathers = linux.gather_datagrams(self._socket)
        return self._gathers

    def receive_train(self, into: memoryview) -> tuple[int, int] | None:
        """Receive datagrams of one length, one behind the other, the last maybe shorter; None if none waits.

        Returns the bytes received and the length of each datagram. `into` is twice `DATAGRAM_MAX_BYTES` long.
        Never waits. Raises UnreachableError when the kernel reports the network gone. One system call a
        train where the kernel gathers them, else one a datagram (1 µs). A train that emptied the socket is
        followed by one None without asking again.
        """
        if self._seen_empty:
            self._seen_empty = False
            return None
        if self._left_over is not None:
            data, segment_bytes = self._left_over
            self._left_over = None
            size_bytes = len(data)
            into[:size_bytes] = data
        else:
            first = self._receive_some(into)
            if first is None:
                return None
            size_bytes, segment_bytes = first
        while size_bytes % segment_bytes == 0 and size_bytes < DATAGRAM_MAX_BYTES:
            more = self._receive_some(into[size_bytes:])
            if more is None:
                self._seen_empty = True
                break
            more_bytes, more_segment_bytes = more
            is_shorter_last = more_bytes == more_segment_bytes < segment_bytes
            if more_segment_bytes != segment_bytes and not is_shorter_last:
                self._left_over = bytes(into[size_bytes : size_bytes + more_bytes]), more_segment_bytes
                break
            size_bytes += more_bytes
        return size_bytes, segment_bytes

    def _receive_some(self, into: memoryview) -> tuple[int, int] | None:
        """Receive once: the bytes, and the length of each of the datagrams that they are."""
        try:
            if not self._gathers:
                size_bytes = self._socket.recv_into(into, DATAGRAM_MAX_BYTES)
                return size_bytes, max(1, size_bytes)
            size_bytes, ancillary, _, _ = self._socket.recvmsg_into([into], _SEGMENT_ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EBADF:  # closed by us, nothing comes any more
                return None
            raise explain(error, f"cannot receive {self._name}") from error
        for level, kind, data in ancillary:
            if level == linux.SOL_UDP and kind == linux.UDP_GRO:
                return size_bytes, max(1, _SEGMENT.unpack_from(data)[0])
        return size_bytes, max(1, size_bytes)

    def drops(self) -> int | None:
        """Return how many datagrams the kernel threw away for want of room; None if it does not tell.

        Where only SO_RXQ_OVFL is there, a drop shows once a later datagram has been received.
        """
        if self._asks and self.fileno() >= 0:
            self._note_count(linux.read_drops(self._socket) or 0)
        return self._dropped

    def buffer_advice(self) -> str | None:
        """Return one line for the operator if the kernel granted less than a common stream wants."""
        wanted_bytes = min(self.asked_buffer_bytes, ADVISED_BUFFER_BYTES)
        if self.receive_buffer_bytes >= wanted_bytes:
            return None
        return (
            f"the receive buffer is {self.receive_buffer_bytes >> 10} KiB instead of"
            f" {wanted_bytes >> 10} KiB; raise it with"
            f" `sysctl -w net.core.rmem_max={wanted_bytes}`"
        )

    def close(self) -> None:
        """Close the socket; `drops` keeps its last count."""
        self.drops()
        super().close()

    def _receive_with_count(self, size_bytes: int) -> bytes:
        datagram, ancillary, _, _ = self._socket.recvmsg(size_bytes, _ANCILLARY_BYTES)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == linux.SO_RXQ_OVFL and len(data) >= _COUNT.size:
                self._note_count(_COUNT.unpack_from(data)[0])
        return datagram

    def _note_count(self, count: int) -> None:
        """Add what the kernel's count, which wraps at 2^32, rose by."""
        self._dropped = (self._dropped or 0) + ((count - self._last_count) & _U32_MASK)
        self._last_count = count


class DatagramSender(Endable):
    """Sends datagrams through an open, connected, non-blocking socket.

    `stalls` counts waits for room in the socket, `refused` datagrams that a packet filter of this host
    threw away or that nobody listened for.
    """

    def __init__(self, sock: socket.socket, name: str) -> None:
        super().__init__(sock, name)
        self.stalls = 0
        self.refused = 0
        self._segment_bytes = 0
        self._longest_cut_bytes = DATAGRAM_MAX_BYTES

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Send datagrams that stand one behind the other, each `segment_bytes` long, the last maybe shorter.

        At most `wire.sealing.train_limit` of them. Returns how many, from the front, are done with, as
        `send_batch` does, and raises as it. One system call where the kernel cuts them apart, else one each.
        """
        size_bytes = len(data)
        if size_bytes <= segment_bytes and self._send_one(data, size_bytes):
            return 1
        count = -(-size_bytes // segment_bytes)
        if count > 1 and segment_bytes <= self._longest_cut_bytes and self._cut_into(segment_bytes):
            for tries in range(SEND_WAITS + 1):
                try:
                    self._socket.send(data)
                except OSError as error:
                    if error.errno in NO_SEGMENTS:
                        self._longest_cut_bytes = segment_bytes - 1
                        break
                    if error.errno not in BUFFER_FULL:
                        return self._note_failure(error, count)
                    self.stalls += 1
                    if tries == SEND_WAITS:
                        return 0
                    self._wait_for_room()
                else:
                    return count
        return self.send_batch([data[at : at + segment_bytes] for at in range(0, len(data), segment_bytes)])

    def plain_send(self, segment_bytes: int) -> Callable[[memoryview], int] | None:
        """Return what sends a train with datagrams of that length at once; None if the kernel cannot.

        For whoever sends many: it raises OSError for what did not leave, which goes to `send_train` then. It
        is good until another length or another method was used.
        """
        if segment_bytes > self._longest_cut_bytes or not self._cut_into(segment_bytes):
            return None
        return self._socket.send

    def _send_one(self, data: memoryview, size_bytes: int) -> bool:
        """Send one datagram; False if it did not leave and is to be sent with more care.

        Where the kernel was told a length to cut at, it leaves alone what is no longer than that.
        """
        if size_bytes > self._segment_bytes > 0:
            return False
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                self.refused += 1  # This reports an earlier one; the present one was not tried.
            return False
        return True

    def _cut_into(self, segment_bytes: int) -> bool:
        """Tell the kernel the length of the datagrams; False if it cannot cut a train apart."""
        if segment_bytes != self._segment_bytes:
            if not linux.set_segment(self._socket, segment_bytes):
                self._longest_cut_bytes = 0
                return False
            self._segment_bytes = segment_bytes
        return True

    def _note_failure(self, error: OSError, count: int) -> int:
        """Count a train that this host threw away; raises for anything else."""
        if error.errno == errno.ECONNREFUSED:
            self.refused += 1  # This reports an earlier one; the caller offers the present one again.
            return 0
        if error.errno in DISCARDED:
            self.refused += count
            return count
        raise explain(error, f"cannot send to {self._name}") from error

    def send_batch(self, datagrams: Sequence[bytes | bytearray | memoryview]) -> int:
        """Send `datagrams` in order; return how many, from the front, are done with.

        Fewer than all means that the socket stayed full for `SEND_WAITS` · `SEND_WAIT_MS`: offer the rest
        again later. Raises UnreachableError when the network is down, UsageError for a datagram too long.
        """
        if self._segment_bytes:
            linux.set_segment(self._socket, 0)
            self._segment_bytes = 0
        send = self._socket.send
        done, waits, refused_at = 0, 0, -1
        while done < len(datagrams):
            try:
                for datagram in islice(datagrams, done, None):
                    send(datagram)
                    done += 1
            except OSError as error:
                if error.errno in BUFFER_FULL:
                    self.stalls += 1
                    if waits == SEND_WAITS:
                        break
                    waits += 1
                    self._wait_for_room()
                elif error.errno == errno.ECONNREFUSED and refused_at != done:
                    # This reports an earlier datagram; the present one has not been tried yet.
                    self.refused += 1
                    refused_at = done
                elif error.errno in DISCARDED or error.errno == errno.ECONNREFUSED:
                    self.refused += 1
                    done += 1
                else:
                    raise explain(error, f"cannot send to {self._name}") from error
        return done

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll(SEND_WAIT_MS)


def _size_buffer(sock: socket.socket, size_bytes: int) -> int:
    """Ask for a receive buffer and return what the kernel gave."""
    if not linux.force_receive_buffer(sock, size_bytes):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
    return linux.granted_receive_buffer_bytes(sock)
