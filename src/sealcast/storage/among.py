"""Owns "is among these" for many values: one parameter, however many there are.

SQLAlchemy's `IN` writes a statement anew for each number of values, at a microsecond for each of them. Here
they travel as one JSON text, which both databases take apart.
"""

from collections.abc import Iterable
from typing import Any, Self

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class _Condition(sa.ColumnElement[bool]):
    """A condition that stands in a statement as it is written.

    For SQLite, which has no truth values, SQLAlchemy would write `= 1` behind it, and no index would be used.
    """

    def self_group(self, against: object = None) -> Self:
        """Return itself: what it is next to in a statement changes nothing."""
        _ = against
        return self


class Among(_Condition):
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


class AmongPairs(_Condition):
    """Whether a text and a whole number are together in the list that `listed` made of a parameter."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy has it
        ("text", sa.sql.visitors.InternalTraversal.dp_clauseelement),
        ("number", sa.sql.visitors.InternalTraversal.dp_clauseelement),
        ("values", sa.sql.visitors.InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, text: sa.Column[Any], number: sa.Column[Any], name: str) -> None:
        self.type = sa.Boolean()
        self.text, self.number = text, number
        self.values: sa.BindParameter[str] = sa.bindparam(name, type_=sa.Text())


def among_pairs(text: sa.Column[Any], number: sa.Column[Any], name: str) -> AmongPairs:
    """Return the condition; the parameter `name` is given as `listed` has it, of pairs.

    An index on both columns finds each pair. Two conditions of `among` find all of one with all of the other.
    """
    return AmongPairs(text, number, name)


def listed(values: Iterable[object]) -> str:
    """Return texts or whole numbers as the parameter of an `among`, or pairs as that of an `among_pairs`."""
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


@compiles(AmongPairs)
def _pairs_on_sqlite(element: AmongPairs, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - as above
    # Without the casts SQLite looks up the first column alone.
    first, second = "CAST(value ->> 0 AS TEXT)", "CAST(value ->> 1 AS INTEGER)"
    return _pairs(element, compiler, f"{first}, {second} FROM json_each({{}})", **kw)


@compiles(AmongPairs, "postgresql")
def _pairs_on_postgres(element: AmongPairs, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - as above
    pair = "value ->> 0, CAST(value ->> 1 AS bigint)"
    return _pairs(element, compiler, f"{pair} FROM json_array_elements(CAST({{}} AS json)) AS value", **kw)


def _pairs(element: AmongPairs, compiler: SQLCompiler, source: str, **kw: Any) -> str:  # noqa: ANN401 - as above
    text, number = compiler.process(element.text, **kw), compiler.process(element.number, **kw)
    return f"({text}, {number}) IN (SELECT {source.format(compiler.process(element.values, **kw))})"
