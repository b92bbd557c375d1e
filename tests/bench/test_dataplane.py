"""`bench dataplane`: its fields, bounded in time, and its picture; how fast is not tested here."""

import json
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sealcast.bench.sweep import BATCHES, Sweep, draw, measure_sweep
from sealcast.cli.main import app
from sealcast.core.errors import UsageError
from sealcast.transport.system import SystemClock, SystemRandom

FIELDS = {
    "floor_us",
    "seal_us",
    "seal_send_us",
    "seal_send_1_us",
    "open_floor_us",
    "open_us",
    "receive_open_us",
    "receive_open_live_us",
    "receive_open_nogro_us",
    "scramble_us",
    "descramble_us",
}
PNG = b"\x89PNG\r\n\x1a\n"
RUN_S_MAX = 30.0


def run(*arguments: str) -> str:
    """Run `bench dataplane` for a moment and return what it printed."""
    done = CliRunner().invoke(app, ["bench", "dataplane", "--seconds", "0.1", "--no-peers", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_fields() -> None:
    """One JSON object holds every figure, its ratio and Gbit/s; none is zero; it ends soon."""
    started = time.monotonic()
    result = json.loads(run("--json"))
    assert time.monotonic() - started < RUN_S_MAX
    assert set(result) >= FIELDS | {"ratio", "gbit_per_s", "peers", "notes"}
    names = {field.removesuffix("_us") for field in FIELDS}
    assert names <= set(result["ratio"]) == set(result["gbit_per_s"])
    assert all(result[field] > 0 for field in FIELDS)
    assert result["ratio"]["floor"] == result["ratio"]["open_floor"] == 1
    assert (result["payload_bytes"], result["peers"]) == (1316, {})


def test_a_table_for_people() -> None:
    """Without --json it is a table with a line for each figure."""
    lines = run().splitlines()
    assert {line.split()[0] for line in lines[1:]} >= {field.removesuffix("_us") for field in FIELDS}


def test_the_sweep() -> None:
    """Packets of all sizes are measured from single ones to the largest batch of their size."""
    sweeps = measure_sweep(SystemClock(), SystemRandom())
    assert [sweep.payload_bytes for sweep in sweeps] == [188, 564, 1316, 4000]
    assert [max(sweep.by_batch_us) for sweep in sweeps] == [64, 64, 48, 16]
    assert all(min(sweep.by_batch_us) == 1 and set(sweep.by_batch_us) <= {*BATCHES} for sweep in sweeps)


def test_the_picture(tmp_path: Path) -> None:
    """The plot is a PNG; where it cannot be written, one line says so."""
    sweeps = [Sweep(188, 0.5, {1: 3.0, 8: 1.0}), Sweep(1316, 1.0, {1: 4.0, 48: 1.5})]
    draw(sweeps, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(PNG)
    with pytest.raises(UsageError, match="cannot write"):
        draw(sweeps, tmp_path / "nowhere" / "cost.png")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is measured it says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'sealcast\[plot\]'"):
        draw([], tmp_path / "cost.png")
    assert not list(tmp_path.iterdir())
