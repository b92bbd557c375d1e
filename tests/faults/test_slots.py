"""Kill -9 between the steps that record a run slot: none is used before it is recorded, none twice."""

import json
import subprocess
import sys
from pathlib import Path

CALLS_MIN = 6
"""Opening takes two calls, replacing the file at least four more."""


def test_a_death_before_each_call_that_records_a_slot(tmp_path: Path) -> None:
    """Wherever it dies, the file opens, and an epoch that was used is recorded and never comes back."""
    program = Path(__file__).with_name("crashing.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "slots")],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    children = [json.loads(line) for line in done.stdout.splitlines()]
    assert [died for died, _, _ in children] == [*[True] * (len(children) - 1), False]
    assert len(children) > CALLS_MIN
    used = [epoch for _, epoch, _ in children if epoch is not None]
    assert used == sorted(set(used))
    for _, epoch, first_unused in children:
        assert epoch is None or epoch < first_unused
    firsts = [first_unused for _, _, first_unused in children]
    assert firsts == sorted(firsts)
    assert 1 in firsts
    assert firsts[-1] > len(used)
