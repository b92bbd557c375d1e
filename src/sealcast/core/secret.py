"""Owns the one type for secret bytes: never printed, compared in constant time, erasable."""

import hmac
from typing import NoReturn


class Secret:
    """Holds secret bytes. `reveal` is the only way to them; `repr` and `str` show the length alone.

    `erase` overwrites our copy. Python may hold others (a cipher object, a copy made by a library); the
    threat model says so.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self._value = bytearray(value)

    def reveal(self) -> bytes:
        """Return the bytes; raises ValueError once erased."""
        if not self._value:
            raise ValueError("this secret has been erased")
        return bytes(self._value)

    def erase(self) -> None:
        """Overwrite and drop the bytes; may be called again."""
        for i in range(len(self._value)):
            self._value[i] = 0
        self._value = bytearray()

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secret({len(self._value)} bytes)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
