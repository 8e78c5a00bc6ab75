"""The ledger: whether the levels add up to their accounts, line by line, the newest day first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import within
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, ResultColumn, shape_of
from meta_insights_pipeline.warehouse.reconciliation import Status
from meta_insights_pipeline.warehouse.schema import reconciliation_table

_RUN = "run_id"
# What a sum is of, its line says.
_UNITS = {"DATE": "day", "TIMESTAMP": "UTC"}
LEDGER_COLUMNS = tuple(
    ResultColumn(column.name, shape_of(column.sql_type), column.description, _UNITS.get(column.sql_type, ""))
    for column in reconciliation_table().columns
    # Which run compared them is not the business of whoever sees some accounts alone.
    if column.name != _RUN
)


@dataclass(frozen=True)
class LedgerPlace:
    """Where a page ended."""

    day: date
    account_id: str
    level: str
    metric: str


def ledger(
    view: View,
    period: Period,
    *,
    statuses: Iterable[Status] = (),
    levels: Iterable[Level] = (),
    after: LedgerPlace | None = None,
    limit: int | None = None,
) -> Query:
    """The lines of the period.

    Args:
        view: What may be read.
        period: The days.
        statuses: Only these; all when there are none.
        levels: Only these; all when there are none.
        after: Where the page before ended.
        limit: The most lines; None for all.
    """
    bind = Binder()
    zones = "LEFT JOIN ad_accounts AS z ON z.account_id = r.account_id " if period.lags else ""
    conditions = [view.seen(bind, "r"), within(bind, "r", period, "z.timezone_name")]
    for column, values in (("status", [*statuses]), ("level", [*levels])):
        if values:
            conditions.append(bind.is_in(f"r.{column}", [value.value for value in values]))
    if after is not None:
        day = f"{bind(after.day)}::DATE"
        later = ", ".join(bind(value) for value in (after.account_id, after.level, after.metric))
        conditions.append(
            f"(r.date_start < {day} OR (r.date_start = {day} AND (r.account_id, r.level, r.metric) > ({later})))"
        )
    body = f"SELECT r.* FROM {view.ledger(bind)} AS r {zones}WHERE {' AND '.join(conditions)}"
    end = "" if limit is None else f" LIMIT {bind(limit)}"
    return Query(
        LEDGER_COLUMNS, body, bind.parameters, f"ORDER BY q.date_start DESC, q.account_id, q.level, q.metric{end}"
    )
