"""Shows how customers are stored, whose devices are whose, and what was billed of them."""

from pathlib import Path

import pytest

from sealcast.billing import store_customers
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.store_customers import Customer
from sealcast.billing.tables import billed_periods
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")

MONTHLY = BillingCycle(PeriodKind.MONTHLY, "Europe/Berlin", 31)
DAILY = BillingCycle(PeriodKind.DAILY, "Asia/Tokyo")


def test_customers_are_kept_and_listed(tmp_path: Path) -> None:
    """A customer is what was put last, by id; a first bill keeps what is there."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        ada, bob = Customer("ada", "Ada", MONTHLY), Customer("bob", "", DAILY)
        do(lambda c: store_customers.put(c, bob, 1))
        do(lambda c: store_customers.put(c, Customer("ada", "", DAILY), 1))
        do(lambda c: store_customers.put(c, ada, 2))
        do(lambda c: store_customers.keep(c, Customer("ada", "other", DAILY), 3))
        do(lambda c: store_customers.keep(c, Customer("eve", "", DAILY), 3))
        assert do(lambda c: store_customers.page(c, "", 2)) == [ada, bob]
        assert do(lambda c: store_customers.page(c, "bob", 2)) == [Customer("eve", "", DAILY)]
        assert do(lambda c: store_customers.find(c, "ada")) == ada
        assert do(lambda c: store_customers.find(c, "TV-1")) is None
        assert do(lambda c: store_customers.customers_of(c, ["bob", "TV-1"])) == {"bob": bob}


def test_devices_have_customers(tmp_path: Path) -> None:
    """A device is its own customer until another one is to pay for it, the last one that was told."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        for name in ("ada", "TV-2"):
            do(lambda c, name=name: store_customers.put(c, Customer(name, "", DAILY), 1))
        do(lambda c: store_customers.join(c, "TV-2", ["TV-1", "TV-3"]))
        do(lambda c: store_customers.join(c, "ada", ["TV-1"]))
        do(lambda c: store_customers.join(c, "ada", []))
        owners = do(lambda c: store_customers.customer_of_devices(c, ["TV-1", "TV-2", "TV-3", "TV-4"]))
        assert owners == {"TV-1": "ada", "TV-2": "TV-2", "TV-3": "TV-2", "TV-4": "TV-4"}
        assert do(lambda c: store_customers.customer_of_devices(c, ["TV-1"])) == {"TV-1": "ada"}
        devices = do(lambda c: store_customers.devices_of(c, ["ada", "TV-1", "TV-2", "TV-4"]))
        assert devices == {
            "ada": ("TV-1", "ada"),
            "TV-1": (),
            "TV-2": ("TV-2", "TV-3"),
            "TV-4": ("TV-4",),
        }


def test_who_was_billed(tmp_path: Path) -> None:
    """A closed period or an invoice makes a customer one that was billed."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        assert not do(lambda c: store_customers.was_billed(c, "ada"))
        assert do(lambda c: store_customers.closed_until_ms(c, "ada")) is None
        for start_ms in (100, 200):
            row = {"customer": "ada", "start_ms": start_ms, "end_ms": start_ms + 100, "closed_at_ms": 500}
            do(lambda c, row=row: c.execute(billed_periods.insert(), row))
        assert do(lambda c: store_customers.was_billed(c, "ada"))
        assert not do(lambda c: store_customers.was_billed(c, "bob"))
        assert do(lambda c: store_customers.closed_until_ms(c, "ada")) == 300
