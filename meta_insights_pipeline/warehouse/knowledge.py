"""What a sync must know of the warehouse before it plans: sizes, accounts, days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.inspection import rows_a_day


@dataclass(frozen=True)
class Knowledge:
    """What the warehouse holds; nothing at all before the first sync."""

    rows_a_day: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Rows a day to expect, by account id and report."""
    accounts: frozenset[str] = frozenset()
    """Accounts that were asked for before, whether or not they answered."""
    earliest_day: date | None = None
    """The first day that any of them has."""

    def is_new(self, account_id: str) -> bool:
        """Whether an account has joined since the last sync."""
        return bool(self.accounts) and account_id not in self.accounts


def read_knowledge(warehouse: Warehouse) -> Knowledge:
    """Read it; opens the warehouse for a moment.

    Raises:
        WarehouseError: The warehouse cannot be opened.
    """
    if not warehouse.path.exists():
        return Knowledge()
    with warehouse.connect() as connection:
        return Knowledge(rows_a_day(connection), _accounts(connection), _earliest_day(connection))


def _accounts(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    books = " UNION ".join(f"SELECT account_id FROM {ALIAS}.pipeline.{book}" for book in ("coverage", "missing"))
    return frozenset(row[0] for row in connection.execute(books).fetchall())


def _earliest_day(connection: duckdb.DuckDBPyConnection) -> date | None:
    row = connection.execute(f"SELECT min(date_start) FROM {ALIAS}.pipeline.coverage").fetchone()
    return row[0] if row else None
