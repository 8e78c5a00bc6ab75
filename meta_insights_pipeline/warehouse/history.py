"""Keeping the history of superseded rows small: of each day that is long past, the last version is enough."""

from datetime import UTC, datetime, timedelta

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, HISTORY_THINNING, SUPERSEDED_AT, history_table, tables
from meta_insights_pipeline.warehouse.sql import literal

KEEP_ALL_DAYS = 7
"""For how many days all versions are kept, unless the settings say otherwise."""
THIN_EVERY = timedelta(days=1)
_NOTE = f"{ALIAS}.pipeline.{HISTORY_THINNING}"


def thin_history(connection: duckdb.DuckDBPyConnection, now: datetime, *, keep_all_days: int = KEEP_ALL_DAYS) -> int:
    """Remove earlier versions of rows that no day's end shows.

    A version that began and ended on the same day (UTC) is seen at no day's end. Whole days are thinned, and it is noted which:
    the as-of tables take a moment of such a day for the day's end, so that no row is lacking whatever moment is asked for.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        now: The moment (UTC) from which days are counted back.
        keep_all_days: So many days before the present one keep all their versions.

    Returns:
        How many versions were removed.
    """
    horizon = thinning_horizon(now, keep_all_days)
    removed = 0
    for table in tables():
        row = connection.execute(
            f'DELETE FROM {ALIAS}."{history_table(table).name}" WHERE {SUPERSEDED_AT} < {literal(horizon)} '
            f"AND {CHANGED_AT}::DATE = {SUPERSEDED_AT}::DATE"
        ).fetchone()
        removed += row[0] if row else 0
    note_thinned(connection, now, horizon)
    return removed


def thinning_horizon(now: datetime, keep_all_days: int) -> datetime:
    """The beginning (UTC) of the first day of which all versions are kept."""
    return (now.astimezone(UTC) - timedelta(days=keep_all_days)).replace(hour=0, minute=0, second=0, microsecond=0)


def note_thinned(connection: duckdb.DuckDBPyConnection, now: datetime, horizon: datetime) -> None:
    """Write down that the days (UTC) before a moment are thinned; what was thinned before stays so.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        now: The moment (UTC) of the thinning.
        horizon: The beginning of the first day that is whole.
    """
    row = connection.execute(f"SELECT greatest(max(thinned_before), {literal(horizon)}) FROM {_NOTE}").fetchone()
    before = row[0].replace(tzinfo=UTC) if row else horizon
    connection.execute(f"DELETE FROM {_NOTE}")
    connection.execute(f"INSERT INTO {_NOTE} (thinned_at, thinned_before) VALUES ({literal(now)}, {literal(before)})")


def is_thinning_due(connection: duckdb.DuckDBPyConnection, now: datetime) -> bool:
    """Whether a day has passed since the last time."""
    row = connection.execute(f"SELECT count(*) FROM {_NOTE} WHERE thinned_at > {literal(now - THIN_EVERY)}").fetchone()
    return row == (0,)
