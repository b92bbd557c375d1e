"""`bench keyserver`: what it measures is granted and on disk; in a small form, without a word on times."""

import json

import pytest
from typer.testing import CliRunner

from sealcast.bench import replicas
from sealcast.cli.main import app

DEVICES, CHANNELS = 8, 3


def run(*arguments: str) -> str:
    """Run `bench keyserver` with few devices and return what it printed."""
    sizes = ("--devices", str(DEVICES), "--channels", str(CHANNELS), "--connections", "4")
    done = CliRunner().invoke(app, ["bench", "keyserver", *sizes, *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_json() -> None:
    """Every request of both kinds is one grant, and the database has exactly as many; rates follow."""
    figures = json.loads(run("--json"))
    assert figures["connections"] == 4
    assert figures["hello_per_s"] > 0
    for kind, devices in (("symmetric", DEVICES), ("certificate", DEVICES // 4)):
        row = figures[kind]
        assert row["grants"] == devices * CHANNELS
        assert row["grants_per_s"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["hello_ratio"] == row["grants_per_s"] / figures["hello_per_s"]


def test_a_table_for_people() -> None:
    """Without --json a row for each kind of devices, and a line on what they are compared with."""
    lines = run().splitlines()
    assert [line.split("  ")[0].strip() for line in lines[-3:-1]] == ["symmetric", "certificate"]
    assert lines[-1].startswith("hello: ")


@pytest.mark.quotas
def test_two_replicas_against_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All grants are made by the replicas, once by one and once by two of them, and reach the master."""
    monkeypatch.setattr(replicas, "IDLE_S", 0.5)
    figures = json.loads(run("--json", "--quota", "0.9"))
    assert (figures["one"]["replicas"], figures["two"]["replicas"]) == (1, 2)
    for row in (figures["one"], figures["two"]):
        assert row["grants"] == DEVICES * CHANNELS
        assert row["cpu_us_per_grant"] > 0
        assert row["master_cpu_us_per_grant"] >= 0
        assert row["master_share"] >= row["master_share_over_idle"]
    assert figures["speedup"] == figures["two"]["grants_per_s"] / figures["one"]["grants_per_s"]
