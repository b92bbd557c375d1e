"""Owns putting one file together: symbols go to their places on disk, and a block with enough is repaired.

No symbol is held in memory: what came of a block waits on disk until there is enough of it, over as many
rounds as it takes.
"""

from sealcast.core.errors import FormatError
from sealcast.messages.carousel import CarouselFile
from sealcast.receiver.carouselfolder import CarouselFolder
from sealcast.receiver.carouselmarks import Marks
from sealcast.receiver.carouselrepair import Repairer
from sealcast.wire.alc import SYMBOL_BYTES


class Assembly:
    """One file of the carousel that is not complete yet."""

    def __init__(
        self, file: CarouselFile, repair_percent: int, folder: CarouselFolder, repairer: Repairer
    ) -> None:
        """Go on where an earlier receiver of the folder ended."""
        self.part = f"{file.session:012x}-{repair_percent}"
        self._repair_part, self._marks_part = f"{self.part}.r", f"{self.part}.m"
        self._file, self._folder, self._repairer = file, folder, repairer
        self._percent = repair_percent
        self.repaired_blocks = 0
        kept = folder.read_marks(self._marks_part)
        marks = None if kept is None else Marks.decode(kept, file.size, repair_percent)
        self._marks = marks or Marks(file.size, repair_percent)

    @property
    def parts(self) -> set[str]:
        """The names of what it keeps in the folder."""
        return {self.part, self._repair_part, self._marks_part}

    @property
    def is_complete(self) -> bool:
        """Whether every byte is in its place."""
        return self._marks.is_complete

    @property
    def held_bytes(self) -> int:
        """How much of the file is there, about."""
        return min(self._file.size, self._marks.held_symbols * SYMBOL_BYTES)

    def take(self, toi: int, block: int, esi: int, symbol: memoryview) -> None:
        """Take a symbol; raises LocalError where it cannot be written. 10 µs, and 4 ms for a repair."""
        spot = self._marks.spot(toi, block, esi)
        if spot is None or len(symbol) != SYMBOL_BYTES:
            return
        self._folder.put(
            self._repair_part if spot.is_repair else self.part, spot.offset, symbol[: spot.size_bytes]
        )
        if self._marks.mark(spot):
            self._complete(spot.block)

    def begin_again(self) -> None:
        """Forget all that came: together it was not the file."""
        self.discard()
        self._marks = Marks(self._file.size, self._percent)

    def keep(self) -> None:
        """Leave what is there to the next receiver."""
        self._folder.write_marks(self._marks_part, self._marks.encode())

    def release(self) -> None:
        """Let go of a part that is complete; nothing else is needed any more."""
        self._folder.release(self.part)
        self._folder.discard(self._repair_part)

    def discard(self) -> None:
        """Remove all that was kept."""
        for part in self.parts:
            self._folder.discard(part)

    def _complete(self, number: int) -> None:
        """Make a block whole that has enough symbols."""
        block, there = self._marks.block(number), self._marks.symbols(number)
        count = block.source_symbols
        if there[count - 1] >= count:
            data = self._folder.get(self.part, block.offset, block.size_bytes).ljust(
                count * SYMBOL_BYTES, b"\0"
            )
            repair = self._folder.get(
                self._repair_part, block.repair_offset, block.repair_symbols * SYMBOL_BYTES
            )
            joined = memoryview(data + repair)
            symbols = [(esi, bytes(joined[esi * SYMBOL_BYTES : (esi + 1) * SYMBOL_BYTES])) for esi in there]
            try:
                whole = self._repairer.repair(symbols[:count], count, block.repair_symbols, SYMBOL_BYTES)
            except FormatError:
                self._marks.forget(number)
                return
            self._folder.put(self.part, block.offset, memoryview(whole)[: block.size_bytes])
            self.repaired_blocks += 1
        self._marks.complete(number)
