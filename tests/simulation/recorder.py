"""Owns the recorder of nonces: every (key, IV) under which a simulated sender sealed anything."""

from collections import Counter
from typing import Self

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.wire import srtp

Buffer = bytes | bytearray | memoryview


class Recorder:
    """Every (key, IV) under which anything was sealed, data and control alike."""

    def __init__(self) -> None:
        self.used: Counter[tuple[bytes, bytes]] = Counter()

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Record all that is sealed from now on, by any session."""
        recorder = cls()
        monkeypatch.setattr(srtp, "AESGCM", recorder.aead)
        return recorder

    def aead(self, key: bytes) -> "RecordingAead":
        """Return what takes the place of an AESGCM object."""
        return RecordingAead(key, self)

    def assert_fresh(self, at_least: int = 500) -> None:
        """No pair came twice, and there were enough to tell."""
        assert len(self.used) >= at_least
        assert self.used.most_common(1)[0][1] == 1


class RecordingAead:
    """AES-GCM that notes what it seals."""

    def __init__(self, key: bytes, recorder: Recorder) -> None:
        self._key, self._aead, self._used = key, AESGCM(key), recorder.used

    def encrypt(self, iv: bytes, data: bytes, aad: bytes) -> bytes:
        """Seal, and note the pair."""
        self._used[self._key, iv] += 1
        return self._aead.encrypt(iv, data, aad)

    def encrypt_into(self, iv: bytes, data: Buffer, aad: Buffer, into: Buffer) -> int:
        """Seal into a buffer, and note the pair."""
        self._used[self._key, bytes(iv)] += 1
        return self._aead.encrypt_into(iv, data, aad, into)

    def decrypt_into(self, iv: bytes, data: Buffer, aad: Buffer, into: Buffer) -> int:
        """Open into a buffer."""
        return self._aead.decrypt_into(iv, data, aad, into)

    def decrypt(self, iv: bytes, data: bytes, aad: bytes) -> bytes:
        """Open."""
        return self._aead.decrypt(iv, data, aad)
