"""Owns the way of a document from the key server to a file or the screen, checked on the way.

Imported by commands when they run, not for their help.
"""

import hashlib
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sealcast.billing.documents import (
    DOCUMENT_BYTES_MAX,
    Form,
    file_name,
    read_document,
    render,
    sheet_of_bytes,
)
from sealcast.billing.sheets import REPORT_HEADERS, REPORT_NOTE, Sheet
from sealcast.cli.billing.options import FormChoice
from sealcast.cli.output import WIDTH_OFF_TERMINAL, make_table, print_json, print_line
from sealcast.client import KeyServerClient
from sealcast.core.errors import AuthenticationError, FormatError, UsageError
from sealcast.messages.invoicing import DOCUMENT_CHUNK_BYTES, DocumentAnswer, document_number
from sealcast.messages.operation import Operation

PIECES_MAX = 16 * DOCUMENT_BYTES_MAX // DOCUMENT_CHUNK_BYTES
"""A server may send smaller pieces than ours does, but not for ever."""

STANDARD_OUTPUT = "-"


async def fetch(client: KeyServerClient, operation: Operation, number: int) -> bytes:
    """Return the bytes of a document, piece by piece.

    Raises AuthenticationError if they do not have the SHA-256 that the key server names, FormatError if they
    are no document of that number or are not written as documents are; and as `KeyServerClient.call`.
    """
    data = bytearray()
    first: DocumentAnswer | None = None
    for _ in range(PIECES_MAX):
        answer = await client.expect(operation, DocumentAnswer, number=number, offset=len(data))
        first = first or answer
        data += answer.piece
        is_whole = len(data) >= answer.size
        if is_whole or not answer.piece or answer.size > DOCUMENT_BYTES_MAX:
            break
    name = document_number(number)
    if first is None or len(data) != first.size or hashlib.sha256(data).hexdigest() != first.sha256:
        raise AuthenticationError(f"what came of document {name} is not what the key server has on record")
    if read_document(bytes(data)).number != number:
        raise FormatError(f"the key server sent another document in place of {name}")
    return bytes(data)


def form_of(path: str | None, choice: FormChoice | None) -> Form | None:
    """Return the form that a file's name or an option asks for; None: as a page of text on the screen.

    Raises UsageError for a name that says none and for a PDF that would go to a terminal, ModuleNotFoundError
    for a PDF without the extra that makes it.
    """
    form = None if choice is None else Form(choice.value)
    if form is None and path not in {None, STANDARD_OUTPUT}:
        ending = Path(path or "").suffix.lower().removeprefix(".")
        if ending not in set(Form):
            raise UsageError(f"{path} does not say in which form: end it in .pdf, .html, .csv or .json")
        form = Form(ending)
    if form is Form.PDF:
        if path in {None, STANDARD_OUTPUT} and sys.stdout.isatty():
            raise UsageError("a PDF is nothing for a terminal: add --output FILE.pdf")
        check_form(form)
    return form


def check_form(form: Form) -> None:
    """Raise ModuleNotFoundError if the extra that makes a form is missing, before anything is asked for."""
    if form is Form.PDF:
        import sealcast.billing.pdf  # noqa: F401, PLC0415 - brings typst, or says that it is missing


def show(data: bytes, number: int, path: str | None, form: Form | None, *, is_json: bool) -> None:
    """Give a document to a file, or to standard output; with `is_json` as a program reads it."""
    if is_json and path is None:
        print_line(data.decode())
        return
    hand_out(data, path, form)
    if path in {None, STANDARD_OUTPUT}:
        return
    if is_json:
        print_json({"number": number, "file": path})
    else:
        print_line(f"{path} is written")


def hand_out(data: bytes, path: str | None, form: Form | None) -> None:
    """Give a document to a file, or to standard output; raises UsageError if it cannot be written."""
    if form is None:
        print_sheet(sheet_of_bytes(data, read_document(data)))
    elif path in {None, STANDARD_OUTPUT}:
        sys.stdout.flush()
        sys.stdout.buffer.write(render(data, form))
        sys.stdout.buffer.flush()
    else:
        write_file(Path(path or ""), render(data, form))


def write_into(folder: Path, data: bytes, forms: list[Form]) -> int:
    """Write a document into a folder in some forms, under its own name; return how many files that is."""
    document = read_document(data)
    for form in forms:
        write_file(folder / file_name(document, form), render(data, form))
    return len(forms)


def write_file(path: Path, data: bytes) -> None:
    """Put a file in the place of `path` at once: nobody sees half of it. Raises UsageError."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


# On the screen


def print_sheet(sheet: Sheet) -> None:
    """Write a bill as text."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OFF_TERMINAL, highlight=False)
    console.print(Text.assemble((sheet.title, "bold"), f" · {sheet.issuer}"), soft_wrap=True)
    console.print(Text(sheet.recipient), soft_wrap=True)
    print_line("")
    console.print(_facts(sheet))
    print_line("")
    console.print(_lines(sheet))
    if sheet.reports:
        print_line("")
        console.print(Text(REPORT_NOTE), soft_wrap=True)
        console.print(make_table([each.upper() for each in REPORT_HEADERS], sheet.reports))
    print_line("")
    print_line(f"SHA-256 {sheet.sha256}")


def _facts(sheet: Sheet) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, value in sheet.facts:
        table.add_row(Text(label, style="dim"), Text(value))
    return table


def _lines(sheet: Sheet) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("LINE")
    table.add_column("WHAT FOR")
    table.add_column("UNITS", justify="right")
    table.add_column(sheet.currency, justify="right")
    for group in sheet.groups:
        table.add_row("", Text(group.heading, style="bold"), "", Text(group.amount, style="bold"))
        for part in group.parts:
            if part.heading:
                table.add_row("", Text(part.heading, style="cyan"))
            for row in part.rows:
                table.add_row(Text(row.place), Text(row.name), Text(row.units), Text(row.amount))
                for note in row.notes:
                    table.add_row("", Text(f"  {note}", style="dim"))
    table.add_row()
    for total in sheet.totals:
        style = "bold" if total is sheet.totals[-1] else ""
        table.add_row("", Text(total.label, style=style), "", Text(total.amount, style=style))
    return table
