"""Questions about the merged warehouse that a sync answers at its end: counts, previews, checks, expected sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table
from meta_insights_pipeline.warehouse.sql import literal

PREVIEW_ROWS = 10
_EXAMPLES = 5
_DAYS_AT_ONCE = 14


@dataclass(frozen=True)
class DayFigures:
    """A table's figures on one account day."""

    rows: int
    spend: Mapping[str, Decimal] = field(default_factory=dict)
    """By currency, since currencies are never added together."""


@dataclass(frozen=True)
class CheckFinding:
    """The outcome of one check on one table."""

    passed: bool
    checked_rows: int
    bad_rows: int
    examples: tuple[str, ...] = ()
    """Some keys of bad rows."""


@dataclass(frozen=True)
class TableInspection:
    """What a person wants to know of a table after a sync."""

    total_rows: int
    days: Mapping[date, DayFigures]
    preview: tuple[Mapping[str, str], ...]
    checks: Mapping[str, CheckFinding]


CHECKS = {
    "key_is_unique": "No two rows have the same key.",
    "no_negative_metric": "No count and no money is below zero.",
    "days_inside_partition": "Every row that was written lies on a day that was asked for, and no row after today.",
}
"""Of every table of insights."""
LEVEL_CHECKS = {"reach_within_impressions": "No row says that more people saw an ad than ads were shown."}
"""Of the tables of the levels."""


def inspect_table(
    connection: duckdb.DuckDBPyConnection, table: Table, since: date, until: date, newest: date, run_id: str
) -> TableInspection:
    """Look at the days of a sync in a table of the attached warehouse.

    Args:
        connection: With the warehouse attached.
        table: Which table.
        since: First day of the sync.
        until: Its last day.
        newest: The newest day that has begun in any account.
        run_id: The sync, to tell its rows from others.
    """
    name = f'{ALIAS}."{table.name}"'
    within = f"date_start BETWEEN {literal(since)} AND {literal(until)}"
    checked = _one(connection, f"SELECT count(*) FROM {name} WHERE {within}")

    def rows_where(bad: str) -> CheckFinding:
        query = f"SELECT {_key(table)} AS key, 1 AS n FROM {name} WHERE {within} AND ({bad})"
        return _find(connection, query, checked)

    of_levels = {} if table.name == ACTIONS_TABLE else {"reach_within_impressions": rows_where("reach > impressions")}
    return TableInspection(
        total_rows=_one(connection, f"SELECT count(*) FROM {name}"),
        days=_days(connection, table, name, within),
        preview=_preview(connection, table, name, within),
        checks={
            "key_is_unique": _unique(connection, table, name, since, until, checked),
            "no_negative_metric": rows_where(_negative(table)),
            **of_levels,
            "days_inside_partition": _find(
                connection,
                f"SELECT {_key(table)} AS key, 1 AS n FROM {name} WHERE date_start > {literal(newest)} "
                f"UNION ALL SELECT report || ' ' || date_start AS key, row_count AS n FROM {ALIAS}.pipeline.coverage "
                f"WHERE run_id = {literal(run_id)} AND NOT {within}",
                checked,
            ),
        },
    )


def rows_a_day(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], float]:
    """The most rows that a recent day had, by account id and report: what to expect of a day, for the planner."""
    rows = connection.execute(
        f"SELECT account_id, report, max(row_count) FROM {ALIAS}.pipeline.coverage GROUP BY account_id, report "
        "HAVING count(*) >= 2"
    ).fetchall()
    return {(account, report): float(count) for account, report, count in rows}


def _days(connection: duckdb.DuckDBPyConnection, table: Table, name: str, within: str) -> dict[date, DayFigures]:
    if table.name == ACTIONS_TABLE:
        rows = connection.execute(
            f"SELECT date_start, count(*) FROM {name} WHERE {within} GROUP BY date_start"
        ).fetchall()
        return {day: DayFigures(int(count)) for day, count in rows}
    rows = connection.execute(
        f"SELECT date_start, coalesce(account_currency, '?'), count(*), coalesce(sum(spend), 0) FROM {name} WHERE {within} "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    figures: dict[date, DayFigures] = {}
    for day, currency, count, spend in rows:
        so_far = figures.get(day, DayFigures(0))
        figures[day] = DayFigures(so_far.rows + int(count), {**so_far.spend, currency: spend})
    return figures


def _preview(
    connection: duckdb.DuckDBPyConnection, table: Table, name: str, within: str
) -> tuple[Mapping[str, str], ...]:
    # By impressions and not by spend: amounts of different currencies cannot be compared.
    order = "value" if table.name == ACTIONS_TABLE else "impressions"
    cursor = connection.execute(
        f"SELECT * FROM {name} WHERE {within} ORDER BY date_start DESC, {order} DESC LIMIT {PREVIEW_ROWS}"
    )
    columns = [column[0] for column in cursor.description]
    return tuple(
        {column: "" if value is None else _show(value) for column, value in zip(columns, row, strict=True)}
        for row in cursor.fetchall()
    )


def _show(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _negative(table: Table) -> str:
    numbers = [
        column
        for column in table.columns
        if column.formula is None and column.sql_type not in ("VARCHAR", "DATE", "TIMESTAMP")
    ]
    return " OR ".join(f'"{column.name}" < 0' for column in numbers)


def _key(table: Table) -> str:
    return "concat_ws(' ', " + ", ".join(f'"{name}"' for name in table.key) + ")"


def _unique(
    connection: duckdb.DuckDBPyConnection, table: Table, name: str, since: date, until: date, checked: int
) -> CheckFinding:
    """Look for rows with the same key, some days at a time: the memory that this takes must not grow with the range."""
    findings = []
    day = since
    while day <= until:
        last = min(day + timedelta(days=_DAYS_AT_ONCE - 1), until)
        within = f"date_start BETWEEN {literal(day)} AND {literal(last)}"
        hashes = f"SELECT count(*) - count(DISTINCT hash({', '.join(table.key)})) FROM {name} WHERE {within}"
        # Equal hashes are only a reason to look closer.
        if _one(connection, hashes):
            repeats = (
                f"SELECT {_key(table)} AS key, count(*) - 1 AS n FROM {name} WHERE {within} GROUP BY ALL HAVING n > 0"
            )
            findings.append(_find(connection, repeats, checked))
        day = last + timedelta(days=1)
    bad = sum(finding.bad_rows for finding in findings)
    examples = tuple(key for finding in findings for key in finding.examples)
    return CheckFinding(passed=bad == 0, checked_rows=checked, bad_rows=bad, examples=examples[:_EXAMPLES])


def _find(connection: duckdb.DuckDBPyConnection, bad: str, checked: int) -> CheckFinding:
    row = connection.execute(f"SELECT coalesce(sum(n), 0), list(key)[1:{_EXAMPLES}] FROM ({bad})").fetchone()
    count, examples = (int(row[0]), tuple(row[1] or ())) if row else (0, ())
    return CheckFinding(passed=count == 0, checked_rows=checked, bad_rows=count, examples=examples)


def _one(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
