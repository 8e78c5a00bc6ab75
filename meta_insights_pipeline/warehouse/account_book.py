"""The book of ad accounts: every one that a sync has found, whether or not entities are stored.

Whoever needs an account's currency or time zone takes it from the view `known_accounts`, which asks the entities first and the
book where they say nothing: without a currency money of different accounts would be added up, and without a zone no day is final.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import ACCOUNTS, CHANGED_AT
from meta_insights_pipeline.warehouse.sql import literal

_BOOK = f"{ALIAS}.pipeline.{ACCOUNTS}"
_COLUMNS = "account_id, name, currency, timezone_name, seen_at, run_id"


@dataclass(frozen=True)
class FoundAccount:
    """An ad account as a sync has found it."""

    account_id: str
    """Without `act_`."""
    name: str
    currency: str
    """ISO 4217."""
    timezone_name: str
    """IANA name."""


def note_accounts(
    connection: duckdb.DuckDBPyConnection, accounts: Sequence[FoundAccount], run_id: str, seen_at: datetime
) -> None:
    """Write down what is known of accounts, in place of what was known before; inside the caller's transaction.

    Args:
        connection: With the warehouse attached.
        accounts: What a sync has found.
        run_id: The sync.
        seen_at: When (UTC) it found them.
    """
    if not accounts:
        return
    lines = ", ".join(
        f"({', '.join(literal(text or None) for text in (one.account_id, one.name, one.currency, one.timezone_name))}, "
        f"{literal(seen_at)}, {literal(run_id)})"
        for one in accounts
    )
    connection.execute(
        f"DELETE FROM {_BOOK} WHERE account_id IN ({', '.join(literal(one.account_id) for one in accounts)})"
    )
    connection.execute(f"INSERT INTO {_BOOK} ({_COLUMNS}) VALUES {lines}")


def note_accounts_of_rows(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Write down the accounts that no sync has noted and rows are of, with what these say; they do not tell the time zone."""
    rows = " UNION ALL ".join(
        f'SELECT account_id, account_name, account_currency, {CHANGED_AT} FROM {ALIAS}."{level.value}_insights"'
        for level in Level
    )
    connection.execute(
        f"INSERT INTO {_BOOK} ({_COLUMNS}) SELECT account_id, arg_max(account_name, {CHANGED_AT}), "
        f"arg_max(account_currency, {CHANGED_AT}), NULL, max({CHANGED_AT}), {literal(run_id)} "
        f"FROM ({rows}) ANTI JOIN {_BOOK} USING (account_id) GROUP BY account_id"
    )
