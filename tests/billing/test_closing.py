"""Closing: which periods of a customer are billed, when, and that the bills add up."""

from sealcast.billing.closing import draft
from sealcast.billing.facts import AccountFacts, SubscriptionFacts
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.rating import Span
from sealcast.billing.tariffs import Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, timelines

DAY_MS = 86_400_000


def test_a_day_is_billed_once_it_is_over_and_settled() -> None:
    """A daily customer has a bill for each day that is over, and none for the present one."""
    basic = Tariff("basic", (TariffVersion("EUR", 0, (Price("Day", Quantity.PERIODS, (Step(10**6),)),)),))
    lines = timelines([Assignment(0, "basic")], "TV-1", {"basic": basic})
    subscription = SubscriptionFacts("TV-1", 7, "news", (Span(0),), lines, ())
    account = AccountFacts("TV-1", "", BillingCycle(PeriodKind.DAILY), (subscription,))
    assert draft(account, DAY_MS + 9, 10, 100).waiting is not None
    drafted = draft(account, DAY_MS + 10, 10, 100)
    assert [each.total_minor for each in drafted.invoices] == [100]
    assert [each.start_ms for each in drafted.closes] == [0]
