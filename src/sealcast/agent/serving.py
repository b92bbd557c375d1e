"""Owns an agent's socket: who may connect, a thread for each connection, the way of a frame to its answer.

Only the agent's own user, root, and where a group is named its members are answered. A connection's sessions
end with it.
"""

import contextlib
import itertools
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec
import structlog

from sealcast.agent.copying import THREADS, Copying
from sealcast.agent.desk import SESSIONS_MAX, Desk
from sealcast.agent.sessions import OpenPackage
from sealcast.core.errors import FormatError, RefusedError, SealcastError, UnreachableError
from sealcast.messages import agent
from sealcast.transport.frames import Frame, receive_frame, send_frame
from sealcast.transport.guarding import Peer, peer_of

CONNECTIONS_MAX = 64
WATCH_S = 0.5
"""A device that was pulled out is missed so soon, also by content that is being read."""

END_S_MAX = 3.0
NOT_YOURS, BUSY, DETACHED = "not-yours", "busy", "detached"
_DECODER: msgspec.json.Decoder[agent.Ask] = msgspec.json.Decoder(agent.Ask)

log = structlog.get_logger("sealcast.agent")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who may connect: users by their numbers, and the members of one group if there is one."""

    users: frozenset[int]
    group: int | None = None

    def admits(self, peer: Peer) -> bool:
        """Whether a process may ask."""
        return peer.uid in self.users or (self.group is not None and self.group in peer.groups)


@dataclass(slots=True, eq=False)
class _Connection:
    """One client: its socket and sessions."""

    socket: socket.socket
    sessions: dict[int, OpenPackage] = field(default_factory=dict)


class Server:
    """Serves a listening socket until `close`, which waits `END_S_MAX` for what runs."""

    def __init__(self, listening: socket.socket, desk: Desk, admitted: Admitted) -> None:
        self._listening, self._desk, self._admitted = listening, desk, admitted
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="chunks")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Accept connections from now on."""
        for work in (self._accept, self._watch):
            threading.Thread(target=work, daemon=True, name=work.__name__).start()

    def close(self) -> None:
        """End all connections and the sessions; may be called once."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            threads = list(self._threads)
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)
        deadline_s = time.monotonic() + END_S_MAX
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._desk.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                accepted, _ = self._listening.accept()
            except OSError as error:
                if not self._stop.wait(WATCH_S):
                    log.warning("no connection can be accepted", reason=error.strerror)
                continue
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True, name="client")
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_S):
            self._desk.watch()

    def _serve(self, accepted: socket.socket) -> None:
        connection = _Connection(accepted)
        try:
            with accepted:
                if self._is_welcome(accepted, connection):
                    self._answer_all(connection)
        except (SealcastError, OSError) as error:
            log.debug("a client ended", reason=str(error))
        finally:
            for package in connection.sessions.values():
                self._desk.end(package)
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())

    def _is_welcome(self, accepted: socket.socket, connection: _Connection) -> bool:
        """Whether a client is answered; one that is not hears why."""
        peer = peer_of(accepted)
        if not self._admitted.admits(peer):
            log.warning("another user's program was turned away", user=peer.uid, pid=peer.pid)
            self._say(accepted, RefusedError(NOT_YOURS, "this device agent does not serve your user"))
            return False
        with self._lock:
            is_full = len(self._connections) >= CONNECTIONS_MAX
            if not is_full:
                self._connections.add(connection)
        if is_full:
            self._say(accepted, RefusedError(BUSY, f"{CONNECTIONS_MAX} programs use this agent already"))
        return not is_full

    def _say(self, accepted: socket.socket, error: SealcastError) -> None:
        send_frame(accepted, msgspec.json.encode(_failed(error)))

    def _answer_all(self, connection: _Connection) -> None:
        while not self._stop.is_set():
            frame = receive_frame(connection.socket)
            if frame is None:
                return
            with frame:
                answer = self._answer(frame, connection)
            send_frame(connection.socket, msgspec.json.encode(answer))

    def _answer(self, frame: Frame, connection: _Connection) -> agent.Answer:
        try:
            ask = _DECODER.decode(frame.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _failed(FormatError(f"not an operation of a device agent: {error}"))
        try:
            return self._do(ask, frame.descriptors, connection)
        except SealcastError as error:
            log.info("refused", operation=type(ask).__name__, reason=str(error))
            return _failed(error)
        except Exception:
            log.exception("internal error", operation=type(ask).__name__)
            return agent.Failed(kind="LocalError", detail="internal error: see the log of the device agent")

    def _do(self, ask: agent.Ask, descriptors: list[int], connection: _Connection) -> agent.Answer:
        _check_descriptors(ask, len(descriptors))
        match ask:
            case agent.Open():
                return self._open(descriptors[0], connection)
            case agent.Copy():
                return self._copy(ask, descriptors[0], descriptors[1], connection)
            case agent.Revoked():
                return self._desk.take_revoked(descriptors[0])
            case agent.Close():
                self._desk.end(_session(connection, ask.session))
                del connection.sessions[ask.session]
                return agent.Done()
            case _:
                return self._desk.answer(ask)

    def _open(self, head: int, connection: _Connection) -> agent.Session:
        if len(connection.sessions) >= SESSIONS_MAX:
            raise RefusedError(BUSY, f"a connection has at most {SESSIONS_MAX} packages open")
        package = self._desk.open(head)
        number = next(self._numbers)
        connection.sessions[number] = package
        header = package.header.header
        return agent.Session(
            session=number,
            package=header.id,
            size=header.size,
            chunk_bytes=header.chunk_bytes,
            title=header.title,
            name=header.name,
            media_type=header.media_type,
        )

    def _copy(self, ask: agent.Copy, source: int, sink: int, connection: _Connection) -> agent.Answer:
        """Copy, and say how far it came, whatever ended it."""
        package = _session(connection, ask.session)
        gone = select.poll()
        gone.register(connection.socket, select.POLLRDHUP)

        def check() -> None:
            if self._stop.is_set():
                raise UnreachableError("the device agent ends")
            if not package.is_open or not self._desk.is_in_place():
                package.end()
                raise RefusedError(DETACHED, "the device was taken away")
            if gone.poll(0):
                raise UnreachableError("the program that asked has ended")

        copying = Copying(package, source, check, self._pool)
        try:
            copying.run(ask.offset, ask.length, sink)
        except SealcastError as error:
            if copying.wrong_chunk is not None:
                self._desk.note_wrong_chunk(package, copying.wrong_chunk)
            log.info("content ends early", reason=str(error), bytes=copying.count)
            return _failed(error, copying.count)
        return agent.Copied(count=copying.count)


def _check_descriptors(ask: agent.Ask, count: int) -> None:
    wanted = {agent.Open: 1, agent.Copy: 2, agent.Revoked: 1}.get(type(ask), 0)
    if count != wanted:
        raise FormatError(f"{type(ask).__name__} comes with {wanted} descriptors, not {count}")


def _session(connection: _Connection, number: int) -> OpenPackage:
    package = connection.sessions.get(number)
    if package is None:
        raise FormatError(f"there is no session {number} in this connection")
    return package


def _failed(error: SealcastError, count: int = 0) -> agent.Failed:
    type_ = error.type if isinstance(error, RefusedError) else ""
    return agent.Failed(kind=type(error).__name__, detail=str(error), type=type_, count=count)
