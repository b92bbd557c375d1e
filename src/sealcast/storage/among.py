"""Owns "is among these" for many values: one parameter, however many there are.

SQLAlchemy's `IN` writes a statement anew for each number of values, at a microsecond for each of them. Here
they travel as one JSON text, which both databases take apart.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class Among(sa.ColumnElement[bool]):
    """Whether a text or whole number is in the list that `listed` made of a parameter."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy has it
        ("column", sa.sql.visitors.InternalTraversal.dp_clauseelement),
        ("values", sa.sql.visitors.InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: sa.Column[Any], name: str) -> None:
        self.type = sa.Boolean()
        self.column = column
        self.values: sa.BindParameter[str] = sa.bindparam(name, type_=sa.Text())


def among(column: sa.Column[Any], name: str) -> Among:
    """Return the condition; the parameter `name` is given as `listed` has it."""
    return Among(column, name)


def listed(values: Iterable[object]) -> str:
    """Return texts or whole numbers as the parameter of an `among`."""
    return msgspec.json.encode(list(values)).decode()


@compiles(Among)
def _on_sqlite(element: Among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitor
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - our own text


@compiles(Among, "postgresql")
def _on_postgres(element: Among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - as above
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    is_text = isinstance(element.column.type, sa.Text | sa.String)
    each = "value" if is_text else "CAST(value AS bigint)"
    return f"{column} IN (SELECT {each} FROM json_array_elements_text(CAST({values} AS json)) AS value)"  # noqa: S608 - our own text
