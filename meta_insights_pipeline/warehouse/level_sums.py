"""Sums of what may be added up, by level: the two sides of every comparison of the ledger, as SQL.

Counts, money and conversions of all rows of a level, by account and day, or by the entity above them. Reach and ratios are not
here: they cannot be added up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from meta_insights_pipeline.catalog.conversions import events
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.warehouse.conversion_events import NAME as CONVERSIONS
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, SUM, WITHHELD
from meta_insights_pipeline.warehouse.sql import literal


@dataclass(frozen=True)
class Metric:
    """Something that may be added up over the entities of a level."""

    name: str
    field: str
    """The insights field that it is taken from."""
    action_type: str = ""
    """Of a field that is a list by action type."""
    column: str = ""
    """The column of `insight_actions` with its number."""
    is_money: bool = False


@dataclass(frozen=True)
class DaysTable:
    """A table `(account_id, date_start)` of the account days that are looked at, and the bounds of its days."""

    name: str
    since: date
    until: date

    @property
    def bounds(self) -> str:
        """A condition on the rows `r`: plain bounds let DuckDB skip every block of other days."""
        return f"r.date_start BETWEEN {literal(self.since)} AND {literal(self.until)}"

    @property
    def same(self) -> str:
        """What joins rows `r` with the days `b`; an expression, see `changes.Comparison`."""
        return "r.account_id || '' = b.account_id AND r.date_start = b.date_start"


def report_name(level: Level) -> str:
    """The report, and table, of a level."""
    (report,) = reports_of_levels([level])
    return report.name


def ledger_metrics(connection: duckdb.DuckDBPyConnection) -> tuple[Metric, ...]:
    """What is compared: spend, impressions, clicks, and every event by the one action type that counts it."""
    return (
        Metric("spend", "spend", is_money=True),
        Metric("impressions", "impressions"),
        Metric("clicks", "clicks"),
        *_conversions(connection),
    )


def _conversions(connection: duckdb.DuckDBPyConnection) -> Iterator[Metric]:
    """How the attached warehouse counts conversions."""
    rows = connection.execute(
        f"SELECT event, action_type, value_column, count_field, value_field FROM {ALIAS}.{CONVERSIONS} ORDER BY event"
    ).fetchall()
    for name, action_type, column, count_field, value_field in rows:
        event = events()[name]
        yield Metric(event.counts, count_field, action_type, column)
        if event.values and value_field:
            yield Metric(event.values, value_field, action_type, column, is_money=True)


def metrics_table(metrics: Sequence[Metric]) -> str:
    """Metrics as a table expression `(metric, field, action_type, is_money)`."""
    lines = ", ".join(
        f"({literal(one.name)}, {literal(one.field)}, {literal(one.action_type)}, {str(one.is_money).lower()})"
        for one in metrics
    )
    return f"(FROM (VALUES {lines}) AS v(metric, field, action_type, is_money))"


def sums_by_owner(level: Level, owner: Level, days: DaysTable, metrics: Sequence[Metric], only: str = "true") -> str:
    """A query `(account_id, owner, date_start, metric, value)` of the sums of the rows of a level.

    Args:
        level: Whose rows.
        owner: The level, the same one or above, by whose entities they are added up.
        days: Which account days.
        metrics: What to add up; a sum of nothing, or of withheld values alone, is absent or NULL.
        only: A condition on the rows `r` of the level's own table.
    """
    rows, place = _rows(level, days, only), f"r.account_id, r.{owner.id_field} AS owner, r.date_start"
    facts = f"SELECT {place}, {_fact_sums(metrics)} FROM {rows} GROUP BY ALL"
    facts = f"SELECT account_id, owner, date_start, {unpivoted(metrics)} FROM ({facts})"
    if not any(one.column for one in metrics):
        return facts
    # The parents of an action's entity stand in the entity's own row.
    actions = (
        f"SELECT {place}, m.metric, {_action_sum('a', metrics)} FROM {ALIAS}.{ACTIONS_TABLE} AS a JOIN {rows} "
        f"ON a.level = {literal(level.value)} AND a.account_id = r.account_id AND a.entity_id = r.{level.id_field} "
        f"AND a.date_start = r.date_start AND a.date_start BETWEEN {literal(days.since)} AND {literal(days.until)} "
        f"JOIN {metrics_table(metrics)} AS m ON m.field = a.field AND m.action_type = a.action_type GROUP BY ALL"
    )
    return f"{facts} UNION ALL {actions}"


def fact_sums(days: DaysTable, metrics: Sequence[Metric]) -> str:
    """A query `(level, account_id, date_start, currency, row_count, withheld, <metric>...)`.

    It has one row a level and account day with rows. `withheld` is a map: of the names of fields that Meta withheld together, to
    the number of rows that lack them.
    """
    fields = ", ".join(f"r.{name}" for name in dict.fromkeys(one.field for one in metrics if not one.column))
    rows = " UNION ALL ".join(
        f"SELECT {literal(level.value)} AS level, r.account_id, r.date_start, r.account_currency, r.{WITHHELD}, {fields} "
        f'FROM {ALIAS}."{report_name(level)}" AS r WHERE {days.bounds}'
        for level in Level
    )
    return (
        "SELECT r.level, r.account_id, r.date_start, any_value(r.account_currency) AS currency, "
        f"count(*) AS row_count, histogram(r.{WITHHELD}) AS withheld, {_fact_sums(metrics)} "
        f"FROM ({rows}) AS r JOIN {days.name} AS b ON {days.same} GROUP BY ALL"
    )


def action_sums(days: DaysTable, metrics: Sequence[Metric]) -> str:
    """A query `(level, account_id, date_start, metric, value)` of the conversions of all levels."""
    return (
        f"SELECT r.level, r.account_id, r.date_start, m.metric, {_action_sum('r', metrics)} "
        f"FROM {ALIAS}.{ACTIONS_TABLE} AS r JOIN {days.name} AS b ON {days.same} "
        f"JOIN {metrics_table(metrics)} AS m ON m.field = r.field AND m.action_type = r.action_type "
        f"WHERE {days.bounds} GROUP BY ALL"
    )


def unpivoted(metrics: Sequence[Metric]) -> str:
    """The columns of `fact_sums` as two columns, `metric` and `value`, and so many rows."""
    pairs = ", ".join(f"{{'metric': {literal(one.name)}, 'value': {one.name}}}" for one in metrics if not one.column)
    return f"unnest([{pairs}], recursive := true)"


def _fact_sums(metrics: Sequence[Metric]) -> str:
    return ", ".join(f"sum(r.{one.field})::{SUM} AS {one.name}" for one in metrics if not one.column)


def _action_sum(table: str, metrics: Sequence[Metric]) -> str:
    """The sum of each metric's own column."""
    by_column: dict[str, list[str]] = {}
    for one in metrics:
        if one.column:
            by_column.setdefault(one.column, []).append(literal(one.name))
    cases = " ".join(
        f"WHEN m.metric IN ({', '.join(names)}) THEN {table}.{column}" for column, names in by_column.items()
    )
    return f"sum(CASE {cases} END)::{SUM} AS value"


def _rows(level: Level, days: DaysTable, only: str) -> str:
    return (
        f'(SELECT r.* FROM {ALIAS}."{report_name(level)}" AS r JOIN {days.name} AS b ON {days.same} '
        f"WHERE {days.bounds} AND {only}) AS r"
    )
