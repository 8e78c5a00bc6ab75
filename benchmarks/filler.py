"""Many rows for a warehouse, made by DuckDB itself: for benchmarks of what a large one costs.

Not simulated pages, which would take hours: ids, names, days and money of the right kinds and lengths, in the order in which
syncs write them, each row with one action.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.schema import DECIMAL, Column, actions_table, fact_table, history_table
from meta_insights_pipeline.warehouse.sql import literal

ADS = 10_000
"""Ads of each account; all of them deliver every day."""
ACCOUNT_DAYS = 1_000
"""Days of each account but the last one, so that no account has more than Meta keeps."""
_DAYS_AT_ONCE = 20
_ID = "concat('1202', right(account, 4), lpad(({})::VARCHAR, 9, '0'))"
READ_AT = datetime(2026, 1, 1, tzinfo=UTC)


def fill(warehouse: Warehouse, rows: int, before: date) -> None:
    """Add ad rows of other accounts until there are so many, and an action of each.

    Args:
        warehouse: Its ad rows that are there already count.
        rows: How many there should be, in full days of `ADS`.
        before: All days lie before this one.
    """
    with warehouse.connect() as connection:
        (present,) = connection.execute("SELECT count(*) FROM ad_insights").fetchone() or (0,)
        wanted = rows // ADS
        first = present // ADS
        for start in range(first, wanted, _DAYS_AT_ONCE):
            numbers = range(start, min(start + _DAYS_AT_ONCE, wanted))
            connection.execute("BEGIN")
            _add(connection, numbers, before)
            connection.execute("COMMIT")
        connection.execute(f"CHECKPOINT {ALIAS}")


def restate(warehouse: Warehouse, since: date, versions: int) -> int:
    """Give the newest ad rows earlier versions, an hour apart from each other; all rows were first read at `READ_AT`.

    Args:
        warehouse: A filled one.
        since: Rows of this day and later.
        versions: How many of each.

    Returns:
        How many versions there are now.
    """
    table = fact_table(reports_of_levels([Level.AD])[0])
    history = history_table(table)
    names = ", ".join(f'"{name}"' for name in history.stored)
    earlier = {
        "changed_at": "changed_at + version * INTERVAL 1 HOUR",
        "superseded_at": "changed_at + (version + 1) * INTERVAL 1 HOUR",
        "impressions": f"impressions - {versions} + version",
        "spend": f"(spend - 0.01 * ({versions} - version))::{DECIMAL}",
    }
    values = ", ".join(earlier.get(name, f'"{name}"') for name in history.stored)
    newest = f"account_id LIKE '77%' AND date_start >= {literal(since)}"
    with warehouse.connect() as connection:
        connection.execute(
            f'INSERT INTO "{history.name}" ({names}) SELECT {values} FROM (FROM ad_insights WHERE {newest}) '
            f"CROSS JOIN range({versions}) AS v(version)"
        )
        (count,) = connection.execute(f'SELECT count(*) FROM "{history.name}" WHERE {newest}').fetchone() or (0,)
        connection.execute(
            f"UPDATE ad_insights SET changed_at = changed_at + {versions} * INTERVAL 1 HOUR WHERE {newest}"
        )
        connection.execute(f"CHECKPOINT {ALIAS}")
    return int(count)


def _add(connection: duckdb.DuckDBPyConnection, numbers: range, before: date) -> None:
    """Whole days, each with a number of its own: account after account, day after day."""
    days = ", ".join(f"({literal(_account(number))}, {literal(_day(number, before))})" for number in numbers)
    rows = f"(VALUES {days}) AS d(account, day) CROSS JOIN range({ADS}) AS a(ad)"
    table = fact_table(reports_of_levels([Level.AD])[0])
    for each, expression in ((table, _fact), (actions_table(), _action)):
        columns = [column for column in each.columns if column.formula is None]
        names = ", ".join(f'"{column.name}"' for column in columns)
        values = ", ".join(f"({expression(column)})::{column.sql_type}" for column in columns)
        connection.execute(f'INSERT INTO "{each.name}" ({names}) SELECT {values} FROM {rows}')
    connection.execute(
        f"INSERT INTO pipeline.coverage SELECT {literal(table.name)}, account, day, {literal(READ_AT)}, 'filler', {ADS} "
        f"FROM (VALUES {days}) AS d(account, day)"
    )


def _account(number: int) -> str:
    return f"77{number // ACCOUNT_DAYS:013d}"


def _day(number: int, before: date) -> date:
    return before - timedelta(days=ACCOUNT_DAYS - number % ACCOUNT_DAYS)


def _fact(column: Column) -> str:
    number = f"hash(ad, day, {literal(column.name)}) % 10000"
    plain = {
        "date_start": "day",
        "changed_at": literal(READ_AT),
        "account_id": "account",
        "account_currency": "'EUR'",
        "objective": "'OUTCOME_SALES'",
        "ad_id": _ID.format("ad"),
        "adset_id": _ID.format("ad // 5"),
        "campaign_id": _ID.format("ad // 50"),
        "ad_name": "concat('Video ', ad, ' summer')",
        "adset_name": "concat('Women 25 to 44, ', ad // 5)",
        "campaign_name": "concat('Sales Europe ', ad // 50)",
    }
    by_type = {"VARCHAR": "NULL", DECIMAL: f"({number}) / 100.0"}
    return plain.get(column.name) or by_type.get(column.sql_type, number)


def _action(column: Column) -> str:
    plain = {
        "level": "'ad'",
        "account_id": "account",
        "entity_id": _ID.format("ad"),
        "date_start": "day",
        "field": "'actions'",
        "action_type": "'omni_purchase'",
        "changed_at": literal(READ_AT),
    }
    return plain.get(column.name, "hash(ad, day) % 50" if column.sql_type == DECIMAL else "NULL")
