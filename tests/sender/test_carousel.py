"""Shows which files of a folder go round, at what pace, and what becomes of those that change meanwhile."""

import asyncio
import os
from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.messages.carousel import Contents, decode_contents
from sealcast.sender.carousel import CarouselSource
from sealcast.sender.carouselfiles import CarouselFolder
from sealcast.sender.runs import Run
from sealcast.wire.alc import SEGMENT_BYTES, is_contents, read_self_contained, read_symbol

RATE = 100_000_000


async def runs_of(source: CarouselSource, until_packets: int) -> list[Run]:
    """Return the first runs of a source that never ends."""
    await source.start()
    runs: list[Run] = []
    async for run in source:
        runs.append(run)
        if sum(map(len, runs)) >= until_packets:
            break
    source.close()
    return runs


def packets_of(runs: list[Run]) -> list[bytes]:
    """Return their packets."""
    return [bytes(payload) for run in runs for payload in run.payloads]


def sessions(packets: list[bytes]) -> list[int]:
    """Return the session of each symbol of a file."""
    return [read[0] for packet in packets if (read := read_symbol(memoryview(packet))) is not None]


def lists(packets: list[bytes]) -> list[Contents]:
    """Return the lists of contents among packets, each of which is a single symbol."""
    found = []
    for packet in packets:
        read = read_self_contained(memoryview(packet))
        if read is not None and is_contents(read[0]) and read[2] == 0:
            found.append(decode_contents(bytes(read[4][: read[3].size_bytes])))
    return found


def test_regular_files_under_plain_names_go_round(tmp_path: Path) -> None:
    """Hidden and temporary files, folders, links and pipes stay out; so does what nobody could write."""
    for name in ("b", "a.sealpack", ".hidden", "copy.part", "edit~", "x\ny"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("b")
    os.mkfifo(tmp_path / "pipe")
    assert [(file.name, file.size) for file in CarouselFolder(tmp_path).scan()] == [
        ("a.sealpack", len("a.sealpack")),
        ("b", 1),
    ]


def test_the_next_scan_sees_what_changed(tmp_path: Path) -> None:
    """New, replaced and removed files; what stayed has the same digest and is not read again."""
    folder = CarouselFolder(tmp_path)
    for name in ("kept", "replaced", "removed"):
        (tmp_path / name).write_bytes(b"1")
    before = {file.name: file for file in folder.scan()}
    (tmp_path / "removed").unlink()
    (tmp_path / ".new").write_bytes(b"2")
    (tmp_path / ".new").rename(tmp_path / "replaced")
    (tmp_path / "new").write_bytes(b"3")
    after = {file.name: file for file in folder.scan()}
    assert set(after) == {"kept", "replaced", "new"}
    assert after["kept"] is before["kept"]
    assert after["replaced"].session != before["replaced"].session
    assert folder.open(before["removed"]) is None
    assert folder.open(before["replaced"]) is None


def test_an_open_file_is_the_one_that_was_found(tmp_path: Path) -> None:
    """Replacing it by renaming changes nothing of what is read; writing into it is noticed."""
    folder = CarouselFolder(tmp_path)
    (tmp_path / "f").write_bytes(b"old")
    opened = folder.open(folder.scan()[0])
    assert opened is not None
    (tmp_path / ".new").write_bytes(b"new")
    (tmp_path / ".new").rename(tmp_path / "f")
    assert opened.segment(0) == b"old"
    opened.close()

    again = folder.open(folder.scan()[0])
    assert again is not None
    with (tmp_path / "f").open("ab") as file:
        file.write(b"more")
    assert not again.is_same()
    again.close()


def test_the_pace_is_the_rate(tmp_path: Path) -> None:
    """Packets leave no sooner than the rate has room for all before them, and never backwards."""
    (tmp_path / "f").write_bytes(bytes(SEGMENT_BYTES))
    runs = asyncio.run(runs_of(CarouselSource(tmp_path, RATE), 3000))
    offsets_ns = [offset for run in runs for offset in run.offsets_ns or ()]
    packets = packets_of(runs)
    assert len(offsets_ns) == len(packets)
    assert offsets_ns == sorted(offsets_ns)
    first, last = offsets_ns[0], offsets_ns[-1]
    assert last - first >= sum(map(len, packets[:-1])) * 8 * NS_PER_S // RATE
    assert {len(packet) for packet in packets} == {1316}


def test_files_go_round_with_the_list_before_them(tmp_path: Path) -> None:
    """The list comes first, and again after a hundred times its length; a round is every file once."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    packets = packets_of(asyncio.run(runs_of(CarouselSource(tmp_path, 1_000_000), 1_600)))
    assert is_list(packets[4])
    found = lists(packets)
    assert {tuple(file.name for file in contents.files) for contents in found} == {("a", "b")}
    assert len(found) == 3
    order = [session for at, session in enumerate(sessions(packets)) if not at % 3]
    assert order[:4] == [found[0].files[0].session, found[0].files[1].session] * 2


def is_list(packet: bytes) -> bool:
    """Whether a packet carries a list of contents."""
    read = read_self_contained(memoryview(packet))
    return read is not None and is_contents(read[0])


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    """Receivers learn that there is nothing; a file that comes is sent from the next second on."""

    async def watch() -> list[bytes]:
        source = CarouselSource(tmp_path, RATE)
        await source.start()
        packets: list[bytes] = []
        async for run in source:
            packets += packets_of([run])
            (tmp_path / ".late").write_bytes(b"late")
            (tmp_path / ".late").rename(tmp_path / "late")
            if sessions(packets):
                return packets
        raise AssertionError

    found = lists(asyncio.run(watch()))
    assert [len(contents.files) for contents in found[:1]] == [0]
    assert found[-1].files[0].name == "late"


def test_what_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    """No folder, no rate, more repair than the code has: one line each."""
    with pytest.raises(UsageError, match="cannot read"):
        asyncio.run(CarouselSource(tmp_path / "none", RATE).start())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        asyncio.run(CarouselSource(tmp_path / "file", RATE).start())
    with pytest.raises(UsageError, match="rate"):
        CarouselSource(tmp_path, 0)
    with pytest.raises(UsageError, match="--repair"):
        CarouselSource(tmp_path, RATE, 28)


def test_a_sender_that_starts_anew_sends_the_same_symbols(tmp_path: Path) -> None:
    """Receivers go on with what they have: sessions and symbols follow from the files alone."""
    (tmp_path / "f").write_bytes(b"f" * 100_000)
    runs = [asyncio.run(runs_of(CarouselSource(tmp_path, RATE), 90)) for _ in range(2)]
    first, second = ({packet for packet in packets_of(of) if read_symbol(memoryview(packet))} for of in runs)
    assert first == second
    assert len(first) == 78 + 12
