"""Shows that a carousel's files come out bit for bit, over losses and receivers, and nothing else does."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.mounts import small_disk
from receiver.rounds import Receiver, described, file_packets, list_packets, one_round
from sealcast.core.errors import LocalError, UsageError
from sealcast.messages.carousel import CarouselFile
from sealcast.receiver.carousel import COMPLETE, CarouselSink
from sealcast.receiver.carouselfolder import CarouselFolder
from sealcast.receiver.pipes import SinkClosed
from sealcast.receiver.values import Slab
from sealcast.testing import SimRandom
from sealcast.wire.alc import SEGMENT_BYTES, SYMBOL_BYTES

WAIT_S = 20.0
WORK = ".sealcast-carousel"

BIG = SimRandom(1).bytes(SEGMENT_BYTES + 1_000_003)
"""Two segments, the last block short, the last symbol too."""

FILES = {"big.bin": BIG, "note.txt": b"to whom it concerns", "empty": b""}

LIST = 7
"""Packets of a short list of contents: four of its file delivery table, one symbol, two for repair."""

Open = Callable[..., Receiver]


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    """Return one round of all files."""
    return one_round(FILES)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Return what opens receivers of one folder, the one before closed."""
    receivers: list[Receiver] = []

    def open_(**options: int) -> Receiver:
        if receivers:
            receivers.pop().close()
        receivers.append(Receiver(tmp_path, **options))
        return receivers[-1]

    yield open_
    for receiver in receivers:
        receiver.close()


def lossy(packets: list[bytes], percent: int, seed: int) -> list[bytes]:
    """Return what is left of a round."""
    random = SimRandom(seed)
    return [packet for packet in packets if random.below(100) >= percent]


def names(folder: Path) -> set[str]:
    """Return what stands in a folder, the receiver's own apart."""
    return {path.name for path in folder.iterdir()} - {WORK}


def all_there(folder: Path, files: dict[str, bytes] = FILES) -> None:
    """Compare every byte, and that nothing else is left of the way there."""
    assert names(folder) == set(files)
    for name, data in files.items():
        assert (folder / name).read_bytes() == data
    assert [path.name for path in (folder / WORK).iterdir()] == ["received"]


def test_five_per_cent_are_repaired_in_one_round(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """With 5 % lost, one round is enough, and nearly every block needed repair."""
    report = opened().take([*packets[:LIST], *lossy(packets, 5, 2)])
    all_there(tmp_path)
    assert (report.complete, report.files, report.is_done, report.damaged) == (3, 3, True, 0)
    assert report.repaired_blocks > 15


def test_without_loss_nothing_is_repaired(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """What came whole goes to its place, as it came."""
    report = opened().take(packets)
    all_there(tmp_path)
    assert report.held_bytes == report.bytes == sum(map(len, FILES.values()))
    assert report.repaired_blocks == 0


def test_the_order_of_packets_does_not_matter(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """Backwards the repair symbols come first, and are as good."""
    report = opened().take([*packets[:LIST], *reversed(packets)])
    all_there(tmp_path)
    assert report.repaired_blocks > 15


def test_a_heavy_loss_takes_rounds_and_no_memory(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """At 40 % no block has enough in a round; what came of it waits on disk for the next ones."""
    receiver = opened()
    rounds = 0
    while not receiver.collection.is_done:
        receiver.take(lossy(packets, 40, 10 + rounds))
        rounds += 1
        assert rounds < 8
    assert rounds > 1
    all_there(tmp_path)


def test_a_gap_is_repaired(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """480 packets in a row are no more than the blocks of a segment can repair together."""
    report = opened().take([*packets[:600], *packets[600 + 480 :]])
    all_there(tmp_path)
    assert report.repaired_blocks >= 16


def test_who_comes_late_gets_the_rest_in_the_next_round(
    opened: Open, packets: list[bytes], tmp_path: Path
) -> None:
    """From the middle of a round on a receiver takes what it can name, as soon as it has the list."""
    middle = len(packets) // 2
    receiver = opened()
    assert not receiver.take(packets[middle : middle + 500]).files
    report = receiver.take([*packets[:LIST], *packets[middle:], *packets[:middle]])
    assert report.is_done
    all_there(tmp_path)


def test_the_next_receiver_goes_on(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """What one receiver of a folder had, the next need not get again; whole files are not touched."""
    half = len(packets) // 2
    first = opened().take(packets[:half])
    assert 0 < first.held_bytes < first.bytes
    receiver = opened()
    assert receiver.take(packets[:LIST]).held_bytes >= first.held_bytes
    assert receiver.take(packets[half:]).is_done
    all_there(tmp_path)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}
    report = opened().take(packets[:LIST])
    assert report.is_done
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}


def test_a_file_that_is_replaced_on_the_way(opened: Open, tmp_path: Path) -> None:
    """A new version takes the old one's place, whole; half of an old one is forgotten."""
    receiver = opened()
    old, new = b"old" * 1000, b"newer" * 1000
    receiver.take(one_round({"news": old}))
    assert (tmp_path / "news").read_bytes() == old
    packets = one_round({"news": new})
    receiver.take(packets[:-3])
    assert (tmp_path / "news").read_bytes() in {old, new}
    assert receiver.take(packets).is_done
    all_there(tmp_path, {"news": new})

    # Half of one version, then another: nothing of the first is left.
    receiver.take([*list_packets([described("news", BIG)]), *file_packets("news", BIG)[:100]])
    last = b"last" * 1000
    assert receiver.take(one_round({"news": last})).is_done
    all_there(tmp_path, {"news": last})


def test_what_goes_round_no_more_stays(opened: Open, tmp_path: Path) -> None:
    """A folder is no mirror: a whole file stays when the list has it no more."""
    receiver = opened()
    receiver.take(one_round({"a": b"1", "b": b"2"}))
    assert receiver.take(one_round({"b": b"2"})).is_done
    all_there(tmp_path, {"a": b"1", "b": b"2"})


def test_nothing_is_overwritten_that_a_carousel_did_not_write(opened: Open, tmp_path: Path) -> None:
    """A file of ours is in the way of another of that name, so is one that was changed, a link, a folder."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "same").write_bytes(b"same")
    receiver = opened()
    sent = {"mine": b"other", "link": b"other", "folder": b"other", "same": b"same", "changed": b"1"}
    report = receiver.take(one_round(sent))
    refused = {file.name for file in report.listing if file.state == "refused"}
    assert refused == {"mine", "link", "folder"}
    assert "in the way" in str(next(file.reason for file in report.listing if file.name == "mine"))
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()

    (tmp_path / "changed").write_bytes(b"changed by hand")
    report = receiver.take(one_round({"changed": b"2"}))
    assert report.refused == 1
    assert (tmp_path / "changed").read_bytes() == b"changed by hand"


def test_tidying_up_leaves_alone_what_is_being_published(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file is published with the first list, which also removes what earlier receivers left."""
    tidied, discard_others, replace = threading.Event(), CarouselFolder.discard_others, os.replace

    def tidy(folder: CarouselFolder, parts: set[str]) -> None:
        discard_others(folder, parts)
        tidied.set()

    def replace_then(source: str, target: str, **folders: int) -> None:
        assert tidied.wait(WAIT_S)
        replace(source, target, **folders)

    monkeypatch.setattr(CarouselFolder, "discard_others", tidy)
    monkeypatch.setattr(os, "replace", replace_then)
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / "left").write_bytes(b"by another")
    opened().take(one_round(FILES))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == FILES
    assert not (tmp_path / WORK / "left").exists()


def test_links_among_the_parts_are_not_followed(tmp_path: Path) -> None:
    """Whoever else may write into the folder of parts has no file of ours cut or overwritten by a link."""
    folder, mine = CarouselFolder(tmp_path), tmp_path / "mine"
    mine.write_bytes(b"mine")
    for name in ("part", "marks.new"):
        (tmp_path / WORK / name).symlink_to(mine)
    empty = CarouselFile(name="empty", size=0, sha256=hashlib.sha256(b"").hexdigest())
    with pytest.raises(LocalError):
        folder.publish(empty, "part")
    with pytest.raises(LocalError):
        folder.write_marks("marks", b"other")
    folder.close()
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..",
        ".",
        ".hidden",
        f"{WORK}",
        "nul\0byte",
        "line\nfeed",
        "esc\x1b[2J",
        "right\u202eleft",
        " ",
        "x" * 200 + "é",
        "download.part",
        "e\u0301",
    ],
)
def test_hostile_names_write_nothing(opened: Open, tmp_path: Path, name: str) -> None:
    """A name that is more than one plain name is refused, and the files beside it are taken."""
    data = b"x" * 10
    packets = one_round({name: data, "good": data})
    report = opened().take(packets)
    if report.files:
        assert [(file.name, file.state) for file in report.listing if file.reason is not None] == [
            (name, "refused")
        ]
        assert names(tmp_path) == {"good"}
    else:
        assert names(tmp_path) == set()  # The list itself says nothing that could be believed.
    assert names(tmp_path.parent) >= {tmp_path.name}
    assert not (tmp_path.parent / "up").exists()


def test_a_carousel_larger_than_wanted_is_taken_as_far_as_it_goes(opened: Open, tmp_path: Path) -> None:
    """Files beyond the limit are refused, and what they have of the stream is passed over."""
    report = opened(limit_bytes=1500).take(one_round({"a": b"a" * 1000, "b": b"b" * 1000, "c": b"c" * 400}))
    assert [file.state for file in report.listing] == ["complete", "refused", "complete"]
    assert names(tmp_path) == {"a", "c"}


def test_a_disk_without_hard_links(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stick's file system files are renamed into place; what is in the way stays there, too."""

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "mine").write_bytes(b"mine")
    report = opened().take(one_round({"a": b"a", "mine": b"other"}))
    assert [file.state for file in report.listing] == ["complete", "refused"]
    all_there(tmp_path, {"a": b"a", "mine": b"mine"})


@pytest.mark.mounts
def test_a_disk_without_room(tmp_path: Path) -> None:
    """What does not fit is refused before it is begun; a disk that fills meanwhile ends it in one line."""
    folder = tmp_path / "disk"
    with small_disk(folder, "70m") as disk:
        receiver = Receiver(folder)
        report = receiver.take(one_round({"big": BIG * 2, "small": b"small"}))
        assert [file.state for file in report.listing] == ["refused", "complete"]
        assert "no room" in str(report.listing[0].reason)
        packets = one_round({"big": BIG})
        receiver.take(packets[:20])
        disk.fill()
        with pytest.raises(LocalError, match=r"cannot write .* no space left"):
            receiver.take(packets)
        disk.free()
        assert receiver.take(packets).is_done
        receiver.close()


def test_somebody_who_sends_other_symbols_gets_nothing_published(opened: Open, tmp_path: Path) -> None:
    """A symbol that was made up spoils the file, which its digest shows; it begins again and comes whole."""
    data = BIG[: 50 * SYMBOL_BYTES]
    packets = one_round({"f": data})
    forged = bytearray(file_packets("f", data)[30])
    forged[-1] ^= 1
    receiver = opened()
    report = receiver.take([*packets[:LIST], bytes(forged), *packets])
    assert report.damaged == 1
    assert receiver.take(packets).is_done
    all_there(tmp_path, {"f": data})


def test_packets_of_anything_else_change_nothing(opened: Open, packets: list[bytes], tmp_path: Path) -> None:
    """Garbage, cut and bent packets, symbols of no such block: nothing raises and nothing is written."""
    receiver, random = opened(), SimRandom(3)
    receiver.take(packets[:LIST])
    for packet in [*packets[:8], *packets[-8:]]:
        for _ in range(40):
            bent = bytearray(packet)
            bent[random.below(32)] ^= 1 << random.below(8)
            receiver.take([bytes(bent), bytes(bent[: random.below(len(bent))]), random.bytes(1316)])
    assert receiver.take(packets).is_done or receiver.take(packets).is_done
    all_there(tmp_path)


def hand_over(sink: CarouselSink, packets: list[bytes]) -> None:
    """Write packets as a receiver does, in trains, no faster than they are taken."""
    for first in range(0, len(packets), 40):
        train = packets[first : first + 40]
        sink.write([Slab(memoryview(b"".join(train)), len(train[0]))])
        time.sleep(0.002)


def test_the_process_writes_all_and_ends(packets: list[bytes], tmp_path: Path) -> None:
    """Through the process of its own: `once` ends the receiver when all files are there."""
    sink = CarouselSink(tmp_path, once=True)
    with pytest.raises(SinkClosed) as closed:
        hand_over(sink, packets * 100)
    assert closed.value.reason == COMPLETE
    sink.close()
    sink.close()
    assert (sink.report.complete, len(sink.report.listing), sink.dropped_bytes) == (3, 3, 0)
    all_there(tmp_path)


def test_the_process_keeps_what_it_has(packets: list[bytes], tmp_path: Path) -> None:
    """Closed in the middle of a file, the last report is heard and the next process goes on."""
    sink = CarouselSink(tmp_path)
    hand_over(sink, packets[:2000])
    with pytest.raises(UsageError, match="another receiver"):
        CarouselSink(tmp_path)
    sink.close()
    held = sink.report.held_bytes
    assert held > 1_000_000
    again = CarouselSink(tmp_path)
    hand_over(again, packets[:40])
    again.close()
    assert again.report.held_bytes >= held


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in place of the folder, or none at all: one line, before anything is received."""
    (tmp_path / "file").touch()
    for name in ("file", "none"):
        with pytest.raises(UsageError, match="cannot write into"):
            CarouselSink(tmp_path / name)


def test_without_the_library_one_line_says_what_to_install(tmp_path: Path) -> None:
    """Whoever lacks flute-alc is told which extra brings it, by sender and receiver, with status 1."""
    hidden = tmp_path / "flute.py"
    hidden.write_text("raise ModuleNotFoundError('hidden', name='flute')")
    program = "from sealcast.cli.failures import guarded;import sys,asyncio;{};sys.exit(guarded(lambda: {}))"
    for imports, call in (
        ("from sealcast.receiver.carousel import CarouselSink as C", f"C({str(tmp_path)!r})"),
        ("from sealcast.sender.carousel import CarouselSource as C", "asyncio.run(C('.', 1000).start())"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(imports, call)],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip().endswith("pip install 'sealcast[escrow]'"), done.stderr
