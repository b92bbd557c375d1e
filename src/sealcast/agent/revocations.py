"""Owns what an agent knows of revoked escrows: the newest list that a program brought, kept on disk.

The agent asks no server and reads no clock: who buys brings the key server's list, which the operator's
issuing CA signed. An older one than that on the disk changes nothing, so that nobody takes a revocation back.
"""

import os
from pathlib import Path

from sealcast.agent.holding import Held
from sealcast.core.errors import FormatError, RefusedError, SealcastError
from sealcast.device.files import read_private, replace_private
from sealcast.device.revoked import CRL_BYTES_MAX, RevocationList, read_revoked
from sealcast.sealpack.escrowkeys import EscrowKey

CRL_FILE = "crl.der"
REVOKED = "certificate-revoked"


class Revocations:
    """The newest list in a folder; one at a time uses it, as the desk's lock has it."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._path = folder / CRL_FILE
        self._list: RevocationList | None = None
        self._is_read = False

    def take(self, source: int, held: Held) -> None:
        """Take over the list (DER) in a file of which this is a descriptor, and keep it, if it is newer.

        Raises FormatError, and AuthenticationError for one that is not by the operator's issuing CA.
        """
        der = _read(source)
        found = read_revoked(der, held.certificates.issuer)
        known = self._known(held)
        if known is None or known.order < found.order:
            replace_private(self._path, der)
            self._list = found

    def check(self, key: EscrowKey, held: Held) -> None:
        """Raise RefusedError `certificate-revoked`, with its name, for an escrow that was revoked."""
        known = self._known(held)
        if known is not None and known.has(key.escrow.serial):
            raise RefusedError(
                REVOKED, f"the operator has revoked the escrow {key.id}: this device asks it for nothing"
            )

    def _known(self, held: Held) -> RevocationList | None:
        if not self._is_read and self._path.exists():
            try:
                self._list = read_revoked(read_private(self._path), held.certificates.issuer)
            except SealcastError:
                # Of an earlier issuing CA, or damaged: the next one that comes is taken.
                self._list = None
        self._is_read = True
        return self._list


def _read(source: int) -> bytes:
    """Return a whole file, bounded; raises FormatError."""
    data = bytearray()
    try:
        while piece := os.pread(source, 1 << 20, len(data)):
            data += piece
            if len(data) > CRL_BYTES_MAX:
                raise FormatError(f"a list of revoked certificates has at most {CRL_BYTES_MAX} bytes")
    except OSError as error:
        raise FormatError(f"the list of revoked certificates cannot be read: {error.strerror}") from error
    return bytes(data)
