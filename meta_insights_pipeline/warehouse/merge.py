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


def merge_slices(
    connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], run_id: str
) -> dict[str, MergeCounts]:
    """Merge staged slices into the attached warehouse, inside the caller's transaction.

    A day that somebody else collected later than its slice is left alone: newer numbers win, whichever run writes first.

    Returns:
        Counts by table.
    """
    counts: dict[str, MergeCounts] = {}
    first_loads: dict[str, tuple[Table, list[Path]]] = {}
    for item in staged:
        newer = _newer_days(connection, item.part)
        for table, files in _targets(item):
            target = _Target(table, item.part, newer)
            if not newer and not target.has_rows(connection):
                # There is nothing to compare with; all slices of this kind go in together, which keeps every core busy.
                first_loads.setdefault(table.name, (table, []))[1].extend(files)
                continue
            counts[table.name] = counts.get(table.name, MergeCounts()) + target.merge(connection, files)
        _record_coverage(connection, item, run_id, newer)
    for table, pooled in first_loads.values():
        inserted = _insert(connection, table, parquet(pooled)) if pooled else 0
        counts[table.name] = counts.get(table.name, MergeCounts()) + MergeCounts(read=inserted, inserted=inserted)
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


def _targets(staged: Staged) -> list[tuple[Table, tuple[Path, ...]]]:
    targets = [(fact_table(staged.part.report), staged.facts)]
    if staged.part.report.action_fields:
        targets.append((actions_table(), staged.actions))
    return targets


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, staged: str) -> int:
    columns = ", ".join(f'"{name}"' for name in table.stored)
    return _row(connection, f'INSERT INTO {ALIAS}."{table.name}" ({columns}) SELECT {columns} FROM {staged}')[0]


@dataclass(frozen=True)
class _Target:
    """The rows of a table that a slice answers for."""

    table: Table
    part: Slice
    newer: str
    """Days that are not the slice's to change, as a list for IN."""

    @property
    def days(self) -> str:
        """The slice's days as a condition.

        Plain bounds let DuckDB skip every block of other days, so that the cost follows the slice and not the table.
        """
        bounds = f"date_start BETWEEN {literal(self.part.since)} AND {literal(self.part.until)}"
        return bounds + (f" AND date_start NOT IN ({self.newer})" if self.newer else "")

    @property
    def rows(self) -> str:
        """The rows as a condition."""
        mine = f"{self.days} AND account_id = {literal(self.part.account_id)}"
        return mine + (
            f" AND level = {literal(self.part.report.level.value)}" if self.table.name == ACTIONS_TABLE else ""
        )

    @property
    def name(self) -> str:
        """The table as SQL."""
        return f'{ALIAS}."{self.table.name}"'

    def has_rows(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether there is anything to compare with."""
        return _row(connection, f"SELECT count(*) FROM (SELECT 1 FROM {self.name} WHERE {self.rows} LIMIT 1)")[0] > 0

    def merge(self, connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> MergeCounts:
        """Make the rows those of the files."""
        if not files:
            return MergeCounts(removed=_row(connection, f"DELETE FROM {self.name} WHERE {self.rows}")[0])
        table, name = self.table, self.name
        staged = f"(SELECT * FROM {parquet(files)} WHERE {self.days})"
        same = " AND ".join(f't."{key}" = s."{key}"' for key in table.key)
        differs = " OR ".join(f't."{value}" IS DISTINCT FROM s."{value}"' for value in table.values)
        first = table.key[0]
        read, inserted, updated, removed = _row(
            connection,
            f'SELECT count(s."{first}"), count(*) FILTER (t."{first}" IS NULL), '
            f'count(*) FILTER (t."{first}" IS NOT NULL AND s."{first}" IS NOT NULL AND ({differs})), '
            f'count(*) FILTER (s."{first}" IS NULL) '
            f"FROM {staged} s FULL JOIN (SELECT * FROM {name} WHERE {self.rows}) t ON {same}",
        )
        if removed:
            connection.execute(
                f"DELETE FROM {name} AS t WHERE {self.rows} AND NOT EXISTS (SELECT 1 FROM {staged} s WHERE {same})"
            )
        if inserted or updated:
            columns = ", ".join(f'"{column}"' for column in table.stored)
            updates = ", ".join(f'"{column}" = s."{column}"' for column in table.stored if column not in table.key)
            values = ", ".join(f's."{column}"' for column in table.stored)
            bounds = f"t.date_start BETWEEN {literal(self.part.since)} AND {literal(self.part.until)}"
            connection.execute(
                f"MERGE INTO {name} AS t USING {staged} AS s ON {same} AND {bounds} "
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
