"""Owns the keys that a process has held, and finds any of them in a text: raw, escaped, hexadecimal, base64.

A key is found by looking up every eight bytes of what the text stands for, so a search costs the length of
the text, however many keys are known. Only the standard library is used: started programs load this file too.
"""

import binascii
import re
from collections.abc import Iterator

KEY_BYTES_MIN = 12
"""An SRTP master salt; anything shorter may stand in a text by chance."""

DISTINCT_BYTES_MIN = 6
"""Keys made of fewer values (all zeros, one byte repeated) are nobody's secret and stand in many a text.
Twelve random bytes have fewer than six with a chance below 10^-12."""

KEYS_MAX = 100_000
"""About 30 MB; past that the oldest are forgotten."""

TEXT_CHARS_MAX = 1 << 20
"""Of a longer text the first and the last half of this are searched."""

_START_BYTES = 8
_HEX_RUN = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES_MIN},}}")
_BASE64_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{4 * KEY_BYTES_MIN // 3},}}")
_LINE_ENDS = re.compile(r"\r|\n|\\r|\\n")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([abfnrtv\\'\"0]))")
_NAMED = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0",
}  # fmt: skip
_TO_STANDARD = str.maketrans("-_", "+/")


class KnownKeys:
    """The keys to look for, each with a word on what it is."""

    def __init__(self) -> None:
        self._kinds: dict[bytes, str] = {}
        self._by_start: dict[bytes, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, key: bytes | bytearray | memoryview, kind: str) -> None:
        """Remember a key; one that is too short, or too simple to tell from chance, is not."""
        value = bytes(key)
        if len(value) < KEY_BYTES_MIN or value in self._kinds or len(set(value)) < DISTINCT_BYTES_MIN:
            return
        if len(self._kinds) >= KEYS_MAX:
            self._forget(next(iter(self._kinds)))
        self._kinds[value] = kind
        self._by_start.setdefault(value[:_START_BYTES], set()).add(value)

    def add_base64(self, text: str, kind: str) -> None:
        """Remember a key given in base64url; what is none is passed over."""
        for data in _from_base64(text, offsets=1):
            self.add(data, kind)

    def find(self, text: str) -> set[str]:
        """Return what stands in `text`, for instance `Secret of 16 bytes in base64`; never the key itself."""
        if len(text) > TEXT_CHARS_MAX:
            half = TEXT_CHARS_MAX // 2
            return self.find(text[:half]) | self.find(text[-half:])
        return {
            f"{self._kinds[key]} of {len(key)} bytes in {form}"
            for form, data in _meanings(text)
            for key in self._keys_in(data)
        }

    def _keys_in(self, data: bytes) -> Iterator[bytes]:
        starts = self._by_start
        for at in range(len(data) - KEY_BYTES_MIN + 1):
            for key in starts.get(data[at : at + _START_BYTES], ()):
                if data.startswith(key, at):
                    yield key

    def _forget(self, key: bytes) -> None:
        del self._kinds[key]
        same_start = self._by_start[key[:_START_BYTES]]
        same_start.discard(key)
        if not same_start:
            del self._by_start[key[:_START_BYTES]]


def _meanings(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield all byte strings that a text may stand for, each with the name of the form."""
    plain = text
    for _ in range(3):
        yield "raw bytes", plain.encode("latin-1", "replace")
        if not plain.isascii():
            yield "raw bytes", plain.encode("utf-8", "surrogatepass")
            yield "raw bytes", plain.encode("utf-8", "replace")
            yield "raw bytes", _lone_bytes(plain)
        # A representation inside a JSON string is escaped twice.
        if "\\" not in plain:
            break
        plain = _ESCAPE.sub(_unescape, plain)
    for run in _HEX_RUN.findall(text):
        for start in (0, 1):
            digits = run[start:]
            yield "hexadecimal", bytes.fromhex(digits[: len(digits) // 2 * 2])
    for run in _BASE64_RUN.findall(_LINE_ENDS.sub("", text)):
        for data in _from_base64(run):
            yield "base64", data


def _lone_bytes(text: str) -> bytes:
    """Return the bytes of a text that was decoded with `surrogateescape`."""
    return b"".join(
        bytes([ord(char) - 0xDC00]) if 0xDC80 <= ord(char) <= 0xDCFF else char.encode("utf-8", "replace")
        for char in text
    )


def _unescape(match: re.Match[str]) -> str:
    byte, unit, name = match.groups()
    return chr(int(byte or unit, 16)) if name is None else _NAMED.get(name, name)


def _from_base64(run: str, offsets: int = 4) -> Iterator[bytes]:
    """Yield what characters of base64, or base64url, hold when they begin at the first, second … of them."""
    standard = run.translate(_TO_STANDARD)
    for offset in range(offsets):
        part = standard[offset:]
        if len(part) % 4 == 1:
            part = part[:-1]
        try:
            yield binascii.a2b_base64(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            continue
