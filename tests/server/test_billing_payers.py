"""Shows who gets bills: customers that were set, and devices on their own, once a channel has a tariff."""

from pathlib import Path

import pytest

from sealcast.billing import store_assignments, store_customers, store_tariffs
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.store_customers import Customer
from sealcast.billing.tariffs import Price, Quantity, Step, TariffVersion
from sealcast.billing.timeline import Assignment
from sealcast.core.ids import ChannelNumber
from sealcast.server.billing import payers as billing_payers
from sealcast.server.billing.payers import Payer, count_payers, payers, payers_behind
from sealcast.server.settings import BillingSettings
from sealcast.subscribers import store as allow_list
from sealcast.subscribers.store import Subscription
from storage.database import database

SETTINGS = BillingSettings(cycle="weekly", zone="Asia/Tokyo", anchor_day=7)
USUAL = BillingCycle(PeriodKind.WEEKLY, "Asia/Tokyo", 7)
DAILY = BillingCycle(PeriodKind.DAILY)
BASIC = TariffVersion("EUR", 0, (Price("Subscription", Quantity.PERIODS, (Step(1),)),))


def test_who_pays(tmp_path: Path) -> None:
    """Those of channels with a tariff, also after they left; of other channels nobody; each of them once."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        assert do(count_payers) == 0
        ada = Customer("ada", "Ada", DAILY)
        for customer in (ada, Customer("bob", "", DAILY), Customer("TV-5", "", DAILY)):
            do(lambda c, customer=customer: store_customers.put(c, customer, 1))
        do(lambda c: store_customers.join(c, "ada", ["TV-2", "TV-3"]))
        do(lambda c: store_customers.join(c, "bob", ["TV-9"]))
        do(lambda c: store_tariffs.add(c, "basic", BASIC, 1))
        subscribed = [
            (1, "TV-1"),
            (1, "TV-2"),
            (2, "TV-2"),
            (2, "TV-3"),
            (3, "TV-4"),
            (1, "TV-5"),
            (3, "TV-9"),
        ]
        for channel, device in subscribed:
            row = Subscription(ChannelNumber(channel), device, 1)
            do(lambda c, row=row: allow_list.add(c, row))
        assert do(lambda c: payers_behind(c, SETTINGS, "", 10)) == ((), False)
        for channel in (1, 2):
            do(lambda c, channel=channel: store_assignments.add(c, channel, Assignment(0, "basic"), 1))
        do(lambda c: allow_list.remove(c, ChannelNumber(1), "TV-1", 5, ended_by="withdrawn", fence_epoch=9))
        do(lambda c: allow_list.add(c, Subscription(ChannelNumber(1), "TV-1", 6)))
        expected = (
            Payer(Customer("TV-1", "", USUAL), ("TV-1",), is_kept=False),
            Payer(Customer("TV-5", "", DAILY), ("TV-5",), is_kept=True),
            Payer(ada, ("TV-2", "TV-3", "ada"), is_kept=True),
        )
        assert do(lambda c: payers_behind(c, SETTINGS, "", 10)) == (expected, False)
        assert do(lambda c: payers_behind(c, SETTINGS, "", 2)) == (expected[:2], True)
        assert do(lambda c: payers_behind(c, SETTINGS, "TV-5", 2)) == (expected[2:], False)
        assert do(lambda c: payers_behind(c, SETTINGS, "ada", 2)) == ((), False)
        assert do(count_payers) == 3
        assert do(lambda c: payers(c, SETTINGS, ["ada"])) == expected[2:]


def test_pages_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of any size give everybody once, in order, and end before they have too many devices."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking
        do(lambda c: store_tariffs.add(c, "basic", BASIC, 1))
        do(lambda c: store_assignments.add(c, 1, Assignment(0, "basic"), 1))
        for n in range(40):
            row = Subscription(ChannelNumber(1), f"TV-{n}", 1)
            do(lambda c, row=row: allow_list.add(c, row))
        for n in range(0, 40, 3):
            name = f"TV-{n}b"
            do(lambda c, name=name: store_customers.put(c, Customer(name, "", DAILY), 1))
            do(lambda c, name=name, n=n: store_customers.join(c, name, [f"TV-{n}"]))
        ids = sorted(f"TV-{n}b" if n % 3 == 0 else f"TV-{n}" for n in range(40))
        for count, devices in ((1, 100), (7, 100), (40, 100), (40, 5), (40, 0)):
            monkeypatch.setattr(billing_payers, "DEVICES_MAX", devices)
            found, last, has_more = [], "", True
            while has_more:
                page, has_more = do(lambda c, after=last, n=count: payers_behind(c, SETTINGS, after, n))
                assert sum(len(payer.devices) for payer in page) <= max(devices, len(page[0].devices))
                found += [payer.customer.id for payer in page]
                last = found[-1]
            assert found == ids
        assert do(count_payers) == 40
