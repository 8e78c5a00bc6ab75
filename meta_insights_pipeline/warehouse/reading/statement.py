"""A query as a value: SQL text, the values that are bound to it, and what its columns hold.

A value never becomes part of the text: whoever builds a query hands it to a `Binder` and writes the placeholder that comes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, Protocol

import pyarrow as pa

from meta_insights_pipeline.warehouse.schema import SUM

Value = str | int | float | bool | date | datetime | None


class Readable(Protocol):
    """What a query needs of a snapshot."""

    @property
    def identity(self) -> str:
        """Never the same for two different published files."""
        ...

    def rows(self, sql: str, parameters: Mapping[str, Any], /) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        ...

    def arrow(self, sql: str, parameters: Mapping[str, Any], /) -> pa.RecordBatchReader:
        """The rows of a query, some at a time."""
        ...


class Shape(StrEnum):
    """What a column holds, and with it how JSON shows it."""

    TEXT = "text"
    """An id or a word of Meta's or ours."""
    NAME = "name"
    """Text that people wrote."""
    INTEGER = "integer"
    DECIMAL = "decimal"
    """An exact number; in JSON a string with as many digits as it has."""
    NUMBER = "number"
    """A quotient, in double precision."""
    DAY = "day"
    MOMENT = "moment"
    """In UTC."""
    FLAG = "flag"


@dataclass(frozen=True)
class ResultColumn:
    """A column of an answer."""

    name: str
    shape: Shape
    description: str = ""
    unit: str = ""
    """`count`, `money` (major units of the account's currency), `percent`, `ratio`, `days`, `day`, `UTC`, or nothing."""


def shape_of(sql_type: str) -> Shape:
    """What a column of an SQL type holds."""
    if sql_type.startswith("DECIMAL"):
        return Shape.DECIMAL
    return {
        "BIGINT": Shape.INTEGER,
        "DOUBLE": Shape.NUMBER,
        "DATE": Shape.DAY,
        "TIMESTAMP": Shape.MOMENT,
        "BOOLEAN": Shape.FLAG,
    }.get(sql_type, Shape.TEXT)


class Binder:
    """Collects the values of a query."""

    def __init__(self) -> None:
        self.parameters: dict[str, Value] = {}

    def __call__(self, value: Value) -> str:
        """Bind a value; gives its placeholder."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def is_in(self, expression: str, values: Iterable[Value]) -> str:
        """A condition that an expression is one of some values; false when there are none."""
        places = ", ".join(self(value) for value in values)
        return f"{expression} IN ({places})" if places else "false"


@dataclass(frozen=True)
class Query:
    """A query that can be read for JSON or for a file."""

    columns: tuple[ResultColumn, ...]
    body: str
    """A SELECT that has these columns, and may have more."""
    parameters: Mapping[str, Value]
    order: str = ""
    """ORDER BY and LIMIT over the rows `q` of the body."""

    @property
    def sql(self) -> str:
        """With the types of the warehouse."""
        return f"SELECT {', '.join(_named(each) for each in self.columns)} FROM ({self.body}) AS q {self.order}"

    @property
    def json_sql(self) -> str:
        """With decimals as text: DuckDB writes them many times quicker than Python."""
        return f"SELECT {', '.join(_shown(each) for each in self.columns)} FROM ({self.body}) AS q {self.order}"

    def records(self, snapshot: Readable) -> list[dict[str, Any]]:
        """The rows as JSON objects without their text: moments are naive and in UTC."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.tuples(snapshot)]

    def tuples(self, snapshot: Readable) -> list[tuple[Any, ...]]:
        """The values of `records` alone, in the order of the columns."""
        return snapshot.rows(self.json_sql, self.parameters)

    def arrow(self, snapshot: Readable) -> pa.RecordBatchReader:
        """The rows with their types, some at a time."""
        return snapshot.arrow(self.sql, self.parameters)


def picked(
    rows: Iterable[tuple[Any, ...]], columns: Sequence[ResultColumn], wanted: Sequence[ResultColumn]
) -> list[dict[str, Any]]:
    """Rows of some columns as objects with those of them that are wanted, two or more."""
    places = {column.name: place for place, column in enumerate(columns)}
    names = [column.name for column in wanted]
    pick = itemgetter(*(places[name] for name in names))
    return [dict(zip(names, pick(row), strict=True)) for row in rows]


def decimal_text(expression: str) -> str:
    """A decimal as text in as few digits as it takes, like 12.4 or 100."""
    # The text has a point whenever the type has decimals, so that zeros of a whole number are safe behind it.
    return f"rtrim(rtrim(({expression})::{SUM}::VARCHAR, '0'), '.')"


def _named(column: ResultColumn) -> str:
    return f'q."{column.name}"'


def _shown(column: ResultColumn) -> str:
    if column.shape is Shape.DECIMAL:
        return f'{decimal_text(_named(column))} AS "{column.name}"'
    return _named(column)
