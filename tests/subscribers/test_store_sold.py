"""Shows the list of devices sold: sales stay as first told, and in any order of steps it is what was done."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.subscribers import store_sold
from sealcast.subscribers.store_sold import OPERATOR, SALE, Sold
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")

SERIALS = ("A", "B", "C")
STEPS = st.lists(
    st.tuples(st.sampled_from(["sell", "vouch", "unvouch", "remove"]), st.sampled_from(SERIALS)), max_size=40
)


def sale(serial: str, at_ms: int) -> Sold:
    """Return a sale that can be told from every other by its time."""
    return Sold(serial, SALE, "2026-01-31", f"shop {at_ms}", "", at_ms)


def expected(model: dict[str, Sold], step: str, serial: str, at_ms: int) -> object:
    """Do a step on a model of the list; return what the store is to answer."""
    known = model.get(serial)
    if step == "sell":
        if known is not None and known.origin == SALE:
            return [serial]
        model[serial] = sale(serial, at_ms)
        return []
    if step == "vouch":
        model.setdefault(serial, Sold(serial, OPERATOR, "", "", "", at_ms))
        return None
    if step == "unvouch":
        if known is not None and known.origin == OPERATOR:
            del model[serial]
        return None
    return model.pop(serial, None) is not None


def test_any_order_of_steps(tmp_path: Path) -> None:
    """In any order of sales, vouching, its end and removals the list is that of a plain model."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking

        @settings(max_examples=60, deadline=None, database=None, derandomize=True)
        @given(STEPS)
        def one(steps: list[tuple[str, str]]) -> None:
            do(lambda c: c.exec_driver_sql("DELETE FROM sold"))
            model: dict[str, Sold] = {}
            for at_ms, (step, serial) in enumerate(steps):
                answers = {
                    "sell": lambda c, s=serial, at=at_ms: store_sold.sell(c, [sale(s, at)]),
                    "vouch": lambda c, s=serial, at=at_ms: store_sold.vouch(c, s, at),
                    "unvouch": lambda c, s=serial: store_sold.unvouch(c, s),
                    "remove": lambda c, s=serial: store_sold.remove(c, s),
                }
                assert do(answers[step]) == expected(model, step, serial, at_ms)
            listed = do(lambda c: list(store_sold.page(c, "", 100)))
            assert listed == [model[serial] for serial in sorted(model)]
            assert do(store_sold.are_sold) == any(each.origin == SALE for each in model.values())
            for serial in SERIALS:
                assert do(lambda c, s=serial: store_sold.is_known(c, s)) == (serial in model)

        one()


def test_pages(tmp_path: Path) -> None:
    """A page begins behind a serial number, whether that is on the list or not, and has at most so many."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        sales = [sale(f"TV-{number}", number) for number in (4, 0, 6, 2, 5, 1, 3, 2)]
        assert do(lambda c: store_sold.sell(c, sales)) == ["TV-2"]
        page = do(lambda c: [each.serial for each in store_sold.page(c, "TV-2a", 3)])
        assert page == ["TV-3", "TV-4", "TV-5"]
        assert do(lambda c: list(store_sold.page(c, "TV-6", 3))) == []
