"""Owns the repair of a block of which enough symbols came: Reed-Solomon over GF(2^8), by flute-alc.

The library is given one small FLUTE session for each block, whose headers and file delivery table are made
here: of what came from the network it sees nothing but symbols. Its own receiver would hold whole objects in
memory, write where a name from the network says, and print.
"""

import logging
import os
import struct
from collections.abc import Iterable
from typing import Any

from sealcast.core.errors import FormatError, LocalError

TSI, TOI, TABLE_ID = 1, 1, 1
CODE_POINT = 5
_HEADER = struct.Struct(">BBBBIHH")
_TABLE = struct.Struct(">I")
_FTI = struct.Struct(">HHIHBBI")
_VERSION, _HALF_WORDS = 0x10, 0x10

_TABLE_XML = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<FDT-Instance xmlns="urn:IETF:metadata:2005:FLUTE:FDT" Expires="{expires}">'
    '<File Content-Location="{place}" TOI="1" Content-Length="{size}" Transfer-Length="{size}"/>'
    "</FDT-Instance>"
)
_NEVER_EXPIRES = 0xFFFFFFFF
"""In seconds of NTP, in February 2036: later ones the library takes for past."""


class Repairer:
    """Repairs blocks; keeps one file in memory into which the library writes."""

    def __init__(self) -> None:
        from flute import receiver  # noqa: PLC0415 - an extra

        logging.getLogger("flute").setLevel(logging.ERROR)  # Else it tells of each block.
        self._module: Any = receiver
        self._fd = os.memfd_create("sealcast-block", os.MFD_CLOEXEC)
        self._writer: Any = receiver.ObjectWriterBuilder("/proc/self/fd")
        self._endpoint: Any = receiver.UDPEndpoint("127.0.0.1", 1)
        self._config: Any = receiver.Config()
        self._config.object_timeout_ms = None

    def close(self) -> None:
        """Free the memory."""
        os.close(self._fd)

    def repair(
        self,
        symbols: Iterable[tuple[int, bytes]],
        source_symbols: int,
        repair_symbols: int,
        symbol_bytes: int,
    ) -> bytes:
        """Return the source symbols of a block, of which `source_symbols` different ones are given by ESI.

        Raises LocalError where the library does not give the block. About 2 ms for 200 symbols.
        """
        size_bytes = source_symbols * symbol_bytes
        table = _TABLE_XML.format(
            expires=_NEVER_EXPIRES, place=f"file:///{self._fd}", size=size_bytes
        ).encode()
        os.ftruncate(self._fd, 0)
        receiver = self._module.Receiver(self._endpoint, TSI, self._writer, self._config)
        try:
            receiver.push(_packet(0, len(table), (len(table), 1, 2), 0, table))
            code = symbol_bytes, source_symbols, source_symbols + repair_symbols
            for esi, symbol in symbols:
                receiver.push(_packet(TOI, size_bytes, code, esi, symbol))
        except TypeError as error:
            raise FormatError(f"a block that cannot be repaired: {error}") from error
        block = os.pread(self._fd, size_bytes, 0)
        if len(block) != size_bytes:
            raise LocalError("flute-alc did not repair a block of which enough symbols are here")
        return block


def _packet(toi: int, size_bytes: int, code: tuple[int, int, int], esi: int, symbol: bytes) -> bytes:
    """Return a packet of one block; `code` is symbol length, source symbols, all symbols."""
    table = b"" if toi else _TABLE.pack(192 << 24 | 2 << 20 | TABLE_ID)
    words = (_HEADER.size + len(table) + _FTI.size - 4) // 4
    return b"".join(
        (
            _HEADER.pack(_VERSION, _HALF_WORDS, words, CODE_POINT, 0, TSI, toi),
            table,
            _FTI.pack(0x4003, size_bytes >> 32, size_bytes & 0xFFFFFFFF, *code, esi),
            symbol,
        )
    )
