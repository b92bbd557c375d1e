"""Owns reading parts of a file over HTTP: one connection, range requests, a bound on everything."""

import http.client
import re
import ssl
import threading
from urllib.parse import urljoin, urlsplit

from sealcast.core.errors import FormatError, RefusedError, UnreachableError, UsageError

ANSWER_S_MAX = 30.0
REDIRECTS_MAX = 5
PARTIAL, UNSATISFIABLE = 206, 416
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TOTAL_MAX = 2**47
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class Ranges:
    """A file at an address; `total` is its length, as the server says, from the first answer on.

    Nothing of it is believed: a package is verified by who reads it. Safe for several threads, one at a time.
    """

    def __init__(self, url: str) -> None:
        """Keep the address; raises UsageError for one that is none."""
        self._url = url
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()
        self.total = 0
        _parts(url)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()

    def fetch(self, offset: int, length: int) -> bytes:
        """Return bytes from `offset` on: `length` of them, less where the file ends; none for no length.

        Raises UnreachableError where nobody answers, RefusedError for a no, FormatError for an answer that is
        not the range that was asked for.
        """
        if length <= 0 or (self.total and offset >= self.total):
            return b""
        with self._lock:
            for _ in range(1 + REDIRECTS_MAX):
                found = self._once(offset, length)
                if found is not None:
                    return found
        raise UnreachableError(f"{self._url} leads on and on")

    def _once(self, offset: int, length: int) -> bytes | None:
        """Ask once, and once more over a fresh connection where the old one was closed; None: go on there."""
        for attempt in range(2):
            try:
                reply = self._ask(offset, length)
                break
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest) as error:
                self._drop()
                if attempt:
                    raise UnreachableError(f"{self._url} ends the connection") from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                raise UnreachableError(f"{self._url} does not answer: {error}") from error
        try:
            return self._read(reply, offset, length)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise UnreachableError(f"{self._url} ends in the middle of its answer") from error

    def _ask(self, offset: int, length: int) -> http.client.HTTPResponse:
        scheme, host, port, path = _parts(self._url)
        if self._connection is None:
            self._connection = (
                http.client.HTTPSConnection(
                    host, port, timeout=ANSWER_S_MAX, context=ssl.create_default_context()
                )
                if scheme == "https"
                else http.client.HTTPConnection(host, port, timeout=ANSWER_S_MAX)
            )
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        self._connection.request("GET", path, headers=headers)
        return self._connection.getresponse()

    def _read(self, reply: http.client.HTTPResponse, offset: int, length: int) -> bytes | None:
        if reply.status in REDIRECTS:
            self._drop()
            self._url = urljoin(self._url, reply.getheader("Location") or "")
            _parts(self._url)
            return None
        if reply.status != PARTIAL:
            self._drop()
            raise _no(self._url, reply.status)
        match = _CONTENT_RANGE.fullmatch(reply.getheader("Content-Range") or "")
        if match is None:
            raise self._other()
        first, last, total = map(int, match.groups())
        if first != offset or not first <= last < min(offset + length, total) or total > TOTAL_MAX:
            raise self._other()
        if self.total not in {0, total} or last + 1 < min(offset + length, total):
            raise self._other()
        self.total = total
        data = reply.read(last - first + 1)
        if len(data) != last - first + 1 or reply.read(1):
            raise self._other()
        return data

    def _other(self) -> FormatError:
        self._drop()
        return FormatError(f"{self._url} answers with another part than was asked for, or has changed")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path of an address; raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not an address: {url}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"not an address of the web: {url}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port, path


def _no(url: str, status: int) -> Exception:
    if status == http.client.OK:
        return FormatError(f"{url} gives whole files only, no parts: download it, then play the file")
    if status == UNSATISFIABLE:
        return FormatError(f"{url} ends before the package does")
    return RefusedError("http", f"{url} answers with status {status}", status)
