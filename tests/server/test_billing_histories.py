"""Shows that bills add up to the same however often, and in whatever pieces, their operator closes."""

from collections import Counter
from typing import Any

import pytest

from sealcast.core.ports import NS_PER_MS
from sealcast.messages import operations_billing as operations
from sealcast.server.billing.air import record_air
from sealcast.testing import SimRandom
from server.billing_site import HOUR_MS, BillingSite, billing_site, price, terms
from server.charging import DAY_MS

DEVICES = ("TV-1", "TV-2", "TV-3")
CHANNELS = ("news", "sport")
STEPS, SEEDS, SEEDS_LONG = 60, 2, 60
SETTLE_MS = 15_000

EURO = terms(
    price("Base", "periods", 10_000_000),
    price("Data", "bytes", 70_000, 10**9, free=5 * 10**9),
    price("Air", "received-ms", 30_000, HOUR_MS),
    price("Keys", "epochs", 13_000),
    tax_ppm=190_000,
    minimum_micro=3_000_000,
    cap_micro=11_000_000,
)
DEARER = terms(price("Base", "periods", 14_000_000), price("Data", "bytes", 90_000, 10**9), tax_ppm=70_000)
YEN = terms(price("Data", "bytes", 17_000_000, 10**9), price("Base", "subscribed-ms", 1_000_000, HOUR_MS))

CYCLES: tuple[dict[str, Any], ...] = (
    {"cycle": "weekly", "anchor_day": 3, "zone": "America/Lima"},
    {"cycle": "closing"},
)
"""Of the third device; the others are billed each day."""

BILLED = """
    SELECT i.currency, l.device, l.channel, l.period_start_ms, l.version_from_ms, l.name,
           sum(l.due_minor), sum(l.units)
    FROM invoice_lines l JOIN invoices i ON i.number = l.invoice
    WHERE l.counts GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(l.due_minor) <> 0
"""


class Twins:
    """Two key servers with one history: one closes again and again, the other once, at the end."""

    def __init__(self, often: BillingSite, once: BillingSite, chance: SimRandom) -> None:
        self.often, self.once, self.both = often, once, (often, once)
        self.chance = chance
        self.cycle = CYCLES[chance.below(len(CYCLES))]
        self.subscribed: set[tuple[str, str]] = set()
        self.last_ms = [often.now_ms, often.now_ms]
        self.sizes: list[tuple[int, int, int]] = []
        self.asked: Counter[str] = Counter()

    def set_up(self) -> None:
        """Make tariffs, and a customer for two of the devices that is billed each day in Tokyo."""
        for site in self.both:
            for name, currency, of, channel in (
                ("euro", "EUR", EURO, "news"),
                ("yen", "JPY", YEN, "sport"),
            ):
                site.ask(operations.TARIFF_ADD, name=name, currency=currency, terms=of, channels=[channel])
            site.ask(
                operations.CUSTOMER_SET,
                id="family",
                cycle="daily",
                zone="Asia/Tokyo",
                devices=["TV-1", "TV-2"],
            )
            site.ask(operations.CUSTOMER_SET, id="TV-3", **self.cycle)
        for device, channel in (("TV-1", "news"), ("TV-3", "news"), ("TV-2", "sport")):
            self.subscribe(device, channel)

    def step(self) -> None:
        """Let something happen to both, or have one of them close."""
        both = (self.wait, self.wait, self.air, self.air, self.come_or_go, self.tell_late, self.change_price)
        one = (self.close, self.close, self.close, self.close, self.credit)
        actions = [*both, *one]
        action = actions[self.chance.below(len(actions))]
        self.asked[action.__name__] += 1
        action()

    def wait(self) -> None:
        """Let hours pass, now and then weeks."""
        hours = self.chance.below(40) + 1 if self.chance.below(6) else 24 * 20
        for site in self.both:
            site.clock.advance((hours * HOUR_MS + 20_000) * NS_PER_MS)
            site.run(site.operator.fetch_nonce())

    def air(self) -> None:
        """Put some hours of a channel on the air, which all who are subscribed were granted."""
        nth = self.chance.below(2)
        spans = []
        for _ in range(self.chance.below(6) + 1):
            start_ms = self.last_ms[nth] + self.chance.below(3) * HOUR_MS // 2
            end_ms = start_ms + self.chance.below(3 * HOUR_MS)
            if end_ms + SETTLE_MS < self.often.now_ms:
                spans.append((start_ms, end_ms))
                self.last_ms[nth] = end_ms
        if not spans:
            self.wait()
            return
        size = self.chance.below(9) * 10**9 + self.chance.below(10**9)
        devices = sorted(device for device, channel in self.subscribed if channel == CHANNELS[nth])
        for site in self.both:
            first = site.read(f"SELECT coalesce(max(epoch), 0) FROM epochs WHERE channel = {nth + 1}")[0][0]  # noqa: S608
            site.air(nth + 1, *spans, size=size)
            numbers = range(first + 1, first + 1 + len(spans))
            for device in devices:
                site.grant(device, nth + 1, *numbers)
        self.sizes += [(nth + 1, number, size) for number in numbers]
        self.record()

    def tell_late(self) -> None:
        """Have a sender report more of an epoch that may have been billed long ago."""
        if not self.sizes:
            return
        place = self.chance.below(len(self.sizes))
        channel, epoch, size = self.sizes[place]
        size += self.chance.below(5 * 10**9)
        self.sizes[place] = channel, epoch, size
        for site in self.both:
            site.tell_late(channel, epoch, size)
        self.record()

    def record(self) -> None:
        """Have both record what was on air, at the same moment."""
        now_ms = self.often.now_ms
        for site in self.both:
            site.look(lambda connection: record_air(connection, now_ms, SETTLE_MS))

    def come_or_go(self) -> None:
        """Subscribe somebody, or end a subscription."""
        device = DEVICES[self.chance.below(3)]
        channel = CHANNELS[self.chance.below(2)]
        if (device, channel) not in self.subscribed:
            self.subscribe(device, channel)
            return
        self.subscribed.discard((device, channel))
        for site in self.both:
            site.remove(device, channel)

    def subscribe(self, device: str, channel: str) -> None:
        """Subscribe a device at both."""
        self.subscribed.add((device, channel))
        for site in self.both:
            site.subscribe(device, channel)

    def change_price(self) -> None:
        """Give a channel or a device another tariff from now on, or another version from the next day on."""
        kind = self.chance.below(3)
        for site in self.both:
            if kind == 0 and not site.read("SELECT 1 FROM tariffs WHERE name = 'dear'"):
                fields = {"name": "dear", "currency": "EUR", "terms": DEARER, "channels": ["sport"]}
                site.run(site.operator.ask(operations.TARIFF_ADD, **fields))
            elif kind == 1:
                fields = {"name": "euro", "currency": "EUR", "terms": EURO, "from_ms": site.now_ms + DAY_MS}
                site.run(site.operator.ask(operations.TARIFF_ADD, **fields))
            else:
                fields = {"channel": "news", "tariff": "yen", "device": "TV-1"}
                site.run(site.operator.ask(operations.TARIFF_ASSIGN, **fields))

    def close(self) -> None:
        """Have one of them close: all, a page, or one customer; now and then it begins anew."""
        how = self.chance.below(5)
        fields: dict[str, Any] = {"limit": 1} if how == 0 else {"customer": "family"} if how == 1 else {}
        self.often.ask(operations.INVOICE_CLOSE, **fields)
        if how == 3:
            self.often.restart()
            self.often.run(self.often.operator.fetch_nonce())

    def credit(self) -> None:
        """Have one of them credit what is left of an invoice, or of its first line, to be billed again."""
        ((last,),) = self.often.read("SELECT count(*) FROM invoices")
        if last:
            number, lines = self.chance.below(last) + 1, [1] if self.chance.below(2) else []
            wish = {"number": number, "id": f"c-{last}", "reason": "sorry", "is_rebilled": True}
            self.often.run(self.often.operator.ask(operations.INVOICE_CREDIT, **wish, lines=lines))

    def end(self) -> None:
        """Let what is late settle, have both close all that there is, and compare every line."""
        for _ in range(2):
            for site in self.both:
                site.let_days_pass(9)
            self.record()
        for site in self.both:
            assert site.bill().waiting == []
        for device, channel in sorted(self.subscribed):
            for site in self.both:
                site.remove(device, channel)
        for site in self.both:
            site.let_days_pass(1)
            assert site.bill().waiting == []
            assert site.bill().issued == []
        often, once = ({tuple(row[:6]): row[6:] for row in site.read(BILLED)} for site in self.both)
        assert often == once


def history(seed: int) -> Counter[str]:
    """Play a history, and return what happened how often."""
    with (
        billing_site(*DEVICES, channels=CHANNELS) as often,
        billing_site(*DEVICES, channels=CHANNELS) as once,
    ):
        twins = Twins(often, once, SimRandom(seed))
        twins.set_up()
        for _ in range(STEPS):
            twins.step()
        twins.end()
        return twins.asked


@pytest.mark.parametrize("seed", range(SEEDS))
def test_closed_often_or_once(seed: int) -> None:
    """Comings, goings, prices, late reports, credits: the bills add up to those of one closing at the end."""
    assert history(seed)["close"] > STEPS // 8


@pytest.mark.soak
@pytest.mark.timeout(3_000)
def test_closed_often_or_once_at_length() -> None:
    """The same, of many histories."""
    for seed in range(SEEDS, SEEDS_LONG):
        history(seed)
