"""`simulate` with several key servers: who asks which, past outages, and what a chain leaves to ask."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sealcast.bench.day import HOUR_MS, PEAK_MAX, REQUESTS_MAX, Day, DayBench, Habits
from sealcast.bench.lives import Draws
from sealcast.bench.schedules import SPEC
from sealcast.bench.seconds import zeros
from sealcast.bench.sites import MINUTE_MS, Load, Outage, Sites, draw_outages
from sealcast.cli.main import app, run
from sealcast.client.choosing import PATIENCE_NS_MIN, Choice
from sealcast.core.channel import ScheduleKind
from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.testing import SimRandom

SURE = Habits(loss=0)
MORNING = Outage.parse("1@00:35+10m")
"""Over the whole window of the fourth change: 00:37:30 to 00:39:30."""

CHAIN = replace(SPEC, schedule=ScheduleKind.CHAIN, repeats=3)
MILLION = 1_000_000
BOTH = pytest.mark.parametrize("choice", [Choice.FIXED, Choice.ROUND_ROBIN])


def play(receivers: int, hours: float, spec: object = SPEC, **options: object) -> Day:
    """Return what some hours bring."""
    bench = DayBench(spec, receivers, int(hours * HOUR_MS), **options)
    assert len(list(bench.run())) == bench.epochs
    return bench.day


@BOTH
def test_an_outage_moves_load_and_costs_no_switch(choice: Choice) -> None:
    """While one of three is out it is asked nothing, the others half as much again; then all is as before."""
    day = play(12_000, 1, replicas=3, choice=choice, outages=[MORNING], habits=SURE)
    epochs = [[sum(per_s[at : at + 600]) for at in range(0, 3_600, 600)] for per_s in day.replicas_per_s]
    assert epochs[0][3] < 50
    for number, epoch in ((0, 0), (0, 2), (0, 4), (1, 1), (2, 5)):
        assert epochs[number][epoch] == pytest.approx(4_000, rel=0.06)
    for number in (1, 2):
        assert epochs[number][3] == pytest.approx(6_000, rel=0.06)
    assert day.moved == pytest.approx(4_000, rel=0.06)
    assert (day.late, day.losers) == (0, 0)
    assert day.over_two == 0
    assert max(day.asked) == REQUESTS_MAX
    assert day.requests == sum(day.replica_requests) == sum(day.per_s)


def test_the_busiest_second_with_outages() -> None:
    """With outages, churn and losses no second of all servers brings 1.5 times the even share."""
    outages = [Outage.parse("1@00:08+60s"), Outage.parse("2@00:18+90s")]
    day = play(60_000, 1 / 3, replicas=3, outages=outages)
    assert day.peak_ratio <= PEAK_MAX
    assert max(day.replica_peaks_per_s) <= PEAK_MAX * day.even_per_s
    assert day.losers == 0
    assert day.per_receiver <= REQUESTS_MAX


def test_two_of_three_out() -> None:
    """Who asks two servers in vain loses their patience twice, and gets the key from the third."""
    loads = [Load(zeros(10_000)) for _ in range(3)]
    outages = [Outage(0, 1_000, 1), Outage(0, 1_000, 2)]
    sites = Sites(99, loads, Choice.ROUND_ROBIN, outages, Draws(SimRandom(1)))
    sites.ask(0, 100, 0)
    patience_ms = PATIENCE_NS_MIN // NS_PER_MS
    assert loads[2].counts[100 + 2 * patience_ms] == 1
    sites.ask(0, 100, 1_000)
    assert loads[0].counts[100] == 1
    assert sites.moved == 1


def test_shares_follow_the_ids_of_receivers() -> None:
    """Under `fixed` the shares are those of rendezvous hashing, which add up for any number of receivers."""
    loads = [Load(zeros(1_000)) for _ in range(4)]
    sites = Sites(4_000, loads, Choice.FIXED, [], Draws(SimRandom(1)))
    shares = [asking for _, asking in sites.shares(4_000)]
    assert sum(shares) == 4_000
    assert len({*shares}) > 1
    assert all(900 < asking < 1_100 for asking in shares)
    assert sum(asking for _, asking in sites.shares(333)) == 333


def test_outages_as_text_and_drawn() -> None:
    """An outage is read as server, time of day and length; drawn ones always leave a server."""
    assert Outage.parse("2@03:10+90s") == Outage(190 * MINUTE_MS, 190 * MINUTE_MS + 90_000, 2)
    for text in ("", "1", "1@3", "1@03:00", "x@03:00+1m", "1@-1:00+1m", "1@03:00+0s"):
        with pytest.raises(UsageError):
            Outage.parse(text)
    drawn = draw_outages(20, 2, 24 * HOUR_MS, Draws(SimRandom(1)))
    assert len(drawn) == 20
    for first in drawn:
        assert len({each.replica for each in drawn if each.begin_ms <= first.begin_ms < each.end_ms}) == 1
    with pytest.raises(UsageError, match="no replica at some time"):
        draw_outages(1, 1, HOUR_MS, Draws(SimRandom(1)))


def test_a_chain_asks_at_fresh_starts_alone() -> None:
    """Of six changes five come over the air; who misses all three repeats asks for the repair."""
    day = play(10_000, 2, CHAIN, habits=replace(SURE, churn=0, restarts=0, air_loss=0.1))
    epochs = [sum(day.per_s[at : at + 600]) for at in range(0, 7_200, 600)]
    assert epochs[5] == epochs[11] == 10_000
    repairs = [count for number, count in enumerate(epochs) if number not in {5, 11}]
    assert all(count < 40 for count in repairs)
    assert sum(repairs) == pytest.approx(100, rel=0.4)
    assert day.asked[0] == 12 * 10_000 - sum(epochs)


def test_newcomers_of_a_chain_follow_it() -> None:
    """Who joins asks once, and again only at a fresh start: the next key comes over the air."""
    habits = Habits(churn=0.3, restarts=0.1, loss=0, air_loss=0.01)
    day = play(1_500, 2, CHAIN, habits=habits)
    assert max(day.asked) == REQUESTS_MAX
    fetched = play(1_500, 2, habits=habits)
    assert day.requests < fetched.requests / 3
    assert (day.late, day.losers) == (0, 0)


def test_the_command_tells_of_replicas(tmp_path: Path) -> None:
    """One object has each replica's seconds and the outages; the picture has a row for each replica."""
    arguments = ["--receivers", "3000", "--hours", "1", "--replicas", "3", "--choose", "round-robin"]
    arguments += ["--outage", "1@00:35+10m", "--outages", "1", "--schedule", "chain", "--air-loss", "5%"]
    picture = tmp_path / "day.png"
    done = CliRunner().invoke(app, ["simulate", *arguments, "--json", "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["choose"], told["schedule"]) == ("round-robin", "chain")
    assert told["outages"][0] == {"begin_ms": 35 * MINUTE_MS, "end_ms": 45 * MINUTE_MS, "replica": 1}
    assert len(told["outages"]) == 2
    assert [sum(each) for each in zip(*(r["per_s"] for r in told["replicas"]), strict=True)] == told["per_s"]
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("option", "value"),
    [("outage", "x"), ("outage", "2@00:10+1m"), ("outage", "1@00:10+1m"), ("outages", "1"),
     ("air-loss", "5"), ("choose", "listed"), ("schedule", "none")],
)  # fmt: skip
def test_bad_values_are_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """What cannot be simulated is told in one line, with status 2: also no server at all."""
    assert run(["simulate", f"--{option}", value]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("schedule", ["fetch", "chain"])
def test_a_day_of_a_million(schedule: str) -> None:
    """A million for 24 hours at three replicas with a dozen outages: within 1.5 times, and nobody loses."""
    outages = draw_outages(12, 3, 24 * HOUR_MS, Draws(SimRandom(1)))
    spec = CHAIN if schedule == "chain" else SPEC
    day = play(MILLION, 24, spec, replicas=3, outages=outages, habits=SURE)
    print(f"peak {day.peak_ratio:.3f}, {day.per_receiver:.4f} requests, moved {day.moved}, asked {day.asked}")
    assert day.peak_ratio <= PEAK_MAX
    assert max(day.asked) <= REQUESTS_MAX
    assert (day.late, day.losers) == (0, 0)
