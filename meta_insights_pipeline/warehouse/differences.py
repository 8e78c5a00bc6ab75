"""Where a residual sits: below which campaigns and ad sets the rows of a level do not add up, and whom to ask about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.level_sums import (
    DaysTable,
    ledger_metrics,
    sums_by_owner,
)
from meta_insights_pipeline.warehouse.reconciliation import Residual
from meta_insights_pipeline.warehouse.recovered import BOOK
from meta_insights_pipeline.warehouse.schema import SUM, fact_table, history_table
from meta_insights_pipeline.warehouse.sql import literal

# Entities that are not in the tables of entities are known from insights, earlier versions too, of so many days around.
_SEEN_WITHIN = 35
_OPEN, _DIFFERENCES = "open_residuals", "level_differences"
# Whatever delivered was seen, clicked on or paid for; conversions alone are no sign of a row that is not there.
_LACKS_ROWS = "(amount > 0 AND metric IN ('spend', 'impressions', 'clicks'))"
_KINDS = {kind.level: kind for kind in EntityKind if kind.level is not None}


@dataclass(frozen=True)
class Question:
    """A node whose own insights may hold rows that no report listed."""

    account_id: str
    node: str
    since: date
    until: date


@dataclass(frozen=True)
class Difference:
    """An entity whose rows of the level below do not add up to its own."""

    account_id: str
    day: date
    metric: str
    owner: Level
    owner_id: str
    amount: str
    """The entity's own value less the sum, as text without needless zeros."""


def draw_differences(
    connection: duckdb.DuckDBPyConnection, level: Level, owner: Level, residuals: Sequence[Residual]
) -> None:
    """Find the entities of a level above whose rows of a level do not add up; in place of what was found last.

    Args:
        connection: With the warehouse attached.
        level: Whose rows are added up.
        owner: The level above to whose rows they should add up.
        residuals: Where to look: the residuals of the level; not empty.
    """
    lines = ", ".join(
        f"({literal(one.account_id)}, {literal(one.day)}, {literal(metric)})"
        for one in residuals
        for metric in one.metrics
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_OPEN} AS FROM (VALUES {lines}) AS v(account_id, date_start, metric)"
    )
    since, until = min(one.day for one in residuals), max(one.day for one in residuals)
    days = DaysTable(f"(SELECT DISTINCT account_id, date_start FROM {_OPEN})", since, until)
    names = {metric for one in residuals for metric in one.metrics}
    metrics = [one for one in ledger_metrics(connection) if not one.column or one.name in names]
    own, parts = (sums_by_owner(each, owner, days, metrics) for each in (owner, level))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_DIFFERENCES} AS SELECT account_id, owner, date_start, metric, "
        f"coalesce(own.value, 0)::{SUM} - coalesce(parts.value, 0)::{SUM} AS amount FROM ({own}) AS own "
        f"FULL JOIN ({parts}) AS parts USING (account_id, owner, date_start, metric) "
        f"SEMI JOIN {_OPEN} USING (account_id, date_start, metric) WHERE amount <> 0"
    )


def questions_by_parent(connection: duckdb.DuckDBPyConnection) -> list[Question]:
    """The entities that lack rows below them, those with the largest number of days first."""
    return _questions(
        connection,
        f"SELECT account_id, owner, min(date_start), max(date_start) FROM {_DIFFERENCES} WHERE {_LACKS_ROWS} "
        "GROUP BY account_id, owner ORDER BY count(DISTINCT date_start) DESC, account_id, owner",
    )


def questions_by_id(connection: duckdb.DuckDBPyConnection, level: Level, owner: Level) -> list[Question]:
    """The entities of the level that are known, belong to those that lack rows, and have none themselves: deleted ones first.

    Rows that were recovered are asked for again wherever something differs.
    """
    kind = _KINDS[level]
    (report,) = reports_of_levels([level])
    table = f'{ALIAS}."{report.name}"'
    bounds = (
        f"r.date_start BETWEEN (SELECT min(date_start) - {{0}} FROM {_DIFFERENCES}) "
        f"AND (SELECT max(date_start) + {{0}} FROM {_DIFFERENCES})"
    )
    known = (
        f"SELECT account_id, {owner.id_field} AS owner, {level.id_field} AS id, is_deleted, created_time, NULL::DATE AS seen "
        f'FROM {ALIAS}."{kind.value}"'
    )
    seen = " UNION ALL ".join(
        f"SELECT r.account_id, r.{owner.id_field} AS owner, r.{level.id_field} AS id, NULL::BOOLEAN AS is_deleted, "
        f"NULL::TIMESTAMP AS created_time, max(r.date_start) AS seen FROM {of} AS r "
        f"SEMI JOIN {_DIFFERENCES} AS d ON r.account_id = d.account_id AND r.{owner.id_field} = d.owner "
        f"WHERE {bounds.format(_SEEN_WITHIN)} GROUP BY ALL"
        for of in (table, f'{ALIAS}."{history_table(fact_table(report)).name}"')
    )
    rows = f"SELECT r.account_id, r.{level.id_field} AS id, r.date_start FROM {table} AS r WHERE {bounds.format(0)}"
    return _questions(
        connection,
        f"WITH known AS (SELECT account_id, owner, id, bool_or(is_deleted) AS is_deleted, min(created_time) AS created_time, "
        f"max(seen) AS seen FROM ({known} UNION ALL {seen}) GROUP BY ALL), "
        f"days AS (SELECT account_id, owner, date_start, bool_or({_LACKS_ROWS}) AS lacks_rows FROM {_DIFFERENCES} GROUP BY ALL) "
        "SELECT known.account_id, known.id, min(days.date_start), max(days.date_start) "
        "FROM known JOIN days USING (account_id, owner) "
        f"LEFT JOIN ({rows}) AS r ON r.account_id = known.account_id AND r.id = known.id AND r.date_start = days.date_start "
        f"LEFT JOIN (FROM {BOOK} WHERE report = {literal(report.name)}) AS b ON b.account_id = known.account_id "
        "AND b.entity_id = known.id AND b.date_start = days.date_start "
        # A day in hand for the account's time zone.
        "WHERE b.entity_id IS NOT NULL OR (lacks_rows AND r.id IS NULL AND (created_time IS NULL "
        "OR created_time < days.date_start + INTERVAL 2 DAYS)) GROUP BY known.account_id, known.id, is_deleted, seen "
        "ORDER BY is_deleted DESC NULLS LAST, seen DESC NULLS LAST, known.account_id, known.id",
    )


def differences(connection: duckdb.DuckDBPyConnection, owner: Level, most: int) -> list[Difference]:
    """What was found, at most so many of each residual, the largest first."""
    rows = connection.execute(
        "SELECT account_id, date_start, metric, owner, "
        r"regexp_replace(amount::VARCHAR, '\.?0+$', '') "
        f"FROM {_DIFFERENCES} QUALIFY row_number() OVER (PARTITION BY account_id, date_start, metric "
        f"ORDER BY abs(amount) DESC, owner) <= {most} ORDER BY account_id, date_start, metric, abs(amount) DESC, owner"
    ).fetchall()
    return [
        Difference(account, day, metric, owner, owner_id, amount) for account, day, metric, owner_id, amount in rows
    ]


def _questions(connection: duckdb.DuckDBPyConnection, statement: str) -> list[Question]:
    return [Question(*row) for row in connection.execute(statement).fetchall()]
