"""What a sync must know of the warehouse before it plans: sizes, accounts, days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.inspection import rows_a_day
from meta_insights_pipeline.warehouse.merge import Gap, missing_parts
from meta_insights_pipeline.warehouse.schema import ACCOUNTS


@dataclass(frozen=True)
class Knowledge:
    """What the warehouse holds; nothing at all before the first sync."""

    rows_a_day: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Rows a day to expect, by account id and report."""
    collected: Mapping[str, str] = field(default_factory=dict)
    """Accounts of which something was collected, with their names as far as known."""
    missing: tuple[Gap, ...] = ()
    """What could not be had so far."""
    earliest_day: date | None = None
    """The first day that any account has."""

    listed: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """How many entities a list shows, by account id and the report of their level; nothing of accounts that were never listed."""

    lacking_from: Mapping[tuple[str, str], date] = field(default_factory=dict)
    """By account id and report, the first day behind the last one that was collected once it was over."""

    zones: Mapping[str, str] = field(default_factory=dict)
    """Time zones of the accounts that a sync has found, by account id."""

    def is_new(self, account_id: str) -> bool:
        """Whether an account lacks what others have, since nothing was ever collected of it."""
        return bool(self.collected) and account_id not in self.collected


def read_knowledge(warehouse: Warehouse, mode: str) -> Knowledge:
    """Read it; opens the warehouse for a moment.

    Args:
        warehouse: The pipeline's own file.
        mode: `live` or `stub`; what comes from elsewhere is no knowledge.

    Raises:
        WarehouseError: The warehouse cannot be opened.
    """
    if not warehouse.path.exists():
        return Knowledge()
    with warehouse.connect() as connection:
        if not _is_of(connection, mode):
            return Knowledge()
        zones = _zones(connection)
        return Knowledge(
            rows_a_day(connection),
            collected_accounts(connection, mode),
            tuple(missing_parts(connection)),
            _earliest_day(connection),
            _listed(connection),
            _lacking_from(connection, zones),
            zones,
        )


def collected_accounts(connection: duckdb.DuckDBPyConnection, mode: str) -> dict[str, str]:
    """Ids of the accounts of which the attached warehouse has collected something, with the names that are known."""
    if not _is_of(connection, mode):
        return {}
    rows = connection.execute(
        f"SELECT account_id, coalesce(any_value(name), '') FROM (SELECT DISTINCT account_id FROM {ALIAS}.pipeline.coverage) "
        f"LEFT JOIN {ALIAS}.ad_accounts USING (account_id) GROUP BY account_id ORDER BY account_id"
    ).fetchall()
    return {str(account_id): str(name) for account_id, name in rows}


def _zones(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute(
        f"SELECT account_id, timezone_name FROM {ALIAS}.pipeline.{ACCOUNTS} WHERE timezone_name IS NOT NULL"
    ).fetchall()
    return {str(account_id): str(zone) for account_id, zone in rows}


def _is_of(connection: duckdb.DuckDBPyConnection, mode: str) -> bool:
    row = connection.execute(f"SELECT mode FROM {ALIAS}.pipeline.source").fetchone()
    return row is None or row[0] == mode


def _earliest_day(connection: duckdb.DuckDBPyConnection) -> date | None:
    row = connection.execute(f"SELECT min(date_start) FROM {ALIAS}.pipeline.coverage").fetchone()
    return row[0] if row else None


def _lacking_from(connection: duckdb.DuckDBPyConnection, zones: Mapping[str, str]) -> dict[tuple[str, str], date]:
    rows = connection.execute(
        "SELECT account_id, report, max(date_start), max_by(collected_at, date_start) "
        f"FROM {ALIAS}.pipeline.coverage GROUP BY account_id, report"
    ).fetchall()
    return {
        (account_id, report): newest + timedelta(days=1) if collected_at >= _end(newest, zones[account_id]) else newest
        for account_id, report, newest, collected_at in rows
        if account_id in zones
    }


def _end(day: date, zone: str) -> datetime:
    """When (UTC, without saying so) a day is over in a time zone."""
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone))
    return midnight.astimezone(UTC).replace(tzinfo=None)


def _listed(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], float]:
    """Meta's lists show archived entities too, but none that are deleted."""
    levels = [level for level in Level if level is not Level.ACCOUNT]
    counts = " UNION ALL ".join(
        f"SELECT account_id, '{level.value}_insights' AS report, count(*) AS n FROM {ALIAS}.{level.value}s "
        "WHERE NOT coalesce(is_deleted, false) GROUP BY account_id"
        for level in levels
    )
    return {
        (str(account), str(report)): float(count) for account, report, count in connection.execute(counts).fetchall()
    }
