"""Rows as lines of CSV (RFC 4180).

Those of a query are written by the database: Python would hold up everybody else while it writes as many. The few that are no
query's are written here, by the same rules.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from meta_insights_pipeline.warehouse.reading.statement import Query, ResultColumn, Shape, decimal_text

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA: Final = r"'^[=+\-@\t\r\n]'"
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_TO_QUOTE: Final = r"""'[",\r\n]'"""


def names_line(columns: Sequence[ResultColumn]) -> bytes:
    """The first line: the names of the columns, none of which needs quotes."""
    return f"{','.join(column.name for column in columns)}\r\n".encode()


def lines_sql(query: Query) -> str:
    """A statement with the rows of a query as one column of lines with their ends; nothing stands for null."""
    cells = ", ',', ".join(_cell(column) for column in query.columns)
    return f"SELECT concat({cells}, chr(13), chr(10)) AS line FROM ({query.body}) AS q {query.order}"


def lines_of(columns: Sequence[ResultColumn], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows that are no query's; moments are UTC without a zone."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    for row in rows:
        writer.writerow(
            [_written(row.get(column.name), column.shape in (Shape.NAME, Shape.TEXT)) for column in columns]
        )
    return lines.getvalue().encode("utf-8")


def _written(value: Any, is_text: bool) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return f"{value.isoformat()}Z"
        case date():
            return value.isoformat()
        case str() if is_text and value.startswith(_FORMULA_STARTS):
            return f"'{value}"
        case _:
            return value


def _cell(column: ResultColumn) -> str:
    """A cell as JSON shows it; `concat` writes nothing for null."""
    name = f'q."{column.name}"'
    match column.shape:
        case Shape.TEXT | Shape.NAME:
            text = f"{name}::VARCHAR"
            safe = f"CASE WHEN regexp_matches({text}, {_FORMULA}) THEN concat(chr(39), {text}) ELSE {text} END"
            quoted = f"""concat('"', replace({safe}, '"', '""'), '"')"""
            return f"CASE WHEN regexp_matches({text}, {_TO_QUOTE}) THEN {quoted} ELSE {safe} END"
        case Shape.DECIMAL:
            return decimal_text(name)
        case Shape.MOMENT:
            # As JSON has it: six digits of a second, or none.
            whole = f"strftime({name}, '%Y-%m-%dT%H:%M:%SZ')"
            return f"CASE WHEN microsecond({name}) % 1000000 = 0 THEN {whole} ELSE strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
        case _:
            return f"{name}::VARCHAR"
