"""One sync's writing: every staged slice merged in one transaction, then the copy for readers.

Collecting and staging happen before and without the warehouse; this is the only time at which it is locked.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse, WarehouseError, open_memory
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts, merge_slices, record_gap
from meta_insights_pipeline.warehouse.publication import publish, remove_drafts
from meta_insights_pipeline.warehouse.schema import tables
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.staging import Staged

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
    read_back: Callable[[duckdb.DuckDBPyConnection], object] = lambda _connection: None,
) -> Written:
    """Merge everything in one transaction; publish if nothing is missing.

    Args:
        warehouse: The pipeline's own file.
        snapshot: The readers' file.
        staged: What was collected.
        gaps: What could not be.
        run_id: Written beside each covered day.
        source: `live` or `stub`.
        read_back: Called with a connection to the merged warehouse before it is closed.

    Raises:
        WarehouseError: The warehouse or the snapshot cannot be written; the last published snapshot is untouched.
    """
    written = Written()
    with warehouse.locked(), open_memory(warehouse.temporary) as connection:
        remove_drafts(snapshot)
        with warehouse.attached(connection):
            connection.execute("BEGIN")
            _claim(connection, warehouse, source)
            written.counts = merge_slices(connection, staged, run_id)
            for gap in gaps:
                record_gap(connection, gap, run_id)
            connection.execute("COMMIT")
            read_back(connection)
            connection.execute(f"CHECKPOINT {ALIAS}")
        if not gaps:
            publish(warehouse.path, snapshot)
            written.published = True
    return written


def _claim(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, source: str) -> None:
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
        for table in tables():
            connection.execute(f'DELETE FROM {ALIAS}."{table.name}"')
        for book in ("coverage", "missing", "source"):
            connection.execute(f"DELETE FROM {ALIAS}.pipeline.{book}")
        connection.execute(f"INSERT INTO {ALIAS}.pipeline.source VALUES ({literal(source)})")
