"""Owns the forms of a bill: the document itself in JSON, and CSV, HTML and PDF made from it.

```
bytes on record ──► Invoice or Statement ──┬──► CSV    one row a line, for spreadsheets
      │                                    └──► Sheet ──► HTML, PDF
      └──► JSON: those very bytes
```
A form depends on the document and on nothing else: made again it is the same, byte for byte.
"""

from enum import StrEnum
from hashlib import sha256

import msgspec

from sealcast.billing.documents_csv import csv_of
from sealcast.billing.documents_html import html_of
from sealcast.billing.sheets import Sheet, sheet_of, title_of
from sealcast.core.errors import FormatError
from sealcast.messages.bookkeeping import Statement
from sealcast.messages.invoicing import Invoice

DOCUMENT_BYTES_MAX = 32 * 1024 * 1024
"""Several times an invoice with as many lines as it may have."""


class Form(StrEnum):
    """In which form a document is wanted; the name is also the ending of its file."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"
    PDF = "pdf"


def read_document(data: bytes) -> Invoice | Statement:
    """Return what the bytes of a document say; raises FormatError if they are none, or not written as ours.

    A document has one way to be written, so what is read and written again are the same bytes.
    """
    if len(data) > DOCUMENT_BYTES_MAX:
        raise FormatError(f"a document has at most {DOCUMENT_BYTES_MAX} bytes, not {len(data)}")
    try:
        document = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not an invoice or statement: {error}") from error
    if msgspec.json.encode(document) != data:
        raise FormatError("the document is not written as documents are: some of it would be lost")
    return document


def render(data: bytes, form: Form) -> bytes:
    """Return a document's bytes in a form.

    Raises FormatError as `read_document`, ModuleNotFoundError for a PDF without typst. Cost: about 1 ms, a
    PDF some 20 ms and more for hundreds of lines.
    """
    if form is Form.JSON:
        return data
    document = read_document(data)
    if form is Form.CSV:
        return csv_of(document)
    sheet = sheet_of_bytes(data, document)
    if form is Form.HTML:
        return html_of(sheet)
    # Only the extra `invoice` brings typst.
    from sealcast.billing.pdf import pdf_of  # noqa: PLC0415 - see above

    return pdf_of(sheet)


def sheet_of_bytes(data: bytes, document: Invoice | Statement) -> Sheet:
    """Return what a document says to people, with the SHA-256 of its bytes."""
    return sheet_of(document, sha256(data).hexdigest())


def file_name(document: Invoice | Statement, form: Form) -> str:
    """Return the name of a document's file: `invoice-000123.pdf`, `credit-note-000124.html`."""
    return f"{title_of(document).lower().replace(' ', '-')}.{form.value}"


def _decode(data: bytes) -> Invoice | Statement:
    kind = msgspec.json.decode(data, type=_Kind).kind
    if kind is None:
        return msgspec.json.decode(data, type=Statement)
    return msgspec.json.decode(data, type=Invoice)


class _Kind(msgspec.Struct):
    """What tells the two kinds of documents apart: a statement has no `kind`."""

    kind: str | None = None
