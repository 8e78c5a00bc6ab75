"""Bringing staged rows into the warehouse, and the books about it: what is covered and what is missing.

New rows go in, changed rows are updated, unchanged rows are left alone, vanished rows go out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.changes import Changes, Comparison, insert_first
from meta_insights_pipeline.warehouse.database import ALIAS, one_thread
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table
from meta_insights_pipeline.warehouse.scope import SCOPE, Batch, draw_scope
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.staging import Staged

# Rows that are updated where they are in one transaction; more would not fit into the memory.
IN_PLACE_ROWS = 250_000
_BOOKS = f"{ALIAS}.pipeline"
_REPORT_DAY = "report, account_id, date_start"


@dataclass(frozen=True)
class Gap:
    """What a sync asked for and could not get."""

    report: str
    account_id: str
    since: date
    until: date
    reason: str
    retry_at: datetime | None = None
    """When (UTC) a sync will ask for it again by itself; None: nothing will change by itself."""
    kind: str = "failed"
    """`deferred`: picked up by itself at `retry_at`; `refused`: the account is closed to us; `failed`: anything else."""


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
    connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], run_id: str, folder: Path
) -> dict[str, MergeCounts]:
    """Merge staged slices into the attached warehouse, inside the caller's transaction.

    A day that somebody else collected later than its slice is left alone: newer numbers win, whichever run writes first.

    Args:
        connection: With the warehouse attached.
        staged: What was staged.
        run_id: Written beside each covered day.
        folder: For what differs, on its way; it must exist.

    Returns:
        Counts by table.
    """
    if not staged:
        return {}
    batches = draw_scope(connection, staged)
    counts = _insert_first(connection, [batch for batch in batches if batch.is_first_load])
    updated = 0
    # Two threads take the memory of two comparisons, and not half the time.
    with one_thread(connection):
        for batch in batches:
            if not batch.is_first_load:
                changes = Comparison(connection, batch, folder).merge(in_place=updated < IN_PLACE_ROWS)
                updated += changes.updated
                counts[batch.table.name] = counts.get(batch.table.name, MergeCounts()) + _counts(batch.rows, changes)
    _record_coverage(connection, run_id)
    return counts


def record_gaps(connection: duckdb.DuckDBPyConnection, gaps: Sequence[Gap], run_id: str, now: datetime) -> None:
    """Write down what is missing, in place of what was said of the same days before; rows of these days stay as they are.

    Of two gaps that name the same day, the later one in the list holds.
    """
    if not gaps:
        return
    lines = ", ".join(
        f"({number}, {literal(gap.report)}, {literal(gap.account_id)}, {literal(gap.since)}, {literal(gap.until)}, "
        f"{literal(gap.reason)}, {literal(gap.retry_at)}::TIMESTAMP, {literal(gap.kind)})"
        for number, gap in enumerate(gaps)
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE new_gaps AS FROM ("
        "SELECT * EXCLUDE (since, until), unnest(generate_series(since, until, INTERVAL 1 DAY))::DATE AS date_start "
        f"FROM (VALUES {lines}) AS v(number, report, account_id, since, until, reason, retry_at, kind)) "
        "QUALIFY row_number() OVER (PARTITION BY report, account_id, date_start ORDER BY number DESC) = 1"
    )
    _delete_days(connection, "missing", "new_gaps")
    connection.execute(
        f"INSERT INTO {_BOOKS}.missing ({_REPORT_DAY}, noticed_at, run_id, reason, retry_at, kind) "
        f"SELECT {_REPORT_DAY}, {literal(now)}, {literal(run_id)}, reason, retry_at, kind FROM new_gaps"
    )


def missing_parts(connection: duckdb.DuckDBPyConnection) -> list[Gap]:
    """What the attached warehouse lacks, whichever sync noticed it: contiguous days that lack for one reason are one part."""
    rows = connection.execute(
        "SELECT report, account_id, min(date_start), max(date_start), reason, retry_at, kind FROM ("
        "SELECT *, date_start - row_number() OVER (PARTITION BY report, account_id, reason, retry_at, kind "
        f"ORDER BY date_start)::INTEGER AS island FROM {_BOOKS}.missing) "
        "GROUP BY report, account_id, reason, retry_at, kind, island ORDER BY report, account_id, min(date_start)"
    ).fetchall()
    return [
        Gap(report, account, since, until, reason, retry_at and retry_at.replace(tzinfo=UTC), kind)
        for report, account, since, until, reason, retry_at, kind in rows
    ]


def _insert_first(connection: duckdb.DuckDBPyConnection, batches: Sequence[Batch]) -> dict[str, MergeCounts]:
    """The first loads of all reports, table by table, the actions before the facts.

    A transaction keeps the last rows of each table that it writes to in memory; the largest table should find it empty.
    """
    targets: dict[str, tuple[Table, list[Path]]] = {}
    for batch in sorted(batches, key=lambda each: each.table.name != ACTIONS_TABLE):
        targets.setdefault(batch.table.name, (batch.table, []))[1].extend(batch.files)
    inserted = {name: insert_first(connection, table, files) for name, (table, files) in targets.items()}
    return {name: MergeCounts(read=rows, inserted=rows) for name, rows in inserted.items()}


def _counts(read: int, changes: Changes) -> MergeCounts:
    unchanged = read - changes.inserted - changes.updated
    return MergeCounts(read, changes.inserted, changes.updated, unchanged, changes.removed)


def _record_coverage(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Note when the days of the scope were collected; they are no longer missing."""
    days = f"(FROM {SCOPE} WHERE table_name = report)"
    for book in ("coverage", "missing"):
        _delete_days(connection, book, days)
    connection.execute(
        f"INSERT INTO {_BOOKS}.coverage SELECT {_REPORT_DAY}, collected_at, {literal(run_id)}, staged_rows FROM {days}"
    )


def _delete_days(connection: duckdb.DuckDBPyConnection, book: str, days: str) -> None:
    connection.execute(
        f"DELETE FROM {_BOOKS}.{book} AS b USING {days} AS d "
        "WHERE b.report = d.report AND b.account_id = d.account_id AND b.date_start = d.date_start"
    )
