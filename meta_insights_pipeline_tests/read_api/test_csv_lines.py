"""Lines of CSV that the database writes are those that Python's own module would."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.csv_lines import lines_sql, names_line
from meta_insights_pipeline.warehouse.reading.statement import Query, ResultColumn, Shape

TYPES = {
    Shape.TEXT: "VARCHAR",
    Shape.NAME: "VARCHAR",
    Shape.INTEGER: "BIGINT",
    Shape.DECIMAL: "DECIMAL(38, 6)",
    Shape.NUMBER: "DOUBLE",
    Shape.DAY: "DATE",
    Shape.MOMENT: "TIMESTAMP",
    Shape.FLAG: "BOOLEAN",
}
COLUMNS = tuple(ResultColumn(shape.value, shape) for shape in TYPES)
TEXTS = st.text(st.sampled_from("=+-@\t\r\n\",;' aü\U0001f600") | st.characters(codec="utf-8"), max_size=6)
ROW = st.tuples(
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.decimals(-(10**20), 10**20, places=6, allow_nan=False),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - as the warehouse has them
    st.none() | st.booleans(),
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def shown(value: Any) -> Any:
    """A value as JSON shows it, and a text so that no spreadsheet runs it."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".")
        case datetime():
            return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
        case str() if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
            return f"'{value}"
        case _:
            return value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=4))
def test_whatever_the_cells_hold_the_lines_are_those_of_pythons_module(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]
) -> None:
    places = ", ".join(f"(?::BIGINT, {', '.join(f'?::{each}' for each in TYPES.values())})" for _ in rows)
    names = ", ".join(f'"{column.name}"' for column in COLUMNS)
    query = Query(COLUMNS, f"SELECT * FROM (VALUES {places}) AS t(place, {names})", {}, "ORDER BY q.place")
    values = [value for place, row in enumerate(rows) for value in (place, *row)]
    found = "".join(line for (line,) in connection.execute(lines_sql(query), values).fetchall())
    expected = io.StringIO(newline="")
    csv.writer(expected).writerows([[shown(value) for value in row] for row in rows])
    assert found == expected.getvalue()


def test_the_first_line_names_the_columns() -> None:
    assert names_line(Query(COLUMNS[:3], "", {}).columns) == b"text,name,integer\r\n"
