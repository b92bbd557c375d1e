"""Shows that content comes out of an agent whole and verified, or not at all, wherever it is written to."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.agents import Agent, Package, buy, new_order, pack, running_agent
from sealcast.client.agent import AgentClient, Written
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError, UnreachableError
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import TYP_FAULT, Fault
from sealcast.messages.package import CHUNK_BYTES
from sealpack.makers import RANDOM, escrow, operator

CONTENT = RANDOM.bytes(300 * CHUNK_BYTES + 1_234)
"""Two groups of hashes and several segments."""


@dataclass
class Reader:
    """A connection with one package open."""

    client: AgentClient
    package: Package
    folder: Path
    session: int

    def read(self, offset: int, length: int, file: Path | None = None) -> tuple[bytes, Written]:
        """Return what came into a file, and what the agent says of it."""
        into = self.folder / "sink"
        with (file or self.package.path).open("rb") as source, into.open("wb") as sink:
            written = self.client.copy(self.session, offset, length, source.fileno(), sink.fileno())
        return into.read_bytes(), written


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """Run an agent."""
    party = operator().party("TV-0003", "device")
    with running_agent(tmp_path_factory.mktemp("agent"), party) as started:
        yield started


@pytest.fixture(scope="module")
def reader(running: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Return a connection with a package open that was bought."""
    folder = tmp_path_factory.mktemp("package")
    package = pack(folder / "film.sealpack", CONTENT)
    with running.client() as client, package.path.open("rb") as head:
        buy(client, package, {1: escrow(0)})
        yield Reader(client, package, folder, client.open(head.fileno()).session)


def changed(reader: Reader, at: int, data: bytes) -> Path:
    """Return a copy of the package with other bytes at a place."""
    file = reader.folder / "changed"
    whole = bytearray(reader.package.path.read_bytes())
    whole[at : at + len(data)] = data
    file.write_bytes(whole)
    return file


def test_all_of_it(reader: Reader) -> None:
    """The whole content is the seller's, bit for bit."""
    content, written = reader.read(0, len(CONTENT))
    assert written == Written(len(CONTENT))
    assert content == CONTENT


@given(st.integers(0, len(CONTENT)), st.integers(0, 3 * CHUNK_BYTES))
def test_any_part(reader: Reader, offset: int, length: int) -> None:
    """Any part is that part, across chunks and groups."""
    length = min(length, len(CONTENT) - offset)
    content, written = reader.read(offset, length)
    assert written == Written(length)
    assert content == CONTENT[offset : offset + length]


def test_beyond_the_end(reader: Reader) -> None:
    """What lies behind the end is refused, not cut."""
    content, written = reader.read(len(CONTENT) - 1, 2)
    assert (content, written.count) == (b"", 0)
    assert isinstance(written.error, FormatError)


@pytest.mark.parametrize("chunk", [0, 1, 255, 256, 299, 300])
def test_corrupted_chunk(reader: Reader, chunk: int) -> None:
    """Of a chunk with one other bit nothing is given out; what is before it is; the error names it."""
    place = reader.package.place_of(chunk) + 7
    byte = reader.package.path.read_bytes()[place]
    content, written = reader.read(0, len(CONTENT), changed(reader, place, bytes((byte ^ 1,))))
    assert content == CONTENT[: chunk * CHUNK_BYTES]
    assert written.count == len(content)
    assert isinstance(written.error, AuthenticationError)
    assert f"chunk {chunk} " in str(written.error)


def test_chunks_in_another_order(reader: Reader) -> None:
    """Two chunks that changed places are refused at the first of them; so is one of another package."""
    sealed = CHUNK_BYTES + 16
    whole = reader.package.path.read_bytes()
    first, second = reader.package.place_of(4), reader.package.place_of(5)
    file = changed(reader, first, whole[second : second + sealed] + whole[first : first + sealed])
    content, written = reader.read(0, len(CONTENT), file)
    assert (len(content), "chunk 4 " in str(written.error)) == (4 * CHUNK_BYTES, True)
    other = pack(reader.folder / "other", CONTENT)
    file = changed(reader, first, other.path.read_bytes()[first : first + sealed])
    content, written = reader.read(4 * CHUNK_BYTES, 10, file)
    assert (content, "chunk 4 " in str(written.error)) == (b"", True)


def test_changed_hashes(reader: Reader) -> None:
    """Leaves and tops that the seller did not sign are refused, before any chunk under them."""
    layout = reader.package.header.layout
    content, written = reader.read(0, len(CONTENT), changed(reader, layout.leaves_span(1)[0], bytes(32)))
    assert content == CONTENT[: 256 * CHUNK_BYTES]
    assert "hashes of chunks from 256" in str(written.error)
    with (
        changed(reader, layout.tops_at, bytes(32)).open("rb") as head,
        pytest.raises(AuthenticationError, match="hashes"),
    ):
        reader.client.open(head.fileno())


@pytest.mark.parametrize(("by", "how"), [(-1, "cut short"), (-70_000, "cut short"), (1, "longer")])
def test_another_length(reader: Reader, by: int, how: str) -> None:
    """A package that was cut short or made longer is refused when it is opened."""
    file = reader.folder / "length"
    whole = reader.package.path.read_bytes()
    file.write_bytes((whole + b"\x00")[: len(whole) + by])
    with file.open("rb") as head, pytest.raises(FormatError, match=how):
        reader.client.open(head.fileno())


def test_cut_while_it_is_read(reader: Reader) -> None:
    """A file that becomes shorter after it was opened ends the copy there, and the agent lives."""
    file = reader.folder / "shrinking"
    file.write_bytes(reader.package.path.read_bytes()[: reader.package.place_of(10) + 5])
    content, written = reader.read(0, len(CONTENT), file)
    assert content == CONTENT[: 10 * CHUNK_BYTES]
    assert "ends before chunk 10" in str(written.error)
    assert reader.read(0, 10)[0] == CONTENT[:10]


def test_no_key_for_another_header(reader: Reader) -> None:
    """A header of another package, or one with another signature, opens nothing."""
    other = pack(reader.folder / "unbought", b"x")
    with other.path.open("rb") as head, pytest.raises(RefusedError, match="no key to this package"):
        reader.client.open(head.fileno())
    with (
        changed(reader, 8, b"\xff").open("rb") as head,
        pytest.raises(FormatError, match="version"),
    ):
        reader.client.open(head.fileno())


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_small_content(running: Agent, tmp_path: Path, size: int) -> None:
    """Content of no byte, of one, of one chunk exactly: it comes out as it went in."""
    package = pack(tmp_path / "small", CONTENT[:size])
    with running.client() as client, package.path.open("rb") as head:
        buy(client, package, {1: escrow(0)})
        reader = Reader(client, package, tmp_path, client.open(head.fileno()).session)
        assert reader.read(0, size) == (CONTENT[:size], Written(size))


def test_empty_content_is_verified(running: Agent, tmp_path: Path) -> None:
    """Also of content without a byte the tag is checked."""
    package = pack(tmp_path / "empty", b"", spoiled=0)
    with running.client() as client, package.path.open("rb") as head:
        buy(client, package, {1: escrow(0)})
        reader = Reader(client, package, tmp_path, client.open(head.fileno()).session)
        assert isinstance(reader.read(0, 0)[1].error, AuthenticationError)


def test_seller_that_signed_rubbish(running: Agent, tmp_path: Path) -> None:
    """The device says, signed, that a chunk of the seller's does not open; of a bad copy it does not."""
    package, order = pack(tmp_path / "p", CONTENT, spoiled=2), new_order()
    with running.client() as client, package.path.open("rb") as head:
        buy(client, package, {1: escrow(0)}, order)
        reader = Reader(client, package, tmp_path, client.open(head.fileno()).session)
        damaged = changed(reader, package.place_of(1), b"damaged")
        assert "chunk 1 " in str(reader.read(0, len(CONTENT), damaged)[1].error)
        assert client.fault(order) is None
        content, written = reader.read(0, len(CONTENT))
        assert (len(content), "chunk 2 " in str(written.error)) == (2 * CHUNK_BYTES, True)
        word = client.fault(order)
        assert word is not None
        fault = decode(jose.verify(word, client.presence.signing, typ=TYP_FAULT), Fault)
    assert (fault.what, fault.number, fault.order) == ("chunk", 2, order)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_into_pipes_and_sockets(reader: Reader, kind: str) -> None:
    """A pipe and a socket get all of it, however slowly they are read; their flags stay as they are."""
    source, sink = _pair(kind)
    taken = bytearray()

    def take() -> None:
        while data := os.read(source, 50_000):
            taken.extend(data)

    thread = threading.Thread(target=take)
    thread.start()
    with reader.package.path.open("rb") as file:
        written = reader.client.copy(reader.session, 5, len(CONTENT) - 5, file.fileno(), sink)
    assert os.get_blocking(sink)
    os.close(sink)
    thread.join()
    os.close(source)
    assert written.error is None
    assert bytes(taken) == CONTENT[5:]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_reader_that_has_ended(reader: Reader, kind: str) -> None:
    """Where nobody reads any more the copy ends, and the agent goes on."""
    source, sink = _pair(kind)
    os.close(source)
    with reader.package.path.open("rb") as file:
        written = reader.client.copy(reader.session, 0, len(CONTENT), file.fileno(), sink)
    os.close(sink)
    assert isinstance(written.error, UnreachableError)
    assert reader.read(0, 10)[0] == CONTENT[:10]


def test_stuck_reader_keeps_nobody_from_ending(running: Agent, tmp_path: Path) -> None:
    """A pipe that nobody empties: the copy ends with the connection that asked for it, and with the agent."""
    package = pack(tmp_path / "p", CONTENT)
    source, sink = _pair("pipe")
    client = running.client()
    buy(client, package, {1: escrow(0)})
    with package.path.open("rb") as head:
        session = client.open(head.fileno()).session
        thread = threading.Thread(target=_copy_quietly, args=(client, session, head.fileno(), sink))
        thread.start()
        os.read(source, 1)
        running.restart()
        thread.join(5)
    assert not thread.is_alive()
    os.close(source)
    os.close(sink)
    client.close()


def _copy_quietly(client: AgentClient, session: int, source: int, sink: int) -> None:
    try:
        written = client.copy(session, 0, len(CONTENT), source, sink)
        assert written.error is not None
    except UnreachableError:
        return


def _pair(kind: str) -> tuple[int, int]:
    """Return where to read and where to write."""
    if kind == "pipe":
        return os.pipe()
    one, two = socket.socketpair()
    return one.detach(), two.detach()
