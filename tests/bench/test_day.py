"""`simulate`: what a day of very many receivers asks of key servers, and that its counts add up."""

import json
import os
import signal
import subprocess
import sys
import time
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sealcast.bench.day import HOUR_MS, PEAK_MAX, Day, DayBench, Habits
from sealcast.bench.lives import Draws, Lives
from sealcast.bench.schedules import SPEC
from sealcast.bench.seconds import Busiest, merge, zeros
from sealcast.cli.main import app, run
from sealcast.core.errors import UsageError
from sealcast.testing import SimRandom

QUIET = Habits(churn=0, restarts=0, loss=0)
BUSY_S = 2.0
"""Of the processor: its imports take a quarter of that."""

PNG = b"\x89PNG\r\n\x1a\n"


def play(receivers: int, hours: float = 1, **options: object) -> Day:
    """Return what some hours bring."""
    bench = DayBench(SPEC, receivers, int(hours * HOUR_MS), **options)
    assert len(list(bench.run())) == bench.epochs
    return bench.day


def test_nobody_to_whom_anything_happens_asks_twice() -> None:
    """With no churn and every request answered each receiver asks once in each epoch, in its window."""
    day = play(10_000, 1 / 2, habits=QUIET)
    assert day.asked == {1: 30_000}
    assert day.requests == sum(day.per_s) == 30_000
    assert all(count == 0 for second, count in enumerate(day.per_s) if not 450 <= second % 600 <= 570)


def test_the_busiest_second_is_near_the_even_share() -> None:
    """100,000 receivers with churn, restarts and losses: no second brings 1.5 times receivers / window."""
    day = play(100_000, 1 / 3, replicas=3)
    assert day.even_per_s == pytest.approx(100_000 / 120)
    assert 1 <= day.peak_ratio <= PEAK_MAX
    assert day.per_receiver <= 2
    assert (day.late, day.losers) == (0, 0)
    assert sum(day.replica_requests) == day.requests
    assert max(day.replica_requests) < 1.02 * min(day.replica_requests)
    assert max(day.replica_peaks_per_s) < PEAK_MAX * day.even_per_s / 3


def test_who_gets_no_answers_is_late() -> None:
    """Where nine of ten requests are lost some have no key at a switch, and those long without are losers."""
    day = play(300, 1 / 3, habits=replace(QUIET, loss=0.9))
    assert day.late > day.losers > 0
    assert day.late_ms_max > 5_000
    assert day.per_receiver > 2
    assert day.over_two > 0


def test_lives() -> None:
    """A newcomer asks twice before the next key is published and once after; who leaves early never asks."""
    lives = Lives(SPEC, 1_000, 0, 6_000, Draws(SimRandom(1)))
    assert [len(lives.play_newcomer(at_ms).asked_ms) for at_ms in (0, 299_999, 300_000, 590_000)] == [
        2, 2, 1, 1,
    ]  # fmt: skip
    assert lives.play_holder(450_000).asked_ms == []
    (first, second) = lives.play_holder(is_first_lost=True).asked_ms
    assert 450_000 <= first <= 570_000
    assert 6_125 <= second - first <= 6_250


def test_seconds_begin_anywhere() -> None:
    """The busiest second may lie over the end of an epoch; clock seconds do not."""
    first, second = zeros(2_000), zeros(2_000)
    first[1_999] = second[0] = second[998] = 1
    second[999] = 1
    busiest = Busiest()
    busiest.take(first)
    busiest.take(second)
    assert busiest.peak_per_s == 3
    assert busiest.per_s == array("I", [0, 1, 3, 0])
    assert sum(merge([first, second])) == 4


def test_the_seed_decides() -> None:
    """The same seed gives the same day, another one another."""
    days = [play(2_000, 1 / 6, seed=seed) for seed in (1, 1, 2)]
    assert days[0] == days[1] != days[2]


def test_json_and_the_picture(tmp_path: Path) -> None:
    """One object holds the settings, the figures and each second; the plot is a PNG."""
    arguments = ("--receivers", "1000", "--hours", "1", "--lifetime", "1min", "--replicas", "2", "--json")
    done = CliRunner().invoke(app, ["simulate", *arguments, "--plot", str(tmp_path / "day.png")])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["lifetime_ms"], told["window_ms"], told["epochs"]) == (60_000, 12_000, 60)
    assert sum(told["per_s"]) == told["requests"] == sum(each["requests"] for each in told["replicas"])
    assert told["requests_per_receiver"] == pytest.approx(1, abs=0.05)
    assert (tmp_path / "day.png").read_bytes().startswith(PNG)


def test_lines_for_people() -> None:
    """Without --json a few lines say how it went, and a table each replica's part."""
    done = CliRunner().invoke(app, ["simulate", "--receivers", "500", "--hours", "1", "--replicas", "2"])
    lines = done.stdout.splitlines()
    assert lines[0] == "receivers   500, 6 key changes, window 120 s"
    assert "times the even share of 4" in done.stdout
    assert [line.split()[0] for line in lines[-2:]] == ["1", "2"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("lifetime", "x"), ("lifetime", "2h"), ("lifetime", "10500ms"), ("lifetime", "5s"), ("loss", "5"),
     ("churn", "200%"), ("restarts", "-1%"), ("receivers", "5"), ("hours", "0"), ("replicas", "17")],
)  # fmt: skip
def test_bad_values_are_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """What cannot be simulated is told in one line, with status 2."""
    assert run(["simulate", f"--{option}", value]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_a_plot_that_cannot_be_written(tmp_path: Path) -> None:
    """A picture in a folder that is not there is refused before anything is simulated."""
    arguments = ["simulate", "--receivers", "10000000", "--plot", str(tmp_path / "no" / "day.png")]
    assert isinstance(CliRunner().invoke(app, arguments).exception, UsageError)


def wait_until_busy(pid: int) -> None:
    """Wait until a process has used more time of the processor than its imports take, a minute at most."""
    for _ in range(600):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") > BUSY_S:
            return
        time.sleep(0.1)
    pytest.fail("the simulation never began")


def test_an_interrupt_ends_it() -> None:
    """Ctrl-C ends a long day at once, with status 130 and not a word."""
    program = [sys.executable, "-m", "sealcast.cli", "simulate", "--receivers", "10000000"]
    # A test run in the background passes on that it ignores Ctrl-C; somebody at a terminal does not.
    arguments = ["env", "--default-signal=INT", *program]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as day:
        wait_until_busy(day.pid)
        day.send_signal(signal.SIGINT)
        try:
            out, error = day.communicate(timeout=20)
        finally:
            day.kill()
    assert (day.returncode, out, error) == (130, b"", b"")
