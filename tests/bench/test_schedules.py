"""`bench schedules`: what a change costs by schedule, and that its light receivers do as real ones do."""

import json
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sealcast.bench.crowd import Loss, count_missing, peak_per_s
from sealcast.bench.schedules import SPEC, Case, SchedulesBench, crowd_sizes
from sealcast.cli.main import app
from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.testing import Bursts, Link, SimRandom
from sealcast.testing.links import LinkState

RECEIVERS = 100_000
FIVE_PERCENT = Loss(0.05)
PNG = b"\x89PNG\r\n\x1a\n"


def spaced(repeats: int) -> list[int]:
    """Return when a channel with default settings sends an update."""
    return [i * 60 * NS_PER_S // repeats for i in range(repeats)]


@pytest.fixture(scope="module")
def bench() -> SchedulesBench:
    """Give all tests one bench: it keeps the packets it made."""
    return SchedulesBench(RECEIVERS, (2, 3, 5), FIVE_PERCENT, seed=1)


@pytest.mark.parametrize(("repeats", "least", "most"), [(2, 200, 300), (3, 2, 23)])
def test_repairs_of_100000(bench: SchedulesBench, repeats: int, least: int, most: int) -> None:
    """At 5 % loss 250 ± 50 of 100,000 ask when an update is sent twice, 12.5 ± 11 when three times."""
    cost = bench.cost(Case.CHAIN, RECEIVERS, repeats)
    chances = FIVE_PERCENT.chances(spaced(repeats))
    assert cost.miss_chance == pytest.approx(prod(chances))
    seeds = [count_missing(RECEIVERS, chances, SimRandom(seed)) for seed in range(8)]
    print(f"{repeats} repeats: {cost.requests}, by other seeds {seeds}")
    assert all(least <= found <= most for found in [cost.requests, *seeds])


def test_the_default_misses_none_in_a_million(bench: SchedulesBench) -> None:
    """Sent five times, each receiver misses an update with a chance below one in a million."""
    cost = bench.cost(Case.CHAIN, RECEIVERS, 5)
    assert cost.miss_chance < 1e-6
    assert cost.requests <= 1
    assert count_missing(4_000_000, FIVE_PERCENT.chances(spaced(5)), SimRandom(1)) <= 4


@pytest.mark.soak
def test_repairs_by_many_seeds() -> None:
    """The mean of 1,000 crowds is where the chance says, and their spread that of independent receivers."""
    for repeats in (2, 3):
        expected = RECEIVERS * 0.05**repeats
        chances = FIVE_PERCENT.chances(spaced(repeats))
        counts = [count_missing(RECEIVERS, chances, SimRandom(f"many/{seed}")) for seed in range(1_000)]
        mean = sum(counts) / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / len(counts)
        print(f"{repeats} repeats: {mean:.2f} in the mean, {min(counts)} to {max(counts)}")
        assert mean == pytest.approx(expected, abs=5 * (expected / len(counts)) ** 0.5)
        assert variance == pytest.approx(expected, rel=0.25)
    assert count_missing(100_000_000, FIVE_PERCENT.chances(spaced(5)), SimRandom(1)) < 100


def test_a_chain_costs_the_same_for_any_crowd(bench: SchedulesBench) -> None:
    """What a sender multicasts does not depend on the crowd; fetching grows with it, a chain hardly."""
    small, large = (bench.cost(Case.CHAIN, receivers, 5) for receivers in (100, RECEIVERS))
    assert (small.seal_packets, small.seal_bytes) == (large.seal_packets, large.seal_bytes)
    fetch, fetch_all = (bench.cost(Case.FETCH, receivers) for receivers in (100, RECEIVERS))
    assert large.seal_packets == fetch.seal_packets + 5
    assert large.seal_bytes < fetch.seal_bytes + 5 * 500
    assert fetch_all.requests == RECEIVERS
    assert fetch_all.unicast_bytes == fetch.unicast_bytes * RECEIVERS // 100
    assert large.total_bytes < fetch_all.total_bytes / 1_000


@pytest.mark.parametrize("case", [Case.FETCH, Case.FRESH, Case.ORDERED])
def test_who_must_ask_is_spread(bench: SchedulesBench, case: Case) -> None:
    """All ask, within the window: the busiest second is near the even share of one."""
    cost = bench.cost(case, 20_000)
    even_per_s = 20_000 * 1_000 / cost.window_ms
    assert cost.requests == 20_000
    assert even_per_s <= cost.peak_per_s < 1.5 * even_per_s


def test_repeats_are_spread_against_bursts() -> None:
    """Where losses come in bursts, repeats that are sent apart are lost as if each by itself."""
    loss = Loss(0.05, burst_packets=100)
    apart = count_missing(RECEIVERS, loss.chances(spaced(2)), SimRandom(1))
    at_once = count_missing(RECEIVERS, loss.chances([0, 0]), SimRandom(1))
    assert 200 <= apart <= 300
    assert 4_700 <= at_once <= 5_200


@pytest.mark.parametrize("burst_packets", [1, 10, 100])
def test_bursts_are_those_of_the_simulated_network(burst_packets: int) -> None:
    """A packet some time after a lost one is lost as often as on a link that loses packet by packet."""
    link = LinkState(Link(bursts=Bursts.of(0.05, burst_packets)), SimRandom(burst_packets))
    lost = [link.is_lost() for _ in range(300_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.05, abs=0.01)
    for apart in (1, 5, 50):
        after = [later for now, later in zip(lost, lost[apart:], strict=False) if now]
        assert sum(after) / len(after) == pytest.approx(Loss(0.05, burst_packets).again(apart), abs=0.05)


def test_counts_are_distributed_as_single_draws() -> None:
    """Going from success to success gives the binomial distribution, also where most draws succeed."""
    for chance in (0.05, 0.9):
        counts = [count_missing(100, [chance], SimRandom(f"{chance}/{seed}")) for seed in range(2_000)]
        mean = sum(counts) / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / len(counts)
        assert mean == pytest.approx(100 * chance, abs=0.25)
        assert variance == pytest.approx(100 * chance * (1 - chance), rel=0.15)
    assert count_missing(100, [0.0], SimRandom(1)) == 0
    assert count_missing(100, [1.0, 1.0], SimRandom(1)) == 100


def test_the_seed_decides() -> None:
    """The same seed gives the same figures, another one others."""
    spec = replace(SPEC, lifetime_ms=20_000)
    costs = [
        SchedulesBench(RECEIVERS, (2,), FIVE_PERCENT, seed, spec).cost(Case.CHAIN, RECEIVERS, 2)
        for seed in (1, 1, 2)
    ]
    assert costs[0] == costs[1] != costs[2]


def test_sizes_and_peaks() -> None:
    """Crowds grow tenfold up to the one asked for; the busiest second may begin anywhere."""
    assert crowd_sizes(100) == (100,)
    assert crowd_sizes(2_500) == (100, 1_000, 2_500)
    assert crowd_sizes(RECEIVERS) == (100, 1_000, 10_000, 100_000)
    assert peak_per_s([]) == 0
    assert peak_per_s([0, 900_000_000, NS_PER_S, 1_899_999_999, 3 * NS_PER_S]) == 3


@pytest.mark.parametrize(("rate", "burst"), [("5", 0), ("x%", 0), ("100%", 0), ("-1%", 0), ("5%", 0.5)])
def test_a_loss_that_is_none(rate: str, burst: float) -> None:
    """What is no rate, or no length of a burst, is told in one line."""
    with pytest.raises(UsageError, match=r"rate of loss|burst"):
        Loss.parse(rate, burst)


def run(*arguments: str) -> str:
    """Run `bench schedules` for a small crowd and return what it printed."""
    done = CliRunner().invoke(app, ["bench", "schedules", "--receivers", "100", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_and_the_picture(tmp_path: Path) -> None:
    """One object holds the settings and a row for each change, the plot is a PNG."""
    arguments = ("--repeats", "2", "--loss", "20%", "--burst", "10", "--seed", "7", "--json")
    told = run(*arguments, "--plot", str(tmp_path / "change.png"))
    result = json.loads(told)
    assert (tmp_path / "change.png").read_bytes().startswith(PNG)
    assert result["loss"] == {"rate": 0.2, "burst_packets": 10.0}
    assert [(row["case"], row["receivers"], row["repeats"]) for row in result["changes"][:4]] == [
        ("fetch", 100, 0), ("chain", 100, 2), ("fresh start", 100, 0), ("ordered", 100, 0),
    ]  # fmt: skip
    assert set(result["exchanges"]) == {"fetch", "chain", "fresh start", "ordered"}


def test_a_table_for_people() -> None:
    """Without --json there is a line for each change, and one for each number of repeats."""
    lines = run("--repeats", "3").splitlines()
    assert sum(line.startswith("chain, 3 repeats") for line in lines) == 1
    assert lines[-1].split()[:3] == ["3", "20", "s"]


def test_mistakes_are_told() -> None:
    """A rate that is none is a mistake in usage."""
    done = CliRunner().invoke(app, ["bench", "schedules", "--loss", "much"])
    assert done.exit_code != 0
    assert isinstance(done.exception, UsageError) or "5%" in done.output
