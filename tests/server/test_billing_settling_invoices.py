"""Settlement of invoices and credit notes as closing issues them, over a key server's own operations."""

from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import ContractTerms, Statement
from sealcast.messages.encoding import decode
from server.billing_site import BillingSite, billing_site, every_hour, price, terms

BASIC = terms(
    price("Subscription", "periods", 9_990_000), price("Data", "bytes", 100_000, 10**9), tax_ppm=190_000
)
CONTRACT = ContractTerms(
    broadcaster="studio7",
    channel="news",
    currency="EUR",
    share_parts=1,
    share_of=2,
    unit="bytes",
    unit_price_micro=10_000,
    unit_per=10**9,
)


def settled(site: BillingSite) -> list[int]:
    """Settle, and return what each new statement comes to."""
    return [row.amount_micro for row in site.ask(operations.SETTLE).statements]


def test_from_bill_to_statement_and_back() -> None:
    """Half of what is billed and 0.01 for each GB, in the month of the bill; a credit note takes both back.

    January's bill, on 2 February: 9.99 and 9 GB at 0.10 are 10.89 net. February's share is 5.445, and 9 GB
    bring 0.09: 5.535. On 6 March it is credited, and February is billed: 9.99 - 10.89 = -0.90, half is -0.45,
    less 0.09: -0.54. Both together are half of the 9.99 that were asked for in all: 4.995.
    """
    with billing_site("TV-1") as site:
        site.ask(operations.TARIFF_ADD, name="basic", currency="EUR", terms=BASIC, channels=["news"])
        site.ask(operations.CONTRACT_ADD, terms=CONTRACT)
        site.subscribe("TV-1", "news")
        site.air(1, *every_hour(site.now_ms, 3), size=3 * 10**9)
        site.grant("TV-1", 1, 1, 2, 3)
        site.let_days_pass(32)
        site.bill()
        # Nothing was billed in January.
        assert settled(site) == [0]
        site.let_days_pass(32)
        assert settled(site) == [5_535_000]
        credit = {"number": 1, "id": "c-1", "reason": "no picture"}
        site.ask(operations.INVOICE_CREDIT, **credit)
        site.bill()
        site.let_days_pass(30)
        assert settled(site) == [-540_000]
        pieces = [site.ask(operations.STATEMENT_SHOW, number=number).piece for number in (2, 3)]
        lines = [decode(piece, Statement).lines[0] for piece in pieces]
        assert [line.billed_micro for line in lines] == [10_890_000, -900_000]
        assert [line.units for line in lines] == [9 * 10**9, -9 * 10**9]
        balances = site.ask(operations.LEDGER_BALANCES).balances
        found = {row.account: row.balance_micro for row in balances}
        assert found["broadcaster:studio7"] == -4_995_000
        assert found["operator:income"] == -9_990_000 + 4_995_000
        assert sum(found.values()) == 0
