"""Shows that credits take back what an invoice asked for, in whatever pieces, and never more."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.billing.credits import Left, Wish, credit_note, left_of
from sealcast.billing.invoices import Issued, LineRow, issue, local_time, read_invoice, sums
from sealcast.core.errors import LocalError, UsageError
from sealcast.messages.invoicing import Invoice, InvoiceLine

ISSUED_MS = 1_770_000_000_000
PPM = 190_000


def bill(*amounts: int, tax: int = 0, number: int = 7) -> Issued:
    """Return an invoice of lines of one version, with its tax as the last line."""
    told = [(f"price {n}", amount, False) for n, amount in enumerate(amounts, 1)]
    told += [("tax", tax, True)] if tax else []
    lines = [
        InvoiceLine(
            line=nth,
            device="TV-1",
            channel=1,
            channel_name="news",
            period_start="2026-01-01T00:00:00+00:00",
            period_end="2026-02-01T00:00:00+00:00",
            tariff="basic",
            valid_from="2026-01-01T00:00:00+00:00",
            name=name,
            quantity=None if is_tax else "bytes",
            units=0 if is_tax else 1_000,
            workings="",
            so_far_minor=amount,
            billed_minor=0,
            amount_minor=amount,
            is_tax=is_tax,
            tax_ppm=PPM if is_tax else 0,
        )
        for nth, (name, amount, is_tax) in enumerate(told, 1)
    ]
    net, taxed = sums(lines)
    invoice = Invoice(
        kind="invoice",
        number=number,
        operator="op",
        customer="TV-1",
        customer_name="",
        currency="EUR",
        decimals=2,
        issued_at=local_time(ISSUED_MS, "UTC"),
        cycle="monthly",
        zone="UTC",
        lines=lines,
        net_minor=net,
        tax_minor=taxed,
        total_minor=net + taxed,
    )
    rows = tuple(
        LineRow(
            line=line.line,
            device=line.device,
            channel=1,
            period_start_ms=0,
            version_from_ms=0,
            name=line.name,
            quantity=line.quantity,
            units=line.units,
            due_minor=line.amount_minor,
            is_tax=line.is_tax,
            counts=True,
        )
        for line in lines
    )
    return issue(invoice, rows, ISSUED_MS)


class Books:
    """An invoice and the credit notes on it."""

    def __init__(self, invoice: Issued) -> None:
        self.invoice = invoice
        self.notes: list[Issued] = []

    @property
    def left(self) -> dict[int, Left]:
        """What is left of each line."""
        credited: dict[int, tuple[int, int]] = {}
        for note in self.notes:
            for row in note.lines:
                minor, units = credited.get(row.line, (0, 0))
                credited[row.line] = minor + row.due_minor, units + row.units
        return left_of(self.invoice.lines, credited)

    @property
    def minor(self) -> list[int]:
        """The same in minor units, line by line."""
        return [each.minor for each in self.left.values()]

    def credit(
        self, *lines: int, amount: int | None = None, is_rebilled: bool = False
    ) -> list[tuple[int, int]]:
        """Credit, and return line and amount of each line of the note."""
        wish = Wish("c", "kindness", lines, amount, is_rebilled)
        invoice = read_invoice(self.invoice.document)
        note = credit_note(invoice, self.left, wish, 8 + len(self.notes), ISSUED_MS + 1)
        self.notes.append(note)
        return [(row.line, row.due_minor) for row in note.lines]


def test_the_picture() -> None:
    """The tax on what is credited goes with it: what stays is the tax on what stays."""
    books = Books(bill(1_000, 200, tax=228))
    assert books.credit(1, amount=400) == [(1, -400), (3, -76)]
    assert books.minor == [600, 200, 152]
    assert books.credit(1) == [(1, -600), (3, -114)]
    assert books.credit() == [(2, -200), (3, -38)]
    assert books.minor == [0, 0, 0]
    with pytest.raises(UsageError, match="nothing is left of invoice 000007"):
        books.credit()


def test_the_note_itself() -> None:
    """A credit note is a document of its own: negative amounts, the entry the other way round, the reason."""
    books = Books(bill(1_000, 200, tax=228))
    books.credit()
    (note,) = books.notes
    told = read_invoice(note.document)
    assert (told.kind, told.number, told.corrects, told.reason) == ("credit-note", 8, 7, "kindness")
    assert (told.net_minor, told.tax_minor, told.total_minor) == (-1_200, -228, -1_428)
    assert told.lines[0].workings == "10.00 asked, 10.00 credited, 0.00 left"
    assert note.entry is not None
    assert note.entry.id == "invoice-000008"
    assert {(each.account, each.amount_micro) for each in note.entry.postings} == {
        ("subscriber:TV-1", -14_280_000),
        ("operator:income", 12_000_000),
        ("tax:190000", 2_280_000),
    }
    assert note.entry.corrects is None
    assert [(row.units, row.counts) for row in note.lines] == [(-1_000, False), (-1_000, False), (0, False)]


def test_units_go_with_the_last_of_a_line() -> None:
    """A line's units are taken back once all of it is."""
    books = Books(bill(1_000))
    books.credit(1, amount=999, is_rebilled=True)
    assert [(row.units, row.counts) for row in books.notes[0].lines] == [(0, True)]
    books.credit(1)
    assert [(row.units, row.counts) for row in books.notes[1].lines] == [(-1_000, False)]


@pytest.mark.parametrize(
    ("lines", "amount", "why"),
    [
        ((4,), None, "has no line 4; it has 3 lines"),
        ((1,), 1_001, "has 10.00 EUR left"),
        ((), 5, "name that line"),
        ((1, 2), 5, "name that line"),
        ((1,), 0, "above 0"),
        ((1,), -5, "above 0"),
    ],
)
def test_refused(lines: tuple[int, ...], amount: int | None, why: str) -> None:
    """More than is left, of no line, or less than nothing is not credited."""
    with pytest.raises(UsageError, match=why):
        Books(bill(1_000, 200, tax=228)).credit(*lines, amount=amount)


def test_what_paid_back_is_not_credited_alone() -> None:
    """A line that pays something back goes with the whole invoice only: alone it would ask for more."""
    books = Books(bill(1_000, -300))
    with pytest.raises(UsageError, match="ask for more"):
        books.credit(2)
    with pytest.raises(UsageError, match=r"-3\.00 EUR left"):
        books.credit(2, amount=1)
    assert books.credit() == [(1, -1_000), (2, 300)]


def test_a_document_that_does_not_add_up_is_not_issued() -> None:
    """Sums are checked before anything is kept."""
    good = read_invoice(bill(1_000, tax=190).document)
    with pytest.raises(LocalError, match="add up"):
        issue(msgspec.structs.replace(good, total_minor=1), (), ISSUED_MS)
    bad_line = msgspec.structs.replace(good.lines[0], so_far_minor=999)
    with pytest.raises(LocalError, match="add up"):
        issue(msgspec.structs.replace(good, lines=[bad_line, *good.lines[1:]]), (), ISSUED_MS)
    with pytest.raises(LocalError, match="damaged"):
        read_invoice(b"{}")


@given(
    amounts=st.lists(st.integers(0, 10_000), min_size=1, max_size=4),
    wishes=st.lists(
        st.tuples(st.lists(st.integers(1, 5), max_size=3, unique=True), st.none() | st.integers(1, 9_000)),
        max_size=8,
    ),
)
@settings(max_examples=150, deadline=None)
def test_in_any_pieces(amounts: list[int], wishes: list[tuple[list[int], int | None]]) -> None:
    """Whatever is credited in whatever pieces: each line stays between nothing and what it asked for.

    In the end all of it is credited to the last cent, tax and all.
    """
    tax = (sum(amounts) * PPM + 500_000) // 1_000_000
    books = Books(bill(*amounts, tax=tax))
    asked = books.minor
    for lines, amount in wishes:
        before = books.minor
        try:
            books.credit(*lines, amount=amount)
        except UsageError:
            assert books.minor == before
        assert all(0 <= left <= whole for left, whole in zip(books.minor, asked, strict=True))
    if any(books.minor):
        books.credit()
    assert not any(books.minor)
    taken = sum(read_invoice(note.document).total_minor for note in books.notes)
    assert taken == -sum(asked)
