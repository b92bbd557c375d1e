"""Owns documents as PDF, set by typst (the extra `invoice`) from the page `document.typ`.

Text from outside reaches typst as data and is never read as markup or code. The only instant in the file is
the document's own, so that it is the same bytes whenever and wherever it is made: the fonts are typst's own.
Only scripts that these do not have are set in fonts of the machine.
"""

import datetime as dt
import logging
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
import typst

from sealcast.billing.sheets import REPORT_HEADERS, REPORT_NOTE, Sheet
from sealcast.billing.wording import instant_of
from sealcast.core.errors import LocalError

ARCHIVAL: Literal["a-2a"] = "a-2a"

WORD_CHARS_MAX = 24
"""A longer word may break anywhere after so many: no name runs off the page."""

BREAK = "\u200b"

_log = logging.getLogger(__name__)


def pdf_of(sheet: Sheet) -> bytes:
    """Return a sheet as PDF/A-2a, made to be kept and to be read aloud.

    Where no font of the machine has all letters, boxes stand for them, the log says so, and it is a plain
    PDF. Raises LocalError if typst cannot set it. Cost: about 50 ms, and 1 ms a line.
    """
    bill = _bill(sheet)
    for is_portable in (True, False):
        try:
            return _compile(bill, is_portable=is_portable, is_archival=True)
        except typst.TypstError:  # A letter that these fonts do not have; anything else comes up again below.
            continue
    try:
        made = _compile(bill, is_portable=False, is_archival=False)
    except typst.TypstError as error:
        raise LocalError(f"typst cannot set {sheet.title}: {error}") from error
    _log.warning("no font of this machine has all letters of %s: boxes stand for them", sheet.title)
    return made


def _compile(bill: str, *, is_portable: bool, is_archival: bool) -> bytes:
    return typst.compile(
        _page(),
        format="pdf",
        sys_inputs={"bill": bill},
        ignore_system_fonts=is_portable,
        pdf_standards=[ARCHIVAL] if is_archival else [],
    )


def _bill(sheet: Sheet) -> str:
    """Return the sheet as JSON, with breaks in long words, and what else the page asks for."""
    issued = instant_of(sheet.issued_at)
    utc = None if issued is None else issued.astimezone(dt.UTC)
    told = {
        **msgspec.to_builtins(sheet),
        "issued": None if utc is None else utc.timetuple()[:6],
        "report_headers": REPORT_HEADERS,
        "report_note": REPORT_NOTE,
    }
    return msgspec.json.encode(_breakable(told)).decode()


def _breakable(value: object) -> object:
    """Return a value with places to break in the long words of its texts."""
    if isinstance(value, str):
        return " ".join(_broken(word) for word in value.split(" "))
    if isinstance(value, dict):
        return {name: each if name == "sha256" else _breakable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_breakable(each) for each in value]
    return value


def _broken(word: str) -> str:
    if len(word) <= WORD_CHARS_MAX:
        return word
    return BREAK.join(word[at : at + WORD_CHARS_MAX] for at in range(0, len(word), WORD_CHARS_MAX))


@cache
def _page() -> bytes:
    return files("sealcast.billing").joinpath("document.typ").read_bytes()
