"""One sync's writing: every staged slice merged in one transaction, then the copy for readers.

Collecting and staging happen before and without the warehouse; this is the only time at which it is locked.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from meta_insights_pipeline.catalog.conversions import Choice
from meta_insights_pipeline.warehouse.account_book import FoundAccount, note_accounts
from meta_insights_pipeline.warehouse.conversion_events import store_choices
from meta_insights_pipeline.warehouse.database import (
    ALIAS,
    MEMORY_LIMIT,
    MORE_MEMORY,
    Warehouse,
    WarehouseError,
    open_memory,
)
from meta_insights_pipeline.warehouse.drift import note_drift
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS, is_thinning_due, thin_history
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts, merge_slices, record_gaps
from meta_insights_pipeline.warehouse.publication import publish, remove_drafts
from meta_insights_pipeline.warehouse.reconciliation import AccountDays, Moment, collected_days, reconcile
from meta_insights_pipeline.warehouse.recovered import carry_over
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.staging import Staged
from meta_insights_pipeline.warehouse.views import PROGRAM_TABLES

log = logging.getLogger(__name__)


@dataclass
class Written:
    """What became of a sync's slices."""

    counts: dict[str, MergeCounts] = field(default_factory=dict)
    """By table."""
    published: bool = False


def write(
    warehouse: Warehouse,
    snapshot: Path,
    staged: Sequence[Staged],
    gaps: Sequence[Gap],
    *,
    run_id: str,
    source: str,
    counted_by: Sequence[Choice] = (),
    accounts: Sequence[FoundAccount] = (),
    publish_result: bool,
    now: datetime | None = None,
    asked_again_at: datetime | None = None,
    history_days: int = KEEP_ALL_DAYS,
    read_back: Callable[[duckdb.DuckDBPyConnection], object] = lambda _connection: None,
    memory_limits: Sequence[str] = (MEMORY_LIMIT, *MORE_MEMORY),
) -> Written:
    """Merge everything in one transaction; publish if told to. Once a day the history is thinned, too.

    What does not fit into DuckDB's memory is done again with more.

    Args:
        warehouse: The pipeline's own file.
        snapshot: The readers' file.
        staged: What was collected.
        gaps: What could not be.
        run_id: Written beside each covered day.
        source: `live` or `stub`.
        counted_by: Which action type counts each event from now on; empty: as before.
        accounts: The ad accounts that the sync has found.
        publish_result: Whether readers get a copy of the result.
        now: The moment (UTC) by which gaps are noticed, levels are compared and the history is thinned; None takes the machine's.
        asked_again_at: When (UTC) everything here began to be asked for a second time, to prove a residual.
        history_days: How many days before the present one keep every earlier version of a row.
        read_back: Called with a connection to the merged warehouse before it is closed.
        memory_limits: DuckDB's share of the memory, and what to try next.

    Raises:
        WarehouseError: The warehouse or the snapshot cannot be written; the last published snapshot is untouched.
    """
    written = Written()
    moment = Moment(run_id, now or datetime.now(UTC), asked_again_at)

    def merge(connection: duckdb.DuckDBPyConnection) -> None:
        with warehouse.attached(connection):
            connection.execute("BEGIN")
            claim(connection, warehouse, source)
            counted_otherwise = bool(counted_by) and store_choices(connection, ALIAS, counted_by)
            note_accounts(connection, accounts, run_id, moment.now)
            with TemporaryDirectory(dir=warehouse.temporary, prefix="merge-") as folder:
                whole = carry_over(connection, staged, Path(folder))
                written.counts = merge_slices(connection, whole, run_id, Path(folder))
                note_drift(connection, staged, run_id)
                record_gaps(connection, gaps, run_id, moment.now)
                # No line of the ledger shall speak of another choice than that by which everything is counted now.
                days = collected_days(connection) if counted_otherwise else _account_days(staged, gaps)
                reconcile(connection, days, moment, Path(folder))
            connection.execute("COMMIT")
            _thin(connection, moment.now, history_days)
            read_back(connection)
            connection.execute(f"CHECKPOINT {ALIAS}")

    with warehouse.locked():
        remove_drafts(snapshot)
        _with_enough_memory(warehouse, memory_limits, merge)
        if publish_result:
            publish(warehouse.path, snapshot)
            written.published = True
    return written


def _with_enough_memory(
    warehouse: Warehouse, limits: Sequence[str], merge: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    """Do one transaction with as much memory as it takes."""
    for number, limit in enumerate(limits, start=1):
        try:
            with open_memory(warehouse.temporary, limit) as connection:
                return merge(connection)
        except duckdb.OutOfMemoryException:
            if number == len(limits):
                raise WarehouseError(
                    f"Merging takes more than {limit} of memory; nothing was changed. Sync fewer days or accounts at a time."
                ) from None
            log.warning("Merging takes more than %s of memory; it begins again with %s.", limit, limits[number])
    raise AssertionError("there is no limit to try")


def _account_days(staged: Sequence[Staged], gaps: Sequence[Gap]) -> list[AccountDays]:
    """Every account day of which something was collected, or was to be."""
    parts = [(each.part.account_id, each.part.since, each.part.until) for each in staged]
    return parts + [(gap.account_id, gap.since, gap.until) for gap in gaps]


def claim(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, source: str) -> None:
    """Keep simulated numbers and real ones apart: real ones replace simulated ones whole, and never the other way round.

    Raises:
        WarehouseError: Simulated rows for a warehouse that holds real ones.
    """
    row = connection.execute(f"SELECT mode FROM {ALIAS}.pipeline.source").fetchone()
    if row is None:
        connection.execute(f"INSERT INTO {ALIAS}.pipeline.source VALUES ({literal(source)})")
    elif row[0] == source:
        return
    elif source == "stub":
        raise WarehouseError(
            f"The warehouse {warehouse.path} holds rows of live accounts, so simulated ones are not written to it; "
            "set META_INSIGHTS_HOME to another folder for stub mode."
        )
    else:
        log.warning("The simulated rows of stub mode in %s are removed, since live ones come now.", warehouse.path)
        _empty(connection)
        connection.execute(f"INSERT INTO {ALIAS}.pipeline.source VALUES ({literal(source)})")


def _empty(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove every row of every table, and leave the schema."""
    names = connection.execute(
        f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = {literal(ALIAS)} "
        f"AND table_name NOT IN ({', '.join(map(literal, ('schema_version', *PROGRAM_TABLES)))})"
    ).fetchall()
    for schema, table in names:
        connection.execute(f'DELETE FROM {ALIAS}."{schema}"."{table}"')


def _thin(connection: duckdb.DuckDBPyConnection, now: datetime, keep_all_days: int) -> None:
    """Thin the history if a day has passed since the last time."""
    if is_thinning_due(connection, now):
        connection.execute("BEGIN")
        removed = thin_history(connection, now, keep_all_days=keep_all_days)
        connection.execute("COMMIT")
        if removed:
            log.info("%s superseded versions of rows were thinned away.", f"{removed:,}")
