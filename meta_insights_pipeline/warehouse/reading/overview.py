"""The overview: accounts added up by currency, in all and by day, and the campaigns that cost most. Currencies never meet."""

from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import (
    DAYS_COLUMNS,
    Chosen,
    figure_columns,
    figure_rows,
    freshness_columns,
    sums,
)
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, Readable, ResultColumn, Shape, picked

Row = dict[str, Any]

_CURRENCY = ResultColumn(
    "account_currency", Shape.TEXT, "Currency, ISO 4217; null when it is not known. Everything in the row is of it."
)
_ACCOUNTS = ResultColumn("accounts", Shape.INTEGER, "How many ad accounts delivered.", "count")
_IS_CURRENT = ResultColumn(
    "is_current", Shape.FLAG, "True for the period that was asked for, false for as many days just before it."
)
_DAY = ResultColumn("date_start", Shape.DAY, "Day, in each ad account's own time zone.", "day")

TOTAL_COLUMNS = (_CURRENCY, _IS_CURRENT, _ACCOUNTS, *figure_columns(), *DAYS_COLUMNS, *freshness_columns())
DAILY_COLUMNS = (_CURRENCY, _DAY, _ACCOUNTS, *figure_columns(), *freshness_columns())
CAMPAIGN_COLUMNS = (
    _CURRENCY,
    ResultColumn("account_id", Shape.TEXT, "Id of the ad account, without the prefix act_."),
    ResultColumn("campaign_id", Shape.TEXT, "Id of the campaign."),
    ResultColumn("campaign_name", Shape.NAME, "Name of the campaign."),
    *figure_columns(),
    *DAYS_COLUMNS,
    *freshness_columns(),
)


def totals(view: View, reference: Reference, period: Period) -> Query:
    """One row for each currency of the period, and one of the period before it."""
    bind = Binder()
    both = Period(period.previous.since, period.until)
    rows = figure_rows(bind, view, reference, Chosen(Level.ACCOUNT, both))
    keys = ("account_currency", f"date_start >= {bind(period.since)}::DATE AS is_current")
    added = sums(keys, is_one_day=period.is_one_day, more=["count(DISTINCT account_id) AS accounts"])
    order = "ORDER BY q.account_currency NULLS LAST, q.is_current DESC"
    return Query(TOTAL_COLUMNS, f"WITH {rows} {added}", bind.parameters, order)


def totals_and_days(
    snapshot: Readable, view: View, reference: Reference, period: Period
) -> tuple[list[Row], list[Row]]:
    """The rows of `totals` and those of `daily`, by one query: planning one takes longer than adding up some more rows."""
    bind = Binder()
    both = Period(period.previous.since, period.until)
    rows = figure_rows(bind, view, reference, Chosen(Level.ACCOUNT, both))
    keys = ("account_currency", f"date_start >= {bind(period.since)}::DATE AS is_current")
    added = sums(keys, is_one_day=period.is_one_day, with_days=True, more=["count(DISTINCT account_id) AS accounts"])
    body = f"WITH {rows} SELECT * FROM ({added}) WHERE date_start IS NULL OR is_current"
    order = "ORDER BY q.account_currency NULLS LAST, q.is_current DESC, q.date_start NULLS FIRST"
    columns = (*TOTAL_COLUMNS, _DAY)
    found = Query(columns, body, bind.parameters, order).tuples(snapshot)
    wholes, days = ([row for row in found if (row[-1] is None) is is_whole] for is_whole in (True, False))
    return picked(wholes, columns, TOTAL_COLUMNS), picked(days, columns, DAILY_COLUMNS)


def daily(view: View, reference: Reference, period: Period) -> Query:
    """One row for each currency and day."""
    bind = Binder()
    rows = figure_rows(bind, view, reference, Chosen(Level.ACCOUNT, period))
    added = sums(("account_currency", "date_start"), is_one_day=True, more=["count(DISTINCT account_id) AS accounts"])
    order = "ORDER BY q.account_currency NULLS LAST, q.date_start"
    return Query(DAILY_COLUMNS, f"WITH {rows} {added}", bind.parameters, order)


def top_campaigns(view: View, reference: Reference, period: Period, count: int) -> Query:
    """The campaigns of each currency that cost most, by falling spend; those of equal spend by id."""
    bind = Binder()
    spent = "CASE WHEN count(*) = count(spend) THEN sum(spend) END"
    first = (
        "SELECT account_id, entity_id, account_currency FROM facts GROUP BY account_id, entity_id, account_currency "
        f"QUALIFY row_number() OVER (PARTITION BY account_currency ORDER BY {spent} DESC NULLS LAST, entity_id, account_id) "
        f"<= {bind(count)}"
    )
    only = (
        f"SELECT f.* FROM facts AS f SEMI JOIN ({first}) AS t ON t.account_id = f.account_id "
        "AND t.entity_id = f.entity_id AND t.account_currency IS NOT DISTINCT FROM f.account_currency"
    )
    rows = figure_rows(bind, view, reference, Chosen(Level.CAMPAIGN, period), only=only)
    added = sums(
        ("account_currency", "account_id", "entity_id AS campaign_id"),
        is_one_day=period.is_one_day,
        more=["arg_max(entity_name, date_start) AS name_then"],
    )
    campaigns = view.entities(bind, EntityKind.CAMPAIGNS)
    body = (
        f"WITH {rows} SELECT s.*, coalesce(c.name, s.name_then) AS campaign_name FROM ({added}) AS s "
        f"LEFT JOIN {campaigns} AS c ON c.account_id = s.account_id AND c.campaign_id = s.campaign_id"
    )
    order = "ORDER BY q.account_currency NULLS LAST, q.spend DESC NULLS LAST, q.campaign_id, q.account_id"
    return Query(CAMPAIGN_COLUMNS, body, bind.parameters, order)
