"""`bench billing`: what it measures is done, and adds up; in a small form."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from sealcast.bench import billing_stock
from sealcast.cli.main import app
from sealcast.server.founding import open_database

GRANTS, CUSTOMERS = 600, 30


def run(*arguments: str) -> str:
    """Run `bench billing` over a small database and return what it printed."""
    sizes = ("--grants", str(GRANTS), "--customers", str(CUSTOMERS))
    done = CliRunner().invoke(app, ["bench", "billing", *sizes, *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_json() -> None:
    """One object holds rates, memory and sizes; each customer has its invoice, all grants were metered."""
    figures = json.loads(run("--json"))
    assert (figures["grants"], figures["customers"], figures["invoices"]) == (GRANTS, CUSTOMERS, CUSTOMERS)
    assert figures["metered_grants_per_s"] > 0
    assert figures["invoices_per_s"] > 0
    assert figures["peak_rss_mb"] >= figures["baseline_rss_mb"] > 0
    assert figures["database_mb"] > figures["stock_mb"] > 0
    assert figures["bytes_per_invoice"] > 500
    waits = figures["waits"]
    assert 0 < waits["median_ms"] <= waits["p99_ms"] <= waits["max_ms"]


def test_what_it_comes_to() -> None:
    """The sum of all bills is what the arithmetic of the tariff says, by hand.

    A channel has 20 epochs of 600 s: 455,927 packets of 1,316 bytes, 12.0 GB. Data: 12 GB - 5 GB free =
    7 GB at 0.02 = 0.14. Keys: 20 at 0.001 = 0.02. Subscription 9.99. Tax: 19 % of 10.15 = 1.93. 12.08 each.
    """
    assert json.loads(run("--json"))["total_minor"] == 1_208 * CUSTOMERS


def test_a_table_for_people() -> None:
    """Without --json two lines say how much was done how fast, and two what it took."""
    lines = run().splitlines()
    assert "waited" in lines[-2]
    assert [line.split("  ")[0] for line in lines[-4:-2]] == ["grants metered and rated", "invoices closed"]
    assert "MB" in lines[-1]


def test_the_stock(tmp_path: Path) -> None:
    """Every device has a grant of each epoch of its channel; channels share the devices evenly."""
    engine = open_database(tmp_path / "stock.sqlite")
    with engine.begin() as connection:
        stock = billing_stock.fill(connection, GRANTS, CUSTOMERS)
        by_channel = connection.execute(
            sa.text("SELECT channel, count(*), count(DISTINCT device) FROM grants GROUP BY channel")
        ).all()
    engine.dispose()
    assert (stock.grants, stock.devices, stock.channels, stock.epochs) == (GRANTS, CUSTOMERS, 10, 20)
    assert by_channel == [(channel, 60, 3) for channel in range(1, 11)]


@pytest.mark.parametrize("wrong", [("--grants", "99"), ("--grants", "100", "--customers", "101")])
def test_mistakes_are_told(wrong: tuple[str, ...]) -> None:
    """Too few grants for anything, or for all customers, is a mistake in usage."""
    done = CliRunner().invoke(app, ["bench", "billing", *wrong])
    assert done.exit_code != 0
