"""Owns the list of contents as it comes in packets: gathers, repairs and reads it.

Whoever has the channel's key can send one. Few are gathered at a time, in bounded memory, and a list that is
not whole by its own digest changes nothing.
"""

from collections import OrderedDict

from sealcast.core.errors import FormatError, LocalError
from sealcast.messages.carousel import CONTENTS_BYTES_MAX, Contents, decode_contents
from sealcast.receiver.carouselrepair import Repairer
from sealcast.wire.alc import (
    BLOCK_SYMBOLS,
    CONTENTS_SYMBOL_BYTES,
    TransferInfo,
    is_contents,
    read_self_contained,
    shape_of,
)

GATHERED_MAX = 3
"""Lists gathered at a time: the present one, the next, and one that somebody made up; 5 MB each at most."""

SYMBOLS_MAX = 255


class ContentsReader:
    """Gives each new list of contents once."""

    def __init__(self, repairer: Repairer) -> None:
        self._repairer = repairer
        self._gathered: OrderedDict[int, _Gathered] = OrderedDict()
        self._present: int | None = None
        self.refused = 0
        """Packets and lists that made no sense."""

    def take(self, packet: memoryview) -> Contents | None:
        """Take a packet of any kind; return the list that it completes, if it does and is a new one."""
        try:
            read = read_self_contained(packet)
            if read is None or not is_contents(read[0]) or read[0] == self._present:
                return None
            tsi, block, esi, info, symbol = read
            gathered = self._gathered.get(tsi)
            if gathered is None:
                self._gathered[tsi] = gathered = _Gathered(info)
                if len(self._gathered) > GATHERED_MAX:
                    self._gathered.popitem(last=False)
            self._gathered.move_to_end(tsi)
            if not gathered.take(block, esi, info, symbol):
                return None
            del self._gathered[tsi]
            contents = gathered.read(self._repairer)
        except (FormatError, LocalError):
            self.refused += 1
            return None
        self._present = tsi
        return contents


class _Gathered:
    """The symbols of one list."""

    def __init__(self, info: TransferInfo) -> None:
        """Begin with what its first packet says; raises FormatError where that is no list."""
        if (info.symbol_bytes, info.block_symbols) != (CONTENTS_SYMBOL_BYTES, BLOCK_SYMBOLS):
            raise FormatError("a list of contents that is cut in another way")
        if info.size_bytes > CONTENTS_BYTES_MAX or info.max_n > SYMBOLS_MAX:
            raise FormatError("a list of contents that is too long")
        self._info = info
        self._shape = shape_of(info.size_bytes, CONTENTS_SYMBOL_BYTES)
        self._blocks: list[dict[int, bytes]] = [{} for _ in range(self._shape.blocks)]
        self._open = self._shape.blocks

    def take(self, block: int, esi: int, info: TransferInfo, symbol: memoryview) -> bool:
        """Take a symbol; True if all blocks have enough now. Raises FormatError for one of another list."""
        source = self._shape.source_symbols(block)
        if info != self._info or block >= self._shape.blocks or esi >= source + self._repair:
            raise FormatError("a packet of another list of contents")
        symbols = self._blocks[block]
        if esi not in symbols and len(symbols) < source:
            symbols[esi] = bytes(symbol)
            self._open -= len(symbols) == source
        return not self._open

    def read(self, repairer: Repairer) -> Contents:
        """Put it together and read it; raises FormatError."""
        whole = []
        for block, symbols in enumerate(self._blocks):
            source = self._shape.source_symbols(block)
            if max(symbols) < source:
                whole += [symbols[esi] for esi in range(source)]
            else:
                whole.append(
                    repairer.repair(sorted(symbols.items()), source, self._repair, CONTENTS_SYMBOL_BYTES)
                )
        return decode_contents(b"".join(whole)[: self._info.size_bytes])

    @property
    def _repair(self) -> int:
        return self._info.max_n - self._info.block_symbols
