"""What a warehouse file says of itself, read without waiting for anybody and without changing anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS, WarehouseError
from meta_insights_pipeline.warehouse.drift import seen_action_types
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION
from meta_insights_pipeline.warehouse.sql import literal


@dataclass(frozen=True)
class WarehouseState:
    """The state of a warehouse file; of one with another schema version than this program's, that version alone."""

    schema_version: int | None
    """None when the file is no warehouse of the pipeline."""
    mode: str | None = None
    """Where its rows come from, `live` or `stub`; None before the first sync."""
    collected_at: datetime | None = None
    """When (UTC) the newest of its rows was collected; None before the first sync."""
    missing_days: int = 0
    """Days of reports of accounts that were asked for and could not be had."""
    deferred_days: int = 0
    """Those of them that the pipeline asks for again by itself."""
    missing_example: str = ""
    """Report, account and reason of the largest missing part."""
    action_types: frozenset[str] = frozenset()
    """Every action type that ever came."""


class WarehouseInUseError(WarehouseError):
    """Another process has the file open for writing, a sync most likely."""


def read_state(path: Path) -> WarehouseState:
    """Read the state of a file that exists.

    Raises:
        WarehouseInUseError: A sync is writing right now, or another program holds the file.
        WarehouseError: It is no DuckDB file, a damaged one, or its tables are not those of a warehouse.
    """
    with read_only(path) as connection:
        version = _one(
            connection,
            "SELECT count(*) FROM duckdb_tables() "
            f"WHERE database_name = '{ALIAS}' AND schema_name = 'pipeline' AND table_name = 'schema_version'",
        )
        if not version:
            return WarehouseState(None)
        found = int(str(_one(connection, f"SELECT coalesce(max(version), 0) FROM {ALIAS}.pipeline.schema_version")))
        return _state(connection) if found == SCHEMA_VERSION else WarehouseState(found)


@contextmanager
def read_only(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to which the file is attached as `warehouse`, for reading.

    Raises:
        WarehouseInUseError: A sync is writing right now, or another program holds the file.
        WarehouseError: It cannot be read.
    """
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH {literal(path)} AS {ALIAS} (READ_ONLY)")
            yield connection
    except duckdb.Error as error:
        cause = str(error).splitlines()[0][:200]
        if isinstance(error, duckdb.IOException) and "lock" in cause.lower():
            raise WarehouseInUseError(
                f"Another process has the warehouse {path} open; a sync that is writing is done in a moment, "
                "any other program should open the published file meta_insights.duckdb instead."
            ) from None
        raise WarehouseError(
            f"The warehouse {path} cannot be read ({cause}); rename the file and sync again, "
            "or set META_INSIGHTS_WAREHOUSE to another one."
        ) from None


def _state(connection: duckdb.DuckDBPyConnection) -> WarehouseState:
    pipeline = f"{ALIAS}.pipeline"
    mode = _one(connection, f"SELECT max(mode) FROM {pipeline}.source")
    collected_at = _one(connection, f"SELECT max(collected_at) FROM {pipeline}.coverage")
    example = connection.execute(
        f"SELECT report, account_id, min(date_start), max(date_start), reason FROM {pipeline}.missing "
        "GROUP BY report, account_id, reason ORDER BY count(*) DESC, report, account_id LIMIT 1"
    ).fetchone()
    return WarehouseState(
        schema_version=SCHEMA_VERSION,
        mode=None if mode is None else str(mode),
        collected_at=collected_at.replace(tzinfo=UTC) if isinstance(collected_at, datetime) else None,
        missing_days=int(str(_one(connection, f"SELECT count(*) FROM {pipeline}.missing"))),
        deferred_days=int(str(_one(connection, f"SELECT count(*) FROM {pipeline}.missing WHERE kind = 'deferred'"))),
        missing_example="{} of act_{}, {} to {}: {}".format(*example) if example else "",
        action_types=seen_action_types(connection),
    )


def _one(connection: duckdb.DuckDBPyConnection, statement: str) -> object:
    row = connection.execute(statement).fetchone()
    return None if row is None else row[0]
