"""Owns functions that the databases have under different names."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class gathered(FunctionElement[str]):  # noqa: N801 - reads as a function
    """The numbers of a column, of all rows of a group, as a JSON array in one text."""

    type = sa.Text()
    name = "gathered"
    inherit_cache = True


@compiles(gathered)
def _on_sqlite(element: gathered, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return f"json_group_array({compiler.process(element.clauses, **kw)})"


@compiles(gathered, "postgresql")
def _on_postgresql(element: gathered, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - as above
    return f"CAST(json_agg({compiler.process(element.clauses, **kw)}) AS TEXT)"
