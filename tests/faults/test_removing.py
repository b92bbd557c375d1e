"""A key server killed between any two writes of a removal: list, reception, fence and audit agree."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BEFORE = {
    "listed": [[1], [2]],
    "ended": [],
    "received": [[1], [2]],
    "over": [],
    "fences": [],
    "audit": [],
    "known": [["tv"]],
}
AFTER = {
    "list": {
        "listed": [[2]],
        "ended": [[1, "removed", 4]],
        "received": [[2]],
        "over": [[1, "removed"]],
        "fences": [[1, 4, 1]],
        "audit": [["subscriber-remove", "news tv"]],
        "known": [["tv"]],
    },
    "party": {
        "listed": [],
        "ended": [[1, "party-removed", 4], [2, "party-removed", 4]],
        "received": [],
        "over": [[1, "party-removed"], [2, "party-removed"]],
        "fences": [],
        "audit": [
            ["subscriber-remove", "news tv"],
            ["subscriber-remove", "sport tv"],
            ["registry-remove", "device tv"],
        ],
        "known": [],
    },
}
WRITES_MIN = {"list": 4, "party": 7}
"""Subscription, reception and audit of each channel; a fence, or the party's own row."""


def children(folder: Path, what: str) -> list[dict[str, Any]]:
    """Run the program whose children die."""
    program = Path(__file__).with_name("removing.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder), what],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("what", ["list", "party"])
def test_killed_before_every_write(tmp_path: Path, what: str) -> None:
    """All of it is done or nothing: the device is as it was up to the commit, and then out everywhere."""
    born = children(tmp_path, what)
    assert [each["died"] for each in born] == [*[True] * (len(born) - 1), False]
    assert len(born) > WRITES_MIN[what]
    for each in born[:-1]:
        assert each["left"] in (BEFORE, AFTER[what])
    assert born[-1]["left"] == AFTER[what]
    assert BEFORE in [each["left"] for each in born]
