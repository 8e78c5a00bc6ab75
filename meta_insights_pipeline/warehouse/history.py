"""Keeping the history of superseded rows small: of each day that is long past, the last version is enough."""

from datetime import datetime, timedelta

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, SUPERSEDED_AT, history_table, tables
from meta_insights_pipeline.warehouse.sql import literal

KEEP_ALL_DAYS = 7
THIN_EVERY = timedelta(days=1)
_NOTE = f"{ALIAS}.pipeline.history_thinning"


def thin_history(connection: duckdb.DuckDBPyConnection, now: datetime, *, keep_all_days: int = KEEP_ALL_DAYS) -> int:
    """Remove earlier versions of rows that no day's end shows.

    A version that began and ended on the same day (UTC) is seen at no day's end. No other version takes its place: asked for a
    moment within such a day, the table shows fewer rows than there were; asked for the day's last moment, it shows the same.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        now: The moment (UTC) from which days are counted back.
        keep_all_days: Versions that were superseded in so many days stay, whatever they are.

    Returns:
        How many versions were removed.
    """
    horizon = literal(now - timedelta(days=keep_all_days))
    removed = 0
    for table in tables():
        row = connection.execute(
            f'DELETE FROM {ALIAS}."{history_table(table).name}" WHERE {SUPERSEDED_AT} < {horizon} '
            f"AND {CHANGED_AT}::DATE = {SUPERSEDED_AT}::DATE"
        ).fetchone()
        removed += row[0] if row else 0
    connection.execute(f"DELETE FROM {_NOTE}")
    connection.execute(f"INSERT INTO {_NOTE} VALUES ({literal(now)})")
    return removed


def is_thinning_due(connection: duckdb.DuckDBPyConnection, now: datetime) -> bool:
    """Whether a day has passed since the last time."""
    row = connection.execute(f"SELECT count(*) FROM {_NOTE} WHERE thinned_at > {literal(now - THIN_EVERY)}").fetchone()
    return row == (0,)
