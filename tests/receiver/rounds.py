"""Owns what receivers of a carousel are tested with: a round of its packets, a disk without delay."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from hashlib import sha256
from pathlib import Path
from typing import Any

from sealcast.messages.carousel import CarouselFile, Contents, encode_contents
from sealcast.receiver.carouselcollection import CarouselReport, Collection
from sealcast.receiver.carouselfolder import CarouselFolder
from sealcast.receiver.carouselrepair import Repairer
from sealcast.sender.carouselpackets import Packer
from sealcast.wire.alc import SEGMENT_BYTES

LIMIT_BYTES = 1 << 30


def described(name: str, data: bytes) -> CarouselFile:
    """Return what a list of contents says of a file."""
    return CarouselFile(name, len(data), sha256(data).hexdigest())


def list_packets(files: Iterable[CarouselFile], percent: int = 15) -> list[bytes]:
    """Return the packets of a list of contents."""
    session, data = encode_contents(Contents(1, percent, list(files)))
    return Packer(session, percent, self_contained=True).pack(data, "sealcast:contents")


def file_packets(name: str, data: bytes, percent: int = 15) -> list[bytes]:
    """Return the packets of one file."""
    packer = Packer(described(name, data).session, percent)
    return [
        packet
        for begin in range(0, len(data), SEGMENT_BYTES)
        for packet in packer.pack(data[begin : begin + SEGMENT_BYTES], f"sealcast:{begin}")
    ]


def one_round(files: dict[str, bytes], percent: int = 15) -> list[bytes]:
    """Return a round: the list first, then file after file."""
    packets = list_packets((described(name, data) for name, data in files.items()), percent)
    for name, data in files.items():
        packets += file_packets(name, data, percent)
    return packets


class AtOnce(Executor):
    """Runs a job when it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future


class Receiver:
    """A collection of its own in a folder, without the process around it."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = CarouselFolder(folder)
        self._repairer = Repairer()
        self.collection = Collection(self.folder, self._repairer, AtOnce(), limit_bytes=limit_bytes)

    def take(self, packets: Iterable[bytes]) -> CarouselReport:
        """Take packets, and say how far all is."""
        for packet in packets:
            self.collection.take(memoryview(packet))
            self.collection.poll()
        return self.collection.report(is_last=True)

    def close(self) -> None:
        """End as the process does."""
        self.collection.close()
        self._repairer.close()
        self.folder.close()
