"""A withdrawal that dies between any two writes, of the device or of its key server: all records agree."""

import asyncio
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from faults.leaving import Steps, go_on, leave, look, new_site, open_server, photograph, shape

NUMBERS = {"news": [[1]], "*": [[1], [2]]}
OF_DEVICE = "has_kek", "has_signing"
STEPS_MIN = {"news": 30, "*": 60}
STATES_MIN = {"news": 6, "*": 12}
"""Fewer would mean that something is not counted any more."""


def check_left(channel: str, left: dict[str, Any]) -> None:
    """Check what a death leaves: list, reception, subscription, erasures, receipt and audit agree."""
    closed = len(left["closed"])
    all_, gone = [[1], [2]], NUMBERS[channel] if closed else []
    assert left["live"] == left["received"] == [each for each in all_ if each not in gone]
    assert left["withdrawn"] == gone
    assert left["erased"] == [[number, epoch] for (number,) in gone for epoch in (1, 2, 3)]
    assert left["audit"] == closed <= 1
    assert left["offences"] == 0
    statements, receipts = [each[0] for each in left["closed"]], [each[1] for each in left["closed"]]
    assert all(each in receipts for each in left["receipts"])
    assert not statements or left["waiting"] in ([], statements)
    # The statement is on the disk before a key is gone, and stays until the receipt is there.
    assert left["waiting"] or left["receipts"] or all(left[name] for name in OF_DEVICE)
    assert not closed or left["waiting"] or left["receipts"]
    assert left["has_signing"] or left["receipts"]
    assert not closed or channel != "*" or not left["has_kek"]


def check_over(channel: str, over: dict[str, Any]) -> None:
    """Check the end: closed once, with the receipt here, and no secret that was to go."""
    check_left(channel, over)
    assert len(over["closed"]) == len(over["receipts"]) == 1
    assert over["waiting"] == over["remains"] == []
    assert [over[name] for name in OF_DEVICE] == [channel != "*"] * 2


@pytest.mark.parametrize("channel", ["news", "*"])
def test_photographed_before_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    """From what lies on the disk before any step of a withdrawal, the next try ends it as any other does."""
    site, album = tmp_path / "site", tmp_path / "album"
    new_site(site)
    server = open_server(site)
    monkeypatch.setattr(os, "fsync", lambda _: None)

    number = count()
    with monkeypatch.context() as patch:
        Steps(lambda: photograph(site, album / f"{next(number):03}")).arm(server, patch.setattr)
        asyncio.run(leave(site, server, channel))
    server.close()
    check_over(channel, _plain(look(site)))
    photographs = sorted(album.iterdir())
    assert len(photographs) > STEPS_MIN[channel]
    seen: set[str] = set()
    for folder in photographs:
        left = look(folder)
        check_left(channel, _plain(left))
        if shape(folder, left) not in seen:
            seen.add(shape(folder, left))
            check_over(channel, _plain(go_on(folder, channel)))
    assert len(seen) >= STATES_MIN[channel]


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("channel", ["news", "*"])
def test_killed_before_every_write(tmp_path: Path, channel: str) -> None:
    """The same with processes that do die by kill -9, device and key server at once."""
    program = Path(__file__).with_name("leaving.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "site"), channel],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=500,
    )
    children = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["died"] for each in children] == [*[True] * (len(children) - 1), False]
    assert len(children) > STEPS_MIN[channel]
    for each in children:
        check_left(channel, each["left"])
        if each["after"] is not None:
            check_over(channel, each["after"])


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return it as JSON has it: rows are lists."""
    return dict(json.loads(json.dumps(found)))
