"""Owns giving a package's content to players on this machine over HTTP, any part of it (RFC 9110 §14).

The content goes from the agent into the player's connection; this process has descriptors alone. Whoever is
another user of this machine, or comes by another name than this machine's own (a page in a browser), is
turned away.
"""

import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from sealcast.agent.content import Content, open_content
from sealcast.core.errors import SealcastError, UnreachableError, UsageError
from sealcast.messages.agent import Session
from sealcast.transport.owners import is_ours

HOST = "127.0.0.1"
IDLE_S_MAX = 60.0
POLL_S = 0.2
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
Opener = Callable[[], AbstractContextManager[Content]]

log = structlog.get_logger("sealcast.agent")


class Player:
    """Serves one package at http://127.0.0.1:PORT/ in threads of its own; used in a `with`."""

    def __init__(self, agent: Path, place: str, port: int) -> None:
        """Open the package once, to know what it is, and listen; raises UsageError for a taken port."""
        opener = partial(open_content, agent, place)
        with opener() as content:
            self.about = content.about
        try:
            self._server = _Server((HOST, port), partial(_Handler, self.about, opener))
        except OSError as error:
            raise UsageError(f"cannot listen at {HOST}:{port}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)

    @property
    def url(self) -> str:
        """Where players find it."""
        return f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Its threads end with the program: a player that stands still keeps nobody waiting."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what a request broke at; one that a player gave up is not worth a line."""
        _ = request
        log.debug("a player's request ended", player=str(client_address))


class _Handler(BaseHTTPRequestHandler):
    """One player's connection, with one request after the other."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "sealcast", ""
    timeout = IDLE_S_MAX

    def __init__(self, about: Session, opener: Opener, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's
        self._about, self._opener = about, opener
        super().__init__(*args, **kwargs)

    def do_HEAD(self) -> None:
        """Say what there is."""
        if self._is_welcome():
            self._send_head(HTTPStatus.OK, 0, self._about.size)

    def do_GET(self) -> None:
        """Give all of it, or the one part that is asked for; several parts at once are not given apart."""
        if not self._is_welcome():
            return
        size = self._about.size
        span = _span(self.headers.get("Range"), size) if self._is_same() else None
        if span is None:
            self._send(HTTPStatus.OK, 0, size)
        elif span[0] >= span[1]:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(HTTPStatus.PARTIAL_CONTENT, *span)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's names
        """Send the library's lines to our log, for those who look closely."""
        log.debug("player", line=format % args)

    def _is_welcome(self) -> bool:
        port = self.connection.getsockname()[1]
        is_named = self.headers.get("Host", "") in {f"{name}:{port}" for name in (HOST, "localhost")}
        if is_named and is_ours(self.connection):
            return True
        self.send_error(HTTPStatus.FORBIDDEN, "This content is for its own user, on this machine")
        self.close_connection = True
        return False

    def _is_same(self) -> bool:
        """Whether a part may be given: If-Range names this content, or is not there."""
        return self.headers.get("If-Range", self._tag) == self._tag

    @property
    def _tag(self) -> str:
        return f'"{self._about.package}"'

    def _send_head(self, status: HTTPStatus, begin: int, end: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self._about.media_type or "application/octet-stream")
        self.send_header("Content-Length", str(end - begin))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self._tag)
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{self._about.size}")
        self.end_headers()

    def _send(self, status: HTTPStatus, begin: int, end: int) -> None:
        """Have the agent write a part; where that ends early, the connection does, and the player knows."""
        try:
            with self._opener() as content:
                self._send_head(status, begin, end)
                self.wfile.flush()
                content.write(self.connection.fileno(), begin, end - begin)
        except UnreachableError as error:
            log.info("a player has ended", reason=str(error))
            self.close_connection = True
        except SealcastError as error:
            log.warning("the content ends early", reason=str(error))
            self.close_connection = True


def _span(text: str | None, size: int) -> tuple[int, int] | None:
    """Return begin and end of the one range that is asked for, empty if there is none; None: give it all."""
    match = _RANGE.fullmatch((text or "").replace(" ", ""))
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size if int(suffix) else 0
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < int(first):
        return None
    return int(first), end
