"""Owns the options that commands on bills and statements share."""

from enum import StrEnum
from typing import Annotated

import typer


class FormChoice(StrEnum):
    """Forms of a document (`billing.documents.Form`); a copy of its names, which help needs without it."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"
    PDF = "pdf"


DocumentFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write a file: its ending, .pdf, .html, .csv or .json, says in which form.",
        show_default=False,
    ),
]
DocumentForm = Annotated[
    FormChoice | None,
    typer.Option("--form", help="Form, where no file's ending says it.", show_default=False),
]
