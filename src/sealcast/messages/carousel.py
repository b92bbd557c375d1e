"""Owns the list of contents of a carousel, which says what files go round and how they are protected.

```
SHA-256 of the JSON 32 ‖ JSON {"version": 1, "repair_percent": 15, "files": [{"name", "size", "sha256"}]}
```
It travels as a FLUTE object in sessions of its own (`wire.alc`). Everything in it is what somebody sent who
has the channel's key: names and sizes are judged before anything is done with them.
"""

import hashlib
import unicodedata
from typing import Annotated

import msgspec

from sealcast.core.errors import FormatError
from sealcast.wire.alc import CONTENTS_TSI, FILE_BYTES_MAX, FILE_TSI_BIT, REPAIR_PERCENT_MAX

FILES_MAX = 10_000
CONTENTS_BYTES_MAX = 4 << 20
"""What 10,000 files with long names take."""

NAME_BYTES_MAX = 200
"""File systems take 255, and a receiver's own names beside it are longer."""

DIGEST_BYTES = 32

_TEMPORARY = ("~", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", ".swx")


class CarouselFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its name, its size in bytes, and the SHA-256 of all of it in hex."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_BYTES_MAX)]
    size: Annotated[int, msgspec.Meta(ge=0, le=FILE_BYTES_MAX)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

    @property
    def session(self) -> int:
        """The TSI that carries it: the same from every sender that has the same file of that name."""
        said = f"{self.name}\0{self.size}\0{self.sha256}".encode()
        return FILE_TSI_BIT | int.from_bytes(hashlib.sha256(said).digest()[:6], "big")


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that goes round: `repair_percent` is how many repair symbols there are for 100 source symbols."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    repair_percent: Annotated[int, msgspec.Meta(ge=1, le=REPAIR_PERCENT_MAX)]
    files: Annotated[list[CarouselFile], msgspec.Meta(max_length=FILES_MAX)]


def encode_contents(contents: Contents) -> tuple[int, bytes]:
    """Return the session that carries a list, and its bytes."""
    text = msgspec.json.encode(contents)
    digest = hashlib.sha256(text).digest()
    return CONTENTS_TSI | int.from_bytes(digest[:4], "big"), digest + text


def decode_contents(data: bytes | memoryview) -> Contents:
    """Read a list; raises FormatError. Names in it may still be hostile, see `refusal`."""
    digest, text = bytes(data[:DIGEST_BYTES]), bytes(data[DIGEST_BYTES:])
    if hashlib.sha256(text).digest() != digest:
        raise FormatError("a carousel's list of contents whose digest does not fit")
    try:
        contents = msgspec.json.decode(text, type=Contents)
    except msgspec.DecodeError as error:
        raise FormatError(f"not a carousel's list of contents: {error}") from error
    if len({file.name for file in contents.files}) != len(contents.files):
        raise FormatError("a carousel's list of contents names a file twice")
    if len({file.session for file in contents.files}) != len(contents.files):
        raise FormatError("a carousel's list of contents has two files in one session")
    return contents


def refusal(name: str) -> str | None:
    """Return why a file of that name is neither sent nor written, None if it may be.

    What is left is one plain name within one folder: no path, nothing hidden, nothing that a terminal would
    obey or that two systems would read differently.
    """
    is_odd = name != name.strip() or name != unicodedata.normalize("NFC", name)
    reasons = (
        (not name.isprintable(), "characters that cannot be printed"),
        (len(name.encode(errors="replace")) > NAME_BYTES_MAX, f"more than {NAME_BYTES_MAX} bytes"),
        ("/" in name or "\\" in name, "a path in it"),
        (name.startswith(".") or not name.strip(), "the form of a hidden file's"),
        (name.lower().endswith(_TEMPORARY), "the form of a temporary file's"),
        (is_odd, "another form on other systems"),
    )
    return next((f"its name has {reason}" for is_so, reason in reasons if is_so), None)
