"""Owns reading server-sent events from bytes as they come: only the `data` of each event, within bounds.

```
: a ping                a line that begins with a colon says nothing
data: {"kind": …}       one or more; lines end with LF or CRLF
                        an empty line ends the event
```
(WHATWG HTML §9.2; `event`, `id` and `retry` are read over.)
"""

from sealcast.core.errors import FormatError

LINE_BYTES_MAX = 4_096
DATA_BYTES_MAX = 4_096
"""An event of ours has some 200 bytes; whoever sends more of them in one line or event means us harm."""


class EventReader:
    """Takes bytes, in pieces of any size, and gives the data of whole events."""

    __slots__ = ("_data", "_has_data", "_line")

    def __init__(self) -> None:
        self._line = bytearray()
        self._data = bytearray()
        self._has_data = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that `chunk` completes; raises FormatError for one out of bounds."""
        events: list[bytes] = []
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._extend(part)
            line, self._line = bytes(self._line).removesuffix(b"\r"), bytearray()
            if (event := self._take_line(line)) is not None:
                events.append(event)
        self._extend(rest)
        return events

    def _extend(self, part: bytes) -> None:
        if len(self._line) + len(part) > LINE_BYTES_MAX:
            raise FormatError(f"an event stream with a line of more than {LINE_BYTES_MAX} bytes")
        self._line += part

    def _take_line(self, line: bytes) -> bytes | None:
        """Return the event that ends with this line, if one does."""
        if not line:
            event = bytes(self._data) if self._has_data else None
            self._data.clear()
            self._has_data = False
            return event
        name, _, value = line.partition(b":")
        if name == b"data":
            self._take_data(value.removeprefix(b" "))
        return None

    def _take_data(self, value: bytes) -> None:
        if self._has_data:
            self._data += b"\n"
        self._has_data = True
        self._data += value
        if len(self._data) > DATA_BYTES_MAX:
            raise FormatError(f"an event of more than {DATA_BYTES_MAX} bytes")
