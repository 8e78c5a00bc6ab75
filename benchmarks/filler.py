"""Many rows for a warehouse, made by DuckDB itself: for benchmarks of what a large one costs.

Not simulated pages, which would take hours: ids, names, days and money of the right kinds and lengths, in the order in which
syncs write them, each row with one action.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import METRICS, reports_of_levels
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline.warehouse.schema import (
    ACTIONS_TABLE,
    DECIMAL,
    Column,
    actions_table,
    entity_table,
    fact_table,
    history_table,
)
from meta_insights_pipeline.warehouse.sql import literal

ADS = 10_000
"""Ads of each account; all of them deliver every day."""
ACCOUNT_DAYS = 1_000
"""Days of each account but the last one, so that no account has more than Meta keeps."""
_ROWS_AT_ONCE = 200_000
_ID = "concat('1202', right(account, 4), lpad(({})::VARCHAR, 9, '0'))"
READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
_ADS_OF = {Level.ADSET: 5, Level.CAMPAIGN: 50}
# Columns that ads pass on to what is above them.
_SAME = (
    *("date_start", "changed_at", "account_id", "account_currency", "objective", "field", "action_type"),
    *("adset_id", "adset_name", "campaign_id", "campaign_name"),
)


def fill(warehouse: Warehouse, rows: int, before: date, ads: int = ADS) -> None:
    """Add ad rows of other accounts until there are so many, and an action of each.

    Args:
        warehouse: Its ad rows that are there already count.
        rows: How many there should be, in full days of an account.
        before: All days lie before this one.
        ads: Ads of each account.
    """
    with warehouse.connect() as connection:
        (present,) = connection.execute("SELECT count(*) FROM ad_insights").fetchone() or (0,)
        wanted = rows // ads
        first = present // ads
        days_at_once = max(1, _ROWS_AT_ONCE // ads)
        for start in range(first, wanted, days_at_once):
            numbers = range(start, min(start + days_at_once, wanted))
            connection.execute("BEGIN")
            _add(connection, numbers, before, ads)
            connection.execute("COMMIT")
        connection.execute(f"CHECKPOINT {ALIAS}")


def add_upper_levels(warehouse: Warehouse) -> None:
    """Add up the ad rows and their actions to ad sets, campaigns and accounts, and give all of them attributes.

    Args:
        warehouse: A filled one, with rows of ads alone.
    """
    with warehouse.connect() as connection:
        connection.execute("SET memory_limit = '1GB'")
        accounts = connection.execute("SELECT DISTINCT account_id FROM ad_insights ORDER BY 1").fetchall()
        for level in (Level.ADSET, Level.CAMPAIGN, Level.ACCOUNT):
            for (account,) in accounts:
                _add_up(connection, level, account)
        for level, kind in KINDS.items():
            _add_entities(connection, level, kind)
        connection.execute(f"CHECKPOINT {ALIAS}")


def restate(warehouse: Warehouse, since: date, versions: int) -> int:
    """Give the newest ad rows and their actions earlier versions, an hour apart; all rows were first read at `READ_AT`.

    Args:
        warehouse: A filled one.
        since: Rows of this day and later.
        versions: How many of each.

    Returns:
        How many versions of ad rows there are now, and as many of actions.
    """
    newest = f"account_id LIKE '77%' AND date_start >= {literal(since)}"
    earlier = {
        "changed_at": "changed_at + version * INTERVAL 1 HOUR",
        "superseded_at": "changed_at + (version + 1) * INTERVAL 1 HOUR",
        "impressions": f"impressions - {versions} + version",
        "spend": f"(spend - 0.01 * ({versions} - version))::{DECIMAL}",
        "value": f"(value - {versions} + version)::{DECIMAL}",
    }
    count = 0
    with warehouse.connect() as connection:
        for table in (fact_table(reports_of_levels([Level.AD])[0]), actions_table()):
            history = history_table(table)
            names = ", ".join(f'"{name}"' for name in history.stored)
            values = ", ".join(earlier.get(name, f'"{name}"') for name in history.stored)
            connection.execute(
                f'INSERT INTO "{history.name}" ({names}) SELECT {values} FROM (FROM "{table.name}" WHERE {newest}) '
                f"CROSS JOIN range({versions}) AS v(version)"
            )
            (count,) = connection.execute(f'SELECT count(*) FROM "{history.name}" WHERE {newest}').fetchone() or (0,)
            connection.execute(
                f'UPDATE "{table.name}" SET changed_at = changed_at + {versions} * INTERVAL 1 HOUR WHERE {newest}'
            )
        connection.execute(f"CHECKPOINT {ALIAS}")
    return int(count)


def _add(connection: duckdb.DuckDBPyConnection, numbers: range, before: date, ads: int) -> None:
    """Whole days, each with a number of its own: account after account, day after day."""
    days = ", ".join(f"({literal(_account(number))}, {literal(_day(number, before))})" for number in numbers)
    rows = f"(VALUES {days}) AS d(account, day) CROSS JOIN range({ads}) AS a(ad)"
    table = fact_table(reports_of_levels([Level.AD])[0])
    for each, expression in ((table, _fact), (actions_table(), _action)):
        columns = [column for column in each.columns if column.formula is None]
        names = ", ".join(f'"{column.name}"' for column in columns)
        values = ", ".join(f"({expression(column)})::{column.sql_type}" for column in columns)
        connection.execute(f'INSERT INTO "{each.name}" ({names}) SELECT {values} FROM {rows}')
    connection.execute(
        f"INSERT INTO pipeline.coverage SELECT {literal(table.name)}, account, day, {literal(READ_AT)}, 'filler', {ads} "
        f"FROM (VALUES {days}) AS d(account, day)"
    )


def _add_up(connection: duckdb.DuckDBPyConnection, level: Level, account: str) -> None:
    """The rows of a level, their actions, and when they were collected; the oldest day first, as syncs write them."""
    (ads,), (facts,) = (tuple(map(fact_table, reports_of_levels([each]))) for each in (Level.AD, level))
    upper = "account_id"
    if level in _ADS_OF:
        upper = _ID.format(f"right(entity_id, 9)::BIGINT // {_ADS_OF[level]}").replace("account,", "account_id,")
    sources = (
        (facts, f'"{ads.name}"', level.id_field, "true", _added_fact),
        (
            actions_table(),
            f'(SELECT *, {upper} AS upper_id FROM "{ACTIONS_TABLE}")',
            "entity_id, field, action_type",
            "level = 'ad'",
            lambda column: _added_action(column, level),
        ),
    )
    for table, rows, key, condition, expression in sources:
        columns = [column for column in table.columns if column.formula is None]
        names = ", ".join(f'"{column.name}"' for column in columns)
        # By these names they are put in order, since what is grouped are the expressions.
        values = ", ".join(f'({expression(column)})::{column.sql_type} AS "{column.name}"' for column in columns)
        connection.execute(
            f'INSERT INTO "{table.name}" ({names}) SELECT {values} FROM {rows} '
            f"WHERE {condition} AND account_id = {literal(account)} GROUP BY ALL ORDER BY date_start, {key}"
        )
    connection.execute(
        f"INSERT INTO pipeline.coverage SELECT {literal(facts.name)}, account_id, date_start, {literal(READ_AT)}, 'filler', "
        f'count(*) FROM "{facts.name}" WHERE account_id = {literal(account)} GROUP BY account_id, date_start'
    )


def _added_fact(column: Column) -> str:
    """Of a column that an upper level has; what is not added up is the same in all rows of a group."""
    return f"sum({column.name})" if column.name in METRICS else column.name if column.name in _SAME else "NULL"


def _added_action(column: Column, level: Level) -> str:
    plain = {"level": literal(level.value), "entity_id": "upper_id", "value": "sum(value)"}
    return plain.get(column.name) or (column.name if column.name in _SAME else "NULL")


def _add_entities(connection: duckdb.DuckDBPyConnection, level: Level, kind: EntityKind) -> None:
    """One row for each entity that has insights."""
    insights = reports_of_levels([level])[0].name
    above = {each.id_field for each in Level if each.depth <= level.depth}
    plain = {
        "name": f"any_value({level.value}_name)",
        "currency": "'EUR'",
        "timezone_name": "'Europe/Berlin'",
        "status": "'ACTIVE'",
        "effective_status": "'ACTIVE'",
        "is_deleted": "false",
        "valid_from": literal(READ_AT),
        "last_seen_at": literal(READ_AT),
    } | {name: f"any_value({name})" for name in above}
    columns = [column for column in entity_table(kind).columns if column.formula is None]
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(f"({plain.get(column.name, 'NULL')})::{column.sql_type}" for column in columns)
    keys = ", ".join(kind.key)
    connection.execute(
        f'INSERT INTO "{kind.value}" ({names}) SELECT {values} FROM "{insights}" GROUP BY {keys} ORDER BY {keys}'
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
