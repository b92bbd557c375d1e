"""Shows that what was packed comes back from any place, and that nothing comes back of a changed package."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError, UsageError
from sealcast.messages.jwk import new_p256_pair
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.chunks import ChunkCipher
from sealcast.sealpack.header import CheckedHeader
from sealcast.sealpack.layout import GROUP_CHUNKS, PREFIX_BYTES, SEALED_BYTES
from sealcast.sealpack.licence import open_content_key, seal_content_key
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Draft, Seller, Terms, content_size, draft, write_package
from sealcast.sealpack.reading import ContentReader, PackageFile
from sealcast.testing import SimRandom
from sealpack.makers import OPERATOR, RANDOM, WALL_MS, escrow, operator, seller

GROUP_BYTES = GROUP_CHUNKS * CHUNK_BYTES
CA = operator().ca_pem


def a_seller() -> Seller:
    """Return the seller as it packs."""
    return Seller("studio", OPERATOR, seller().certificates, seller().signing, CA)


def a_draft(size: int, name: str = "film.mp4", **changed: object) -> Draft:
    """Return a draft for the first escrow."""
    fields: dict[str, object] = {
        "title": "A film",
        "name": name,
        "media_type": "video/mp4",
        "escrows": (escrow().packed(),),
        "threshold": 1,
        **changed,
    }
    return draft(Terms(**fields), size, a_seller(), RANDOM, WALL_MS)  # type: ignore[arg-type]


def packed(folder: Path, content: bytes, name: str = "film") -> tuple[Path, Draft]:
    """Return a package of some content, and its draft."""
    source, target = folder / f"{name}.mp4", folder / f"{name}.sealpack"
    source.write_bytes(content)
    made = a_draft(len(content))
    with NewFile(target) as file:
        write_package(made, source, file)
        file.keep()
    return target, made


def reader_of(package: PackageFile, made: Draft) -> ContentReader:
    """Return a reader of a package's content."""
    header = package.believe(CA)
    return ContentReader(package, header, ChunkCipher(made.content_key, header.package_id))


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return content of two groups, the second of three chunks, the last of them not full."""
    return SimRandom(5).bytes(GROUP_BYTES + 2 * CHUNK_BYTES + 777)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> tuple[Path, Draft]:
    """Return a package of that content."""
    return packed(tmp_path_factory.mktemp("large"), content)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES])
def test_it_comes_back(tmp_path: Path, size: int) -> None:
    """Content of any length comes back, from a file as long as the header says."""
    original = SimRandom(size).bytes(size)
    path, made = packed(tmp_path, original)
    with PackageFile(path) as package:
        assert package.verify(package.believe(CA)) == package.layout.chunks
        assert path.stat().st_size == package.layout.total
        assert reader_of(package, made).read(0, size + 5) == original


def test_it_is_read_from_any_place(large: tuple[Path, Draft], content: bytes) -> None:
    """Reads at borders of chunks and groups, backwards too, and beyond the end."""
    path, made = large
    with PackageFile(path) as package:
        reader = reader_of(package, made)
        for offset, length in (
            (GROUP_BYTES - 3, 7),
            (len(content) - 5, 100),
            (0, 3),
            (CHUNK_BYTES, CHUNK_BYTES),
            (5 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES),
            (len(content), 10),
        ):
            assert reader.read(offset, length) == content[offset : offset + length]


def test_a_seller_with_p256_keys_packs(tmp_path: Path) -> None:
    """Signatures that differ each time, as a token makes them, still leave the header's length as it was."""
    signing, kek = new_p256_pair(RANDOM), new_p256_pair(RANDOM)
    issued = operator().issuer.certify(
        id="studio", role="seller", signing=signing.public(), kek=kek.public(), wall_ms=WALL_MS
    )
    who = Seller("studio", OPERATOR, issued.certificates, signing, CA)
    terms = Terms("A film", "film.mp4", "video/mp4", (escrow().packed(),), 1)
    source, target = tmp_path / "film.mp4", tmp_path / "film.sealpack"
    source.write_bytes(b"content")
    made = draft(terms, 7, who, RANDOM, WALL_MS)
    with NewFile(target) as file:
        write_package(made, source, file)
        file.keep()
    with PackageFile(target) as package:
        assert reader_of(package, made).read(0, 7) == b"content"
    kept = seal_content_key(made.content_key, made.header.id, kek.public(), "studio")
    assert open_content_key(kept, made.header.id, kek) == made.content_key


def test_packed_twice_has_nothing_in_common(tmp_path: Path) -> None:
    """Each packing has its own id and content key."""
    one, first = packed(tmp_path, bytes(CHUNK_BYTES), "one")
    two, second = packed(tmp_path, bytes(CHUNK_BYTES), "two")
    assert first.header.id != second.header.id
    assert first.content_key != second.content_key
    assert one.read_bytes()[-1_000:] != two.read_bytes()[-1_000:]


def swap(data: bytearray, one: int, other: int, size: int) -> None:
    """Exchange two places."""
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


Change = Callable[[bytearray, PackageFile], int | None]


def flip(place: Callable[[PackageFile], int]) -> Change:
    """Return a change of one bit."""

    def change(data: bytearray, package: PackageFile) -> None:
        data[place(package)] ^= 4

    return change


def swap_chunks(data: bytearray, package: PackageFile) -> None:
    """Exchange two chunks and leave the leaves."""
    swap(data, package.layout.chunk_span(1)[0], package.layout.chunk_span(2)[0], SEALED_BYTES)


def swap_chunks_and_leaves(data: bytearray, package: PackageFile) -> None:
    """Exchange two chunks and their leaves."""
    swap_chunks(data, package)
    swap(data, package.layout.leaves_at + 32, package.layout.leaves_at + 64, 32)


def swap_chunks_of_groups(data: bytearray, package: PackageFile) -> None:
    """Exchange two chunks of different groups."""
    swap(data, package.layout.chunk_span(1)[0], package.layout.chunk_span(GROUP_CHUNKS)[0], SEALED_BYTES)


def change_signature(data: bytearray, package: PackageFile) -> None:
    """Write another letter of base64url in the seller's signature."""
    place = PREFIX_BYTES + len(package.token) - 3
    data[place] = ord("A") if data[place] != ord("A") else ord("B")


@pytest.mark.parametrize(
    ("change", "match", "chunk"),
    [
        (flip(lambda p: p.layout.chunk_span(7)[0] + 100), "chunk 7 is not", 7),
        (flip(lambda p: sum(p.layout.chunk_span(7)) - 1), "chunk 7 is not", 7),
        (flip(lambda p: p.layout.total - 1), "chunk 258 is not", 258),
        (swap_chunks, "chunk 1 is not", 1),
        (swap_chunks_and_leaves, "hashes of chunks from 0", 1),
        (swap_chunks_of_groups, "chunk 1 is not", 256),
        (flip(lambda p: p.layout.leaves_at + 32 * 7), "hashes of chunks from 0", 7),
        (flip(lambda p: p.layout.leaves_at + 32 * 257), "hashes of chunks from 256", 257),
        (flip(lambda p: p.layout.tops_at + 1), "not those that the seller signed", 0),
        (flip(lambda _: PREFIX_BYTES + 2_000), ".", 0),
        (change_signature, "does not verify", 0),
    ],
)
def test_a_changed_package_is_refused_at_the_chunk(
    large: tuple[Path, Draft], tmp_path: Path, change: Change, match: str, chunk: int
) -> None:
    """A bit changed, chunks exchanged with or without their hashes: named, and nothing given of it."""
    path, made = large
    data = bytearray(path.read_bytes())
    with PackageFile(path) as package:
        change(data, package)
    changed = tmp_path / "changed.sealpack"
    changed.write_bytes(data)
    with pytest.raises(RemoteError, match=match), PackageFile(changed) as package:
        package.verify(package.believe(CA))
    with pytest.raises(RemoteError), PackageFile(changed) as package:
        reader_of(package, made).chunk(chunk)


def test_the_others_are_given(large: tuple[Path, Draft], content: bytes, tmp_path: Path) -> None:
    """Of a package with one chunk damaged, all others open."""
    path, made = large
    data = bytearray(path.read_bytes())
    with PackageFile(path) as package:
        data[package.layout.chunk_span(7)[0]] ^= 1
    changed = tmp_path / "changed.sealpack"
    changed.write_bytes(data)
    with PackageFile(changed) as package:
        reader = reader_of(package, made)
        for start in (6 * CHUNK_BYTES, 8 * CHUNK_BYTES):
            assert reader.read(start, CHUNK_BYTES) == content[start : start + CHUNK_BYTES]
        with pytest.raises(AuthenticationError, match="chunk 7 is not"):
            reader.read(6 * CHUNK_BYTES, 2 * CHUNK_BYTES)


@pytest.mark.parametrize("cut", [-1, -SEALED_BYTES, -1_000_000, 1, SEALED_BYTES])
def test_a_package_of_another_length_is_refused_when_opened(
    large: tuple[Path, Draft], tmp_path: Path, cut: int
) -> None:
    """A byte or a chunk less, or more, is seen before anything is read."""
    data = large[0].read_bytes()
    changed = tmp_path / "changed.sealpack"
    changed.write_bytes(data[:cut] if cut < 0 else data + data[-cut:])
    with pytest.raises(FormatError, match=r"not all there|bytes more"):
        PackageFile(changed)


@pytest.mark.parametrize("size", [0, 5, PREFIX_BYTES, 500])
def test_what_is_cut_within_its_header(large: tuple[Path, Draft], tmp_path: Path, size: int) -> None:
    """Whatever is left of a beginning is refused."""
    changed = tmp_path / "changed.sealpack"
    changed.write_bytes(large[0].read_bytes()[:size])
    with pytest.raises(FormatError):
        PackageFile(changed)


def test_content_under_another_header(tmp_path: Path) -> None:
    """Content of one package behind the header of another, of the same length, is refused."""
    one, first = packed(tmp_path, SimRandom(1).bytes(100_000), "one")
    two, _ = packed(tmp_path, SimRandom(2).bytes(100_000), "two")
    with PackageFile(one) as package:
        behind = package.layout.tops_at
    spliced = tmp_path / "spliced.sealpack"
    spliced.write_bytes(one.read_bytes()[:behind] + two.read_bytes()[behind:])
    with PackageFile(spliced) as package, pytest.raises(AuthenticationError, match="seller signed"):
        reader_of(package, first)


def test_who_has_the_content_key_cannot_pass_other_content(tmp_path: Path) -> None:
    """Chunks sealed anew with the right content key do not have the seller's root."""
    path, made = packed(tmp_path, bytes(100_000))
    data = bytearray(path.read_bytes())
    with PackageFile(path) as package:
        header: CheckedHeader = package.believe(CA)
        at, size = package.layout.chunk_span(0)
        forged = bytearray(size)
        cipher = ChunkCipher(made.content_key, header.package_id)
        cipher.seal(0, b"x" * CHUNK_BYTES, forged, is_last=False)
        data[at : at + size] = forged
    path.write_bytes(data)
    with PackageFile(path) as package, pytest.raises(AuthenticationError, match="chunk 0 is not"):
        reader_of(package, made).chunk(0)


def test_a_package_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    """A medium that ends early, after the file was opened, is said."""
    path, made = packed(tmp_path, bytes(3 * CHUNK_BYTES))
    with PackageFile(path) as package:
        reader = reader_of(package, made)
        os.truncate(path, path.stat().st_size - 10)
        with pytest.raises(FormatError, match="shorter"):
            reader.chunk(2)


def test_content_that_changes_is_not_packed(tmp_path: Path) -> None:
    """A file that is not as long as it was said, or is written to meanwhile, leaves no package."""
    source, target = tmp_path / "film.mp4", tmp_path / "film.sealpack"
    source.write_bytes(bytes(1_000))
    with NewFile(target) as file, pytest.raises(UsageError, match="changed while it was packed"):
        write_package(a_draft(999), source, file)

    def touch(_: int) -> None:
        os.utime(source, ns=(1, 1))

    with NewFile(target) as file, pytest.raises(UsageError, match="changed while it was packed"):
        write_package(a_draft(1_000), source, file, touch)
    assert not target.exists()


def test_content_that_is_cut_while_it_is_packed(tmp_path: Path) -> None:
    """A file that shrinks under a packing ends it with an error, not the program."""
    source = tmp_path / "film.mp4"
    source.write_bytes(bytes(4 * GROUP_BYTES))
    made = a_draft(source.stat().st_size)
    cut = threading.Event()

    class Cutting(NewFile):
        """Cuts the source once the first bytes are written."""

        def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
            if not cut.is_set():
                cut.set()
                os.truncate(source, 1)
            super().write_at(data, offset)

    with Cutting(tmp_path / "x") as file, pytest.raises(UsageError, match="changed while it was packed"):
        write_package(made, source, file)


def test_progress_is_told(tmp_path: Path, content: bytes) -> None:
    """The last word is that all groups are done."""
    source = tmp_path / "film.mp4"
    source.write_bytes(content)
    told: list[int] = []
    with NewFile(tmp_path / "film.sealpack") as file:
        write_package(a_draft(len(content)), source, file, told.append)
    assert told[-1] == 2


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    """A folder, a pipe, or nothing, is refused by name."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "absent"):
        with pytest.raises(UsageError):
            content_size(tmp_path / name)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"title": "a\nb"}, "do not print"),
        ({"name": "a/b"}, "not that of a file"),
        ({"threshold": 2}, "threshold of 2"),
        ({"is_licensed": True}, "threshold of 2 to 2"),
        ({"escrows": (escrow().packed(seller="another"),)}, "for sales of another"),
        ({"escrows": (escrow().packed(), escrow().packed()), "threshold": 2}, "twice"),
    ],
)
def test_terms_that_no_reader_would_believe(changed: dict[str, object], match: str) -> None:
    """What a buyer would refuse is refused before a byte is written."""
    with pytest.raises(RemoteError, match=match):
        a_draft(10, **changed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a package of two chunks."""
    return packed(tmp_path_factory.mktemp("small"), bytes(70_000))[0].read_bytes()


@settings(max_examples=60)
@given(data=st.data())
def test_no_change_goes_unseen(small: bytes, data: st.DataObject) -> None:
    """Whichever byte of a package is changed, in prefix, header, hashes or content, it is refused."""
    place = data.draw(st.one_of(st.integers(0, len(small) - 1), st.integers(0, 10_000)))
    changed = bytearray(small)
    changed[place] ^= data.draw(st.integers(1, 255))
    descriptor = os.memfd_create("package")
    os.write(descriptor, changed)
    with pytest.raises(RemoteError), PackageFile(descriptor) as package:
        package.verify(package.believe(CA))
