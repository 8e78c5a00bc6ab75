"""Bringing staged rows into the warehouse: new rows in, changed rows updated, unchanged rows untouched, vanished rows out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table, actions_table, fact_table
from meta_insights_pipeline.warehouse.sql import days, literal, parquet
from meta_insights_pipeline.warehouse.staging import Slice, Staged

_BOOKS = f"{ALIAS}.pipeline"


@dataclass(frozen=True)
class Gap:
    """What a sync asked for and could not get."""

    report: str
    account_id: str
    since: date
    until: date
    reason: str


@dataclass(frozen=True)
class MergeCounts:
    """What merging did to one table, in rows."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0

    def __add__(self, other: "MergeCounts") -> "MergeCounts":
        """Both together."""
        return MergeCounts(
            self.read + other.read,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
        )

    @property
    def written(self) -> int:
        """Rows that were touched."""
        return self.inserted + self.updated + self.removed


def merge_slice(connection: duckdb.DuckDBPyConnection, staged: Staged, run_id: str) -> dict[str, MergeCounts]:
    """Merge a staged slice into the attached warehouse, inside the caller's transaction.

    A day that somebody else collected later than this slice is left alone: newer numbers win, whichever run writes first.

    Returns:
        Counts by table.
    """
    part = staged.part
    newer = _newer_days(connection, part)
    table = fact_table(part.report)
    counts = {table.name: _merge_table(connection, table, staged.facts, part, newer)}
    if part.report.action_fields:
        counts[ACTIONS_TABLE] = _merge_table(connection, actions_table(), staged.actions, part, newer)
    _record_coverage(connection, staged, run_id, newer)
    return counts


def record_gap(connection: duckdb.DuckDBPyConnection, gap: Gap, run_id: str) -> None:
    """Write down what is missing, in place of what was said of the same days before."""
    who = f"{literal(gap.report)}, {literal(gap.account_id)}"
    connection.execute(
        f"DELETE FROM {_BOOKS}.missing WHERE (report, account_id) = ({who}) "
        f"AND date_start BETWEEN {literal(gap.since)} AND {literal(gap.until)}"
    )
    connection.execute(
        f"INSERT INTO {_BOOKS}.missing SELECT {who}, day, {literal(datetime.now(UTC))}, {literal(run_id)}, "
        f"{literal(gap.reason)} FROM {days(gap.since, gap.until)}"
    )


def _newer_days(connection: duckdb.DuckDBPyConnection, part: Slice) -> str:
    """The days of a slice that somebody else collected later, as a list for IN; empty when there are none."""
    rows = connection.execute(
        f"SELECT date_start FROM {_BOOKS}.coverage WHERE report = {literal(part.report.name)} "
        f"AND account_id = {literal(part.account_id)} AND collected_at > {literal(part.collected_at)} "
        f"AND date_start BETWEEN {literal(part.since)} AND {literal(part.until)}"
    ).fetchall()
    return ", ".join(literal(row[0]) for row in rows)


def _merge_table(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], part: Slice, newer: str
) -> MergeCounts:
    target = f'{ALIAS}."{table.name}"'
    # The plain bounds let DuckDB skip every block of other days, so that the cost follows the slice and not the table.
    scope = f"date_start BETWEEN {literal(part.since)} AND {literal(part.until)}"
    scope += f" AND date_start NOT IN ({newer})" if newer else ""
    mine = f"{scope} AND account_id = {literal(part.account_id)}"
    mine += f" AND level = {literal(part.report.level.value)}" if table.name == ACTIONS_TABLE else ""
    known = _row(connection, f"SELECT count(*) FROM (SELECT 1 FROM {target} WHERE {mine} LIMIT 1)")[0]
    if not files:
        return MergeCounts(removed=_row(connection, f"DELETE FROM {target} WHERE {mine}")[0] if known else 0)
    staged = f"(SELECT * FROM {parquet(files)} WHERE {scope})"
    columns = ", ".join(f'"{name}"' for name in table.stored)
    if not known:
        read = _row(connection, f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {staged}")[0]
        return MergeCounts(read=read, inserted=read)

    same = " AND ".join(f't."{name}" = s."{name}"' for name in table.key)
    differs = " OR ".join(f't."{name}" IS DISTINCT FROM s."{name}"' for name in table.values)
    first = table.key[0]
    read, inserted, updated, removed = _row(
        connection,
        f'SELECT count(s."{first}"), count(*) FILTER (t."{first}" IS NULL), '
        f'count(*) FILTER (t."{first}" IS NOT NULL AND s."{first}" IS NOT NULL AND ({differs})), '
        f'count(*) FILTER (s."{first}" IS NULL) '
        f"FROM {staged} s FULL JOIN (SELECT * FROM {target} WHERE {mine}) t ON {same}",
    )
    if removed:
        connection.execute(
            f"DELETE FROM {target} AS t WHERE {mine} AND NOT EXISTS (SELECT 1 FROM {staged} s WHERE {same})"
        )
    if inserted or updated:
        updates = ", ".join(f'"{name}" = s."{name}"' for name in table.stored if name not in table.key)
        values = ", ".join(f's."{name}"' for name in table.stored)
        bounds = f"t.date_start BETWEEN {literal(part.since)} AND {literal(part.until)}"
        connection.execute(
            f"MERGE INTO {target} AS t USING {staged} AS s ON {same} AND {bounds} "
            f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {updates} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
        )
    return MergeCounts(read, inserted, updated, read - inserted - updated, removed)


def _record_coverage(connection: duckdb.DuckDBPyConnection, staged: Staged, run_id: str, newer: str) -> None:
    part = staged.part
    who = f"{literal(part.report.name)}, {literal(part.account_id)}"
    skipped = f" AND date_start NOT IN ({newer})" if newer else ""
    for book in ("coverage", "missing"):
        connection.execute(
            f"DELETE FROM {_BOOKS}.{book} WHERE (report, account_id) = ({who}) "
            f"AND date_start BETWEEN {literal(part.since)} AND {literal(part.until)}{skipped}"
        )
    rows = f"(SELECT date_start, count(*) AS n FROM {parquet(staged.facts)} GROUP BY date_start)"
    counted = rows if staged.facts else "(SELECT NULL::DATE AS date_start, 0 AS n)"
    connection.execute(
        f"INSERT INTO {_BOOKS}.coverage SELECT {who}, day AS date_start, {literal(part.collected_at)}, {literal(run_id)}, "
        f"coalesce(n, 0) FROM {days(part.since, part.until)} LEFT JOIN {counted} ON date_start = day "
        + (f"WHERE day NOT IN ({newer})" if newer else "")
    )


def _row(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row
