"""Shows that money is never created, lost or paid twice, whoever acts when and wherever things break off."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from escrow.runs import Tally, play_all
from escrow.shop import fill
from sealcast.escrow.orders import ENDS
from sealcast.ledger import reading
from storage.places import is_on_postgres, upgraded_engine

pytestmark = pytest.mark.usefixtures("both_databases")

RUNS, RUNS_ON_POSTGRES, RUNS_OF_SOAK = 100, 20, 5_000
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
SEED = int(os.environ.get("SEALCAST_SEED", "0"))


@pytest.fixture
def shop() -> Iterator[sa.Engine]:
    """Give a database in memory: thousands of commits, none of which has to outlive the test."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        engine = upgraded_engine(Path(folder) / "test.sqlite")
        with engine.begin() as connection:
            fill(connection)
        yield engine
        engine.dispose()


def check(engine: sa.Engine, tally: Tally) -> None:
    """Show that the whole ledger balances, and that the runs had what they are about."""
    with engine.connect() as connection:
        found = reading.balances(connection, "a", "z")
        assert sum(each.balance_micro for each in found) == 0
        # What is owed is below 0: nobody ever has less than nothing.
        assert all(each.balance_micro <= 0 for each in found if each.account != "escrow:cash")
        assert reading.unbalanced(connection, 0, 10**9) == []
        left = "SELECT count(*) FROM escrow_orders WHERE state NOT IN ('released', 'refunded', 'expired')"
        assert connection.exec_driver_sql(left).scalar() == 0
    assert set(tally.ends) == set(ENDS)
    assert tally.faults > sum(tally.ends.values()) // 8
    wanted = {
        ("issued", "disputed"),
        ("disputed", "confirmed"),
        ("disputed", "refunded"),
        ("paid", "refunded"),
    }
    assert wanted <= set(tally.steps)
    assert set(tally.refusals) == {"order-state", "not-covered"}


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["here", "elsewhere"])
def test_runs(shop: sa.Engine, is_elsewhere: bool) -> None:  # noqa: FBT001 - pytest's way
    """Seeded runs of everything at once end with every order ended and everybody's money where it belongs."""
    runs = RUNS_ON_POSTGRES if is_on_postgres() else RUNS
    tally = play_all(shop, range(SEED, SEED + runs), is_elsewhere=is_elsewhere)
    check(shop, tally)
    assert bool(tally.late) == is_elsewhere


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["here", "elsewhere"])
def test_ten_thousand_runs(shop: sa.Engine, is_elsewhere: bool) -> None:  # noqa: FBT001 - as above
    """5,000 seeds with the embedded ledger and 5,000 with an account elsewhere; on PostgreSQL a tenth."""
    runs = RUNS_OF_SOAK // 10 if is_on_postgres() else RUNS_OF_SOAK
    tally = play_all(shop, range(SEED, SEED + runs), is_elsewhere=is_elsewhere)
    check(shop, tally)
    print(
        f"{runs} runs: {dict(tally.ends)}, {tally.faults} faults, {tally.late} late, {dict(tally.refusals)}"
    )
