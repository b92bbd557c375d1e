"""Whatever bytes come, every decoder answers with errors of its family and no others."""

import base64
import importlib.util
import os
import random
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fuzz.targets import CORPUS, INPUT_BYTES_MAX, Target, all_targets, corpus
from guard.keyguard.watch import REPORT_VARIABLE

TESTS = Path(__file__).parents[1]
DAMAGED_PER_TARGET = 30
DAMAGES_MAX = 4
CORPUS_BYTES_MAX = 500_000
"""All of it together: small enough to be read by everybody who clones this."""

SEARCH_S = 60
"""Shared by all targets; each gets a second at least."""

START_S_MAX = 15
AT_A_TIME = 2
EXECUTED = "number_of_executed_units:"


def fault_of(target: Target, data: bytes) -> str:
    """Return what a target does wrong with an input, nothing if it does well."""
    try:
        target.run(data)
    except Exception:  # noqa: BLE001 - any error but the target's own is what is looked for
        return traceback.format_exc(limit=-4)
    return ""


def told(name: str, data: bytes, fault: str) -> str:
    """Return a fault with what makes its input a file of the corpus."""
    line = base64.b64encode(data).decode()
    return f"{name}:\n{fault}\nkeep it with: base64 -d <<< {line} > tests/fuzz/corpus/{name}/NAME"


def damaged(seed: bytes, chance: random.Random) -> bytes:
    """Return a seed with bytes overwritten, cut out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, DAMAGES_MAX)):
        at = chance.randint(0, len(data))
        length = chance.choice([0, 1, 1, 2, 4, 40])
        piece = chance.choice([chance.randbytes(length), bytes(length), data[at : at + length] * 2, b'"'])
        data[at : at + length] = piece
    return bytes(data[:INPUT_BYTES_MAX])


def test_the_seeds_are_read() -> None:
    """Each target takes the valid inputs that the others are made from."""
    for name, target in all_targets().items():
        assert target.seeds, name
        for seed in target.seeds:
            try:
                target.read(seed)
            except Exception as error:
                raise AssertionError(f"{name} does not take its own seed {seed!r}") from error


def test_the_corpus_replayed() -> None:
    """Every input that a search found worth keeping, among them all that once were a fault."""
    targets = all_targets()
    files = {name: corpus(name) for name in targets}
    assert {folder.name for folder in CORPUS.iterdir()} <= set(targets)
    assert sum(path.stat().st_size for paths in files.values() for path in paths) <= CORPUS_BYTES_MAX
    faults = [
        told(name, data, fault)
        for name, paths in files.items()
        for data in (path.read_bytes() for path in paths)
        if (fault := fault_of(targets[name], data))
    ]
    assert not faults, "\n\n".join(faults)


def test_damaged_seeds() -> None:
    """Seeds with bytes overwritten, cut out, doubled and put in, and cut off behind."""
    faults: dict[str, str] = {}
    for name, target in all_targets().items():
        chance = random.Random(name)  # noqa: S311 - a test is to be the same each time
        for _ in range(DAMAGED_PER_TARGET):
            data = damaged(chance.choice(target.seeds), chance)
            if fault := fault_of(target, data):
                faults[name] = told(name, data, fault)
    assert not faults, "\n\n".join(faults.values())


@pytest.mark.soak
def test_search(tmp_path: Path) -> None:
    """A minute of coverage-guided search over all targets; what it finds is told as a file of the corpus."""
    if importlib.util.find_spec("atheris") is None:
        pytest.fail("the search needs atheris, which has wheels for Linux on x86-64 only (group `fuzz`)")
    names = list(all_targets())
    seconds = max(1, AT_A_TIME * SEARCH_S // len(names))
    with ThreadPoolExecutor(AT_A_TIME) as programs:
        shares = [names[at::AT_A_TIME] for at in range(AT_A_TIME)]
        ends = list(programs.map(lambda share: search(share, seconds, tmp_path), shares))
    statuses = {name: status for end in ends for name, status in end.items()}
    assert set(statuses) == set(names)
    faults = []
    for name, status in statuses.items():
        log = (tmp_path / name / "log").read_text("utf-8", "replace")
        print(f"{name}: {''.join(log.rpartition(EXECUTED)[2].split()[:1])} inputs")
        found = sorted((tmp_path / name / "found").iterdir())
        if status or found:
            faults += [told(name, path.read_bytes(), log[-3_000:]) for path in found] or [f"{name}: {log}"]
    assert not faults, "\n\n".join(faults)


def search(names: list[str], seconds: int, folder: Path) -> dict[str, int]:
    """Fuzz targets one after the other in a program of its own; return the status that each ended with."""
    # Millions of inputs hold keys by chance, and the guard would slow the search down.
    inherited = {key: value for key, value in os.environ.items() if key != REPORT_VARIABLE}
    paths = [str(TESTS), *inherited.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.fuzz", ",".join(names), str(seconds), str(folder), str(CORPUS)],
        env={**inherited, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        stdout=subprocess.PIPE,
        timeout=len(names) * (seconds + START_S_MAX),
        check=True,
    )
    ends = (line.split() for line in done.stdout.decode().splitlines())
    return {name: int(status) for name, status in ends}
