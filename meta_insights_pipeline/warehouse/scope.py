"""Which account days a merge is about, and how many of them are merged at a time.

Slices are taken together: what a statement costs is paid once for hundreds of accounts, and not for each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.pages import SLICE
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table, actions_table, fact_table
from meta_insights_pipeline.warehouse.sql import literal, parquet
from meta_insights_pipeline.warehouse.staging import Staged, slices_table

SCOPE = "merge_scope"
"""A table with one row for each table, and each day of each account of each report, that is merged."""
# Values (rows times columns) that are compared at a time: about 28,000 facts or 46,000 actions. More take more memory; fewer
# take longer, since each batch looks for its days in the table.
BATCH_VALUES = 600_000
# The batch of the account days of which a table has no row yet.
FIRST_LOAD = -1


@dataclass(frozen=True)
class Batch:
    """Account days of one report of which the rows of one table are merged together."""

    report: Report
    table: Table
    number: int
    since: date
    until: date
    rows: int
    """How many were staged."""
    files: tuple[Path, ...]
    """Where they are, among others."""

    @property
    def is_first_load(self) -> bool:
        """Whether the table has no row of these account days."""
        return self.number == FIRST_LOAD

    @property
    def account_days(self) -> str:
        """The batch's part of the scope, as a table expression."""
        return f"(FROM {SCOPE} WHERE {_is_of(self.report, self.table)} AND batch = {self.number})"

    @property
    def own_rows(self) -> str:
        """What tells the report's rows of the table from those of others, as a condition."""
        return _own_rows(self.report, self.table)

    def days(self, table: str) -> str:
        """A condition on `date_start` of a table.

        Plain bounds let DuckDB skip every block of other days, so that the cost follows the batch and not the table.
        """
        return f"{table}.date_start BETWEEN {literal(self.since)} AND {literal(self.until)}"


def draw_scope(connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged]) -> list[Batch]:
    """Make the scope of some slices, in place of the last one; the batches in which to merge them.

    Days that somebody else collected later than their slice are left out: newer numbers win, whichever run writes first.
    The same holds among these slices.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {SCOPE} (report VARCHAR, table_name VARCHAR, {SLICE} INTEGER, account_id VARCHAR, "
        "date_start DATE, collected_at TIMESTAMP, staged_rows BIGINT, batch INTEGER)"
    )
    batches: list[Batch] = []
    for report in {each.part.report.name: each.part.report for each in staged}.values():
        mine = [each for each in staged if each.part.report.name == report.name]
        facts = fact_table(report)
        _draw(connection, report, facts, mine, _newest(report, mine))
        batches += _batches(connection, report, facts, mine)
        if report.action_fields:
            same = f"FROM {SCOPE} WHERE {_is_of(report, facts)}"
            _draw(connection, report, actions_table(), mine, same)
            batches += _batches(connection, report, actions_table(), mine)
    return batches


def _newest(report: Report, staged: Sequence[Staged]) -> str:
    """The account days of the slices, each with the slice that knows it best, unless the warehouse knows better."""
    slices = slices_table((each.number, each.part) for each in staged)
    return (
        f"SELECT asked.* FROM (SELECT {SLICE}, account_id, collected_at, "
        f"unnest(generate_series(since, until, INTERVAL 1 DAY))::DATE AS date_start FROM {slices}) AS asked LEFT JOIN "
        f"(SELECT account_id, date_start, collected_at AS later_at FROM {ALIAS}.pipeline.coverage "
        f"WHERE report = {literal(report.name)} AND {_all_days(staged)}) USING (account_id, date_start) "
        "WHERE later_at IS NULL OR later_at <= collected_at QUALIFY row_number() OVER "
        f"(PARTITION BY account_id, date_start ORDER BY collected_at DESC, {SLICE} DESC) = 1"
    )


def _draw(
    connection: duckdb.DuckDBPyConnection, report: Report, table: Table, staged: Sequence[Staged], account_days: str
) -> None:
    """Add account days to the scope: one day after the other, as many to a batch as together have enough rows."""
    files = _files(table, staged)
    coming = (
        f"SELECT {SLICE}, date_start, count(*) AS n FROM {parquet(files)} GROUP BY {SLICE}, date_start"
        if files
        else f"SELECT 0 AS {SLICE}, NULL::DATE AS date_start, 0 AS n"
    )
    present = (
        f'SELECT account_id, date_start, count(*) AS n FROM {ALIAS}."{table.name}" '
        f"WHERE {_all_days(staged)} AND {_own_rows(report, table)} GROUP BY account_id, date_start"
    )
    connection.execute(
        f"INSERT INTO {SCOPE} SELECT {literal(report.name)}, {literal(table.name)}, {SLICE}, account_id, date_start, "
        f"collected_at, coalesce(coming.n, 0), CASE WHEN present.n IS NULL THEN {FIRST_LOAD} ELSE "
        "sum(greatest(coming.n, present.n)) OVER (PARTITION BY present.n IS NULL ORDER BY date_start, account_id "
        f"ROWS UNBOUNDED PRECEDING) * {len(table.stored)} // {BATCH_VALUES} END FROM ({account_days}) "
        f"LEFT JOIN ({coming}) AS coming USING ({SLICE}, date_start) "
        f"LEFT JOIN ({present}) AS present USING (account_id, date_start)"
    )


def _batches(
    connection: duckdb.DuckDBPyConnection, report: Report, table: Table, staged: Sequence[Staged]
) -> list[Batch]:
    slices = {each.number: each for each in staged}
    rows = connection.execute(
        f"SELECT batch, min(date_start), max(date_start), sum(staged_rows)::BIGINT, list(DISTINCT {SLICE}) FROM {SCOPE} "
        f"WHERE {_is_of(report, table)} GROUP BY batch ORDER BY batch"
    ).fetchall()
    return [
        Batch(report, table, number, since, until, count, _files(table, [slices[each] for each in sorted(numbers)]))
        for number, since, until, count, numbers in rows
    ]


def _files(table: Table, staged: Sequence[Staged]) -> tuple[Path, ...]:
    """The files with the rows of slices that go to a table."""
    shared = dict.fromkeys(each.files for each in staged)
    return tuple(file for each in shared for file in (each.actions if table.name == ACTIONS_TABLE else each.facts))


def _own_rows(report: Report, table: Table) -> str:
    return f"level = {literal(report.level.value)}" if table.name == ACTIONS_TABLE else "true"


def _is_of(report: Report, table: Table) -> str:
    return f"report = {literal(report.name)} AND table_name = {literal(table.name)}"


def _all_days(staged: Sequence[Staged]) -> str:
    since, until = min(each.part.since for each in staged), max(each.part.until for each in staged)
    return f"date_start BETWEEN {literal(since)} AND {literal(until)}"
