"""Shows how tariffs and what they are assigned to are stored, found and listed."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.billing import store_assignments, store_tariffs
from sealcast.billing.store_assignments import Wanted
from sealcast.billing.tariffs import Price, Quantity, Step, TariffVersion
from sealcast.billing.timeline import Assignment
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")


def version(from_ms: int, until_ms: int | None = None, price_micro: int = 1) -> TariffVersion:
    """Return a version with one price."""
    price = Price("Subscription", Quantity.PERIODS, (Step(price_micro),))
    return TariffVersion("EUR", from_ms, (price,), until_ms)


def test_versions_come_in_order_of_time(tmp_path: Path) -> None:
    """Versions are in order of their first instants, however they were added; names in order too."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        do(lambda c: store_tariffs.add(c, "basic", version(200, 300), 1))
        do(lambda c: store_tariffs.add_version(c, "basic", version(100, 200), 2))
        do(lambda c: store_tariffs.add(c, "alpha", version(0), 3))
        found = do(store_tariffs.tariffs)
        assert list(found) == ["alpha", "basic"]
        assert found["basic"].versions == (version(100, 200), version(200, 300))
        assert list(do(lambda c: store_tariffs.tariffs(c, ["basic", "none"]))) == ["basic"]
        assert do(lambda c: store_tariffs.find(c, "none")) is None
        assert do(lambda c: store_tariffs.names_behind(c, "", 1)) == ["alpha"]
        assert do(lambda c: store_tariffs.names_behind(c, "alpha", 5)) == ["basic"]


def test_a_version_never_changes(tmp_path: Path) -> None:
    """The database itself refuses to change or remove a version that was added."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        do(lambda c: store_tariffs.add(c, "basic", version(0), 1))
        for statement in ("UPDATE tariff_versions SET terms = ''", "DELETE FROM tariff_versions"):
            with pytest.raises(sa.exc.IntegrityError, match="append-only"):
                do(lambda c, statement=statement: c.exec_driver_sql(statement))
        assert do(store_tariffs.tariffs)["basic"].versions == (version(0),)


def test_assignments(tmp_path: Path) -> None:
    """Assignments are found by channel and device, in order of time, and listed in order of making."""
    made = [
        (1, Assignment(200, "basic")),
        (1, Assignment(100, "alpha")),
        (1, Assignment(150, "staff", "TV-1")),
        (1, Assignment(180, None, "TV-1")),
        (1, Assignment(100, "staff", "TV-2")),
        (2, Assignment(0, "basic")),
    ]
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        for name in ("alpha", "basic", "staff"):
            do(lambda c, name=name: store_tariffs.add(c, name, version(0), 1))
        for channel, each in made:
            do(lambda c, channel=channel, each=each: store_assignments.add(c, channel, each, 5))
        found = do(lambda c: store_assignments.assignments(c, [1, 3]))
        assert found == {1: (made[1][1], made[4][1], made[2][1], made[3][1], made[0][1]), 3: ()}
        mine = do(lambda c: store_assignments.assignments(c, [1, 2], ["TV-1"]))
        assert mine == {1: (made[1][1], made[2][1], made[3][1], made[0][1]), 2: (made[5][1],)}
        assert do(store_assignments.channels) == (1, 2)
        assert do(lambda c: store_assignments.subjects_of(c, "staff")) == {(1, "TV-1"), (1, "TV-2")}

        def listed(wanted: Wanted, after: int = 0, count: int = 10) -> list[int]:
            rows = do(lambda c: store_assignments.page(c, wanted, after, count))
            return [made.index((each.channel, each.assignment)) for each in rows]

        assert listed(Wanted()) == [0, 1, 2, 3, 4, 5]
        assert listed(Wanted(), 2, 2) == [2, 3]
        assert listed(Wanted(channel=1, device="")) == [0, 1]
        assert listed(Wanted(device="TV-1")) == [2, 3]
        assert listed(Wanted(tariff="staff")) == [2, 4]


def test_what_is_assigned_at_an_instant(tmp_path: Path) -> None:
    """A channel, and a device of its own, has at an instant what began last; none ends what was before."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        do(lambda c: store_tariffs.add(c, "basic", version(0), 1))
        for each in (Assignment(100, "basic"), Assignment(200, None), Assignment(150, "basic", "TV-1")):
            do(lambda c, each=each: store_assignments.add(c, 1, each, 5))
        at = store_assignments.tariff_at
        found = [do(lambda c, t=t: at(c, 1, None, t)) for t in (99, 100, 199, 200)]
        assert found == [None, "basic", "basic", None]
        assert do(lambda c: at(c, 1, "TV-1", 149)) is None
        assert do(lambda c: at(c, 1, "TV-1", 150)) == "basic"
        assert do(lambda c: store_assignments.begins_at(c, 1, None, 100))
        assert not do(lambda c: store_assignments.begins_at(c, 1, "TV-1", 100))
        with pytest.raises(sa.exc.IntegrityError):
            do(lambda c: store_assignments.add(c, 1, Assignment(100, None), 6))
