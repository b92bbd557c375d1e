"""Shows that the forms of a bill say all of it, say nothing else, and are the same whenever they are made."""

import csv
import hashlib
import io
import logging
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import bills
from sealcast.billing import pdf
from sealcast.billing.documents import Form, file_name, read_document, render, sheet_of_bytes
from sealcast.core.errors import FormatError
from sealcast.messages.bookkeeping import Statement
from sealcast.messages.invoicing import LINES_MAX, Invoice

ALL = {
    "invoice": bills.invoice(),
    "credit note": bills.credit_note(),
    "hostile": bills.hostile(),
    "statement": bills.statement(),
}


def rows_of(document: Invoice | Statement) -> list[dict[str, str]]:
    """Return the rows of a document's CSV."""
    text = render(msgspec.json.encode(document), Form.CSV).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def page_of(document: Invoice | Statement) -> str:
    """Return what the page of the PDF says, as typst tells it."""
    data = msgspec.json.encode(document)
    bill = pdf._bill(sheet_of_bytes(data, read_document(data)))
    text = typst.compile(pdf._page(), format="html", sys_inputs={"bill": bill}, ignore_system_fonts=True)
    return " ".join(Texts(text.decode()).text.replace(pdf.BREAK, "").split())


class Texts(HTMLParser):
    """Collects the texts and the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", set[str](), set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and its attributes."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


@pytest.mark.parametrize("document", ALL.values(), ids=ALL)
def test_json_is_the_document_itself(document: Invoice | Statement) -> None:
    """The form JSON is the very bytes that are kept, and reading them gives the document."""
    data = msgspec.json.encode(document)
    assert render(data, Form.JSON) == data
    assert read_document(data) == document


def test_what_is_no_document() -> None:
    """Other bytes are refused, and so are a document's if they are written in another way."""
    data = msgspec.json.encode(bills.invoice())
    for other in (
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 5_000,
        data[:-1],
        data + b" ",
        data.replace(b",", b", ", 1),
    ):
        with pytest.raises(FormatError):
            read_document(other)
    unknown = data[:-1] + b',"more":1}'
    with pytest.raises(FormatError, match="not written as documents are"):
        read_document(unknown)


def test_csv_adds_up() -> None:
    """The rows of a CSV have all lines, and their amounts add up to the total."""
    rows = rows_of(bills.invoice())
    assert [row["line"] for row in rows] == [str(n) for n in range(1, 9)]
    assert sum(round(float(row["amount"]) * 100) for row in rows) == 5538
    first = rows[0]
    assert (first["so_far"], first["billed_before"], first["amount"]) == ("10.73", "10.51", "0.22")
    assert (first["document"], first["number"], first["currency"]) == ("invoice", "123", "EUR")
    assert (rows[1]["is_tax"], rows[1]["tax_rate"]) == ("yes", "0.190000")
    credited = rows_of(bills.credit_note())
    assert [(row["corrects"], row["amount"]) for row in credited] == [("123", "-9.99"), ("123", "-1.90")]
    owed = rows_of(bills.statement())
    assert [row["amount"] for row in owed] == ["1407.700000", "12.903226"]


def test_a_spreadsheet_runs_nothing() -> None:
    """No cell of text begins as a formula does; a number below 0 stays a number."""
    for row in rows_of(bills.hostile()):
        for name, cell in row.items():
            if name not in {"amount", "so_far", "billed_before", "units"}:
                assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t")), (name, cell)
            assert not set("\r\n") & set(cell)
        assert row["name"].startswith("'=#panic()")
        assert row["customer_name"].startswith("'@SUM(A1) #panic()")
        assert row["reason"].startswith("'-1 #panic()")
    assert rows_of(bills.invoice())[4]["amount"] == "-5.36"


@pytest.mark.parametrize("document", ALL.values(), ids=ALL)
def test_html_says_all_and_runs_nothing(document: Invoice | Statement) -> None:
    """A page holds every text as text, loads nothing, and has no element but those of its form."""
    data = msgspec.json.encode(document)
    page = render(data, Form.HTML).decode()
    texts = Texts(page)
    assert not {"script", "img", "link", "a", "iframe", "object", "form", "b"} & texts.tags
    assert texts.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "colspan"}
    assert "default-src &#x27;none&#x27;" in page
    assert hashlib.sha256(data).hexdigest() in texts.text
    sheet = sheet_of_bytes(data, document)
    said = [sheet.issuer, sheet.recipient, *(value for _, value in sheet.facts)]
    said += [row.name for group in sheet.groups for part in group.parts for row in part.rows]
    said += [
        note for group in sheet.groups for part in group.parts for row in part.rows for note in row.notes
    ]
    for text in said:
        assert text in texts.text


@pytest.mark.parametrize("document", ALL.values(), ids=ALL)
def test_pdf_takes_names_as_names(document: Invoice | Statement) -> None:
    """Typst shows each text as it is, whatever it would mean in typst's own language."""
    data = msgspec.json.encode(document)
    page = page_of(document)
    sheet = sheet_of_bytes(data, document)
    said = [sheet.issuer, *(group.heading for group in sheet.groups)]
    said += [row.name for group in sheet.groups for part in group.parts for row in part.rows]
    said += [
        note for group in sheet.groups for part in group.parts for row in part.rows for note in row.notes
    ]
    for text in said:
        assert " ".join(text.split()) in page
    made = pdf.pdf_of(sheet)
    assert made.startswith(b"%PDF-1.7")
    assert b"/Count" in made


def named(text: str) -> bytes:
    """Return an invoice that has one text everywhere."""
    lines = [
        msgspec.structs.replace(each, device=text, channel_name=text, name=text, tariff=text, workings=text)
        for each in bills.invoice().lines
    ]
    told = {"operator": text, "customer_name": text, "zone": text, "issued_at": text, "reason": text}
    return msgspec.json.encode(msgspec.structs.replace(bills.invoice(), lines=lines, **told))


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=60, deadline=None)
def test_any_text_is_shown(text: str) -> None:
    """Whatever a name is, the bill is made, the spreadsheet has its rows, and the page no element more."""
    data = named(text)
    plain = Texts(render(named("x"), Form.HTML).decode())
    assert Texts(render(data, Form.HTML).decode()).tags == plain.tags
    assert len(rows_of(read_document(data))) == 8


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@settings(max_examples=8, deadline=None)
def test_typst_sets_any_text(text: str) -> None:
    """Whatever a name is, there is a PDF."""
    assert render(named(text), Form.PDF).startswith(b"%PDF")


def test_letters_without_a_font(caplog: pytest.LogCaptureFixture) -> None:
    """A bill in a script that no font of the machine has is made all the same, and the log says so."""
    unknown = msgspec.structs.replace(bills.invoice(), customer_name="\U00012000 of Ur")
    with caplog.at_level(logging.WARNING):
        assert render(msgspec.json.encode(unknown), Form.PDF).startswith(b"%PDF")
    assert "no font of this machine has all letters of Invoice 000123" in caplog.text


MAKE = """
import hashlib, sys
from pathlib import Path
from sealcast.billing.documents import Form, render
data = Path(sys.argv[1]).read_bytes()
print(*(hashlib.sha256(render(data, form)).hexdigest() for form in Form))
"""


def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    """Another process, with another hash seed, time zone and language, makes the same bytes of each form."""
    path = tmp_path / "document"
    for document in (bills.invoice(), bills.statement()):
        path.write_bytes(msgspec.json.encode(document))
        here = " ".join(hashlib.sha256(render(path.read_bytes(), form)).hexdigest() for form in Form)
        environment = {
            "PYTHONHASHSEED": "7",
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "C",
            "HOME": str(tmp_path),
        }
        command = [sys.executable, "-c", MAKE, str(path)]
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert again.stdout.split() == here.split()


def test_the_pdf_is_of_the_documents_instant() -> None:
    """A PDF's date is the document's, in UTC; nothing in it depends on when it was made."""
    made = render(msgspec.json.encode(bills.invoice()), Form.PDF)
    assert set(re.findall(rb"\(D:(\d+)", made)) == {b"20260331220015"}
    assert b"<pdfaid:part>2</pdfaid:part>" in made


def test_the_longest_invoice() -> None:
    """An invoice with as many lines as there may be has all of them on its page."""
    lines = [msgspec.structs.replace(bills.invoice().lines[7], line=n) for n in range(1, LINES_MAX + 1)]
    data = msgspec.json.encode(msgspec.structs.replace(bills.invoice(), lines=lines))
    page = render(data, Form.HTML).decode()
    assert f"<td>{LINES_MAX}</td>" in page
    assert len(rows_of(read_document(data))) == LINES_MAX


def test_groups_and_totals() -> None:
    """Lines stand by device and channel, then period and tariff; each group has its sum, each tax its own."""
    data = msgspec.json.encode(bills.invoice())
    sheet = sheet_of_bytes(data, read_document(data))
    assert [(group.heading, group.amount) for group in sheet.groups] == [
        ("TV-0001 · news", "47.86"),
        ("TV-0002 · film", "7.52"),
    ]
    assert [[row.place for row in part.rows] for part in sheet.groups[0].parts] == [
        ["1", "2"],
        ["3", "4", "5", "6"],
    ]
    late = sheet.groups[0].parts[0]
    assert late.heading == "1 \u2013 28 February 2026 · tariff basic, prices of 1 January 2026"
    assert late.rows[0].notes[1] == "10.73 so far in this period, 10.51 billed before"
    assert [(total.label, total.amount) for total in sheet.totals] == [
        ("Net", "47.74"),
        ("Tax 19 %", "7.64"),
        ("Total", "55.38"),
    ]
    facts = dict(sheet.facts)
    assert facts["Periods"] == "1 \u2013 31 March 2026; 1 \u2013 28 February 2026"
    note = msgspec.json.encode(bills.credit_note())
    facts = dict(sheet_of_bytes(note, read_document(note)).facts)
    assert (facts["Corrects"], facts["Reason"]) == ("Invoice 000123", "half of March was dark")


def test_the_example_is_made_by_its_tool() -> None:
    """The example among the documents is what its tool makes today."""
    folder = Path(__file__).parents[2]
    tool = runpy.run_path(str(folder / "tools" / "example_invoice.py"))
    data = tool["example"]()
    for form in (Form.JSON, Form.CSV, Form.HTML):
        kept = folder / "docs" / "examples" / file_name(read_document(data), form)
        assert kept.read_bytes() == render(data, form), "type: python tools/example_invoice.py docs/examples"


def test_names_of_files() -> None:
    """A document's file is called after its kind and number."""
    names = [file_name(document, Form.PDF) for document in ALL.values()]
    assert names == [
        "invoice-000123.pdf",
        "credit-note-000124.pdf",
        "invoice-000123.pdf",
        "statement-000003.pdf",
    ]
