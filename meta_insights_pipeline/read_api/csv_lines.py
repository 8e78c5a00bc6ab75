"""Rows as lines of CSV (RFC 4180), written by the database: Python would hold up everybody else while it writes as many."""

from typing import Final

from meta_insights_pipeline.warehouse.reading.statement import Query, ResultColumn, Shape, decimal_text

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA: Final = r"'^[=+\-@\t\r\n]'"
_TO_QUOTE: Final = r"""'[",\r\n]'"""


def names_line(query: Query) -> bytes:
    """The first line: the names of the columns, none of which needs quotes."""
    return f"{','.join(column.name for column in query.columns)}\r\n".encode()


def lines_sql(query: Query) -> str:
    """A statement with the rows of a query as one column of lines with their ends; nothing stands for null."""
    cells = ", ',', ".join(_cell(column) for column in query.columns)
    return f"SELECT concat({cells}, chr(13), chr(10)) AS line FROM ({query.body}) AS q {query.order}"


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
