"""A carousel on a routed network: bit for bit at 5 % loss, for who comes late, over key changes."""

import os
from pathlib import Path
from typing import Any

import pytest

from integration.broadcast import Broadcast, Viewer
from integration.machines import FACT_S, Running
from lab.hosts import wait_until
from sealcast.testing import SimRandom

pytestmark = pytest.mark.network

GROUP = "232.77.0.40"
RATE = "40M"
LOSS_PERCENT = 5
PARTS = {"film.sealpack": 4_500_000, "second.sealpack": 1_200_003, "notes.txt": 11, "empty": 0}
SENT_PER_BYTE_MAX = 1.25
"""Repair symbols, headers, file delivery tables and lists, for these files: 1.19."""

ROUNDS_S = 2 * FACT_S
"""Keys are lost with their datagrams too, on a busy machine again and again, and each second has another."""

ROUNDS_MAX = 5
"""What is left of one and the next, on a quiet machine; on a busy one the disk's thread comes later."""


def fill(folder: Path) -> dict[str, bytes]:
    """Put the files into a folder, with others that stay there."""
    folder.mkdir()
    random = SimRandom("carousel")
    files = {name: random.bytes(size) for name, size in PARTS.items()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / ".hidden").write_bytes(b"hidden")
    (folder / "copying.part").write_bytes(b"half")
    return files


def send(broadcast: Broadcast, name: str, folder: Path) -> Running:
    """Send a folder in the background."""
    vault = broadcast.studio.folder / "studio.vault"
    options = ("--credential", str(vault), "--carousel", str(folder), "--rate", RATE, "--json")
    return Running(broadcast.studio.start("send", name, *options))


def incoming(viewer: Viewer, name: str) -> Path:
    """Return a new folder on a viewer's machine."""
    folder = viewer.machine.folder / name
    folder.mkdir()
    return folder


def what_is_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def states(summary: dict[str, Any]) -> dict[str, str]:
    """Return what became of each file."""
    return {file["name"]: file["state"] for file in summary["files"]}


def test_a_carousel_on_a_lossy_network(ipv4: Broadcast) -> None:
    """Both viewers lose 5 %, and come in the middle: all files are there soon, then one that is replaced."""
    lab = ipv4.lab
    channel = ipv4.add_channel("files", GROUP, "--lifetime", "1s", source=lab.sender.ipv4)
    outgoing = ipv4.studio.folder / "outgoing"
    files = fill(outgoing)
    staying, leaving = (incoming(viewer, "files") for viewer in (ipv4.first, ipv4.second))
    for leg in (lab.leg_a, lab.leg_b):
        lab.lose(leg, LOSS_PERCENT)
    sender = send(ipv4, channel.name, outgoing)
    try:
        sender.wait_for("on air")
        stays = ipv4.first.start(channel.name, "files")
        leaves = ipv4.second.start(channel.name, "files", "--once")
        left = leaves.summary()
        wait_until(lambda: what_is_in(staying) == files, "all files", ROUNDS_S)
        new = SimRandom("new").bytes(700_001)
        (outgoing / ".film").write_bytes(new)
        (outgoing / ".film").rename(outgoing / "film.sealpack")
        wait_until(lambda: what_is_in(staying)["film.sealpack"] == new, "the new file", ROUNDS_S)
        stayed, sent = stays.end(), sender.end()
    finally:
        for leg in (lab.leg_a, lab.leg_b):
            lab.lose(leg, 0)

    assert what_is_in(leaving) == files
    assert what_is_in(staying) == files | {"film.sealpack": new}
    assert left["ended_by"] == "carousel complete"
    assert left["bytes_opened"] < ROUNDS_MAX * SENT_PER_BYTE_MAX * sum(PARTS.values())
    for one in (left, stayed):
        assert states(one) == dict.fromkeys(PARTS, "complete")
        assert one["files_damaged"] == 0
        assert one["lost"] > 0
        assert one["blocks_repaired"] > 0
    assert stayed["key_changes"] >= 1
    assert sent["key_changes"] >= 1
    assert os.listdir(leaving / ".sealcast-carousel") == ["received"]  # noqa: PTH208 - names are asked for
