"""The overview: accounts added up by currency, in all and by day, and the campaigns that cost most. Currencies never meet.

Periods are compared by the days of both that are over, and only when those were collected: a day that goes on has less than
the one that stands in its place in the period before, and so has one that was never asked for.
"""

from dataclasses import dataclass
from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import facts_of
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import (
    DAYS_COLUMNS,
    Chosen,
    around,
    day_in,
    figure_columns,
    figure_rows,
    freshness_columns,
    sums,
    zeros,
)
from meta_insights_pipeline.warehouse.reading.period import Period, Today
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

COLLECTED_COLUMNS = (
    ResultColumn("date_from", Shape.DAY, "First day, of the ad account that is furthest behind.", "day"),
    ResultColumn("date_to", Shape.DAY, "Last day, of the ad account that is furthest ahead.", "day"),
    ResultColumn(
        "account_days",
        Shape.INTEGER,
        "How many days the ad accounts have in the period together: those of which anything was collected or could not be had "
        "in this period or the one that it is compared with.",
        "days",
    ),
    ResultColumn("collected_days", Shape.INTEGER, "How many of these days were collected.", "days"),
    ResultColumn(
        "is_whole",
        Shape.FLAG,
        "Whether all of these days were collected; then what may be summed is 0 and not null when nothing was delivered.",
    ),
)
# Between queries and whoever compares; no answer shows them.
_IS_COMPARABLE, _IS_OVER = ResultColumn("is_comparable", Shape.FLAG), ResultColumn("is_over", Shape.FLAG)
TOTAL_COLUMNS = (
    _CURRENCY,
    _IS_CURRENT,
    _ACCOUNTS,
    *figure_columns(),
    *DAYS_COLUMNS,
    *COLLECTED_COLUMNS,
    *freshness_columns(),
)
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
    body = _body(bind, view, reference, period, None, is_table=True)
    order = "ORDER BY q.account_currency NULLS LAST, q.is_current DESC"
    return Query(TOTAL_COLUMNS, body, bind.parameters, order)


@dataclass(frozen=True)
class Summed:
    """What `read_sums` finds."""

    totals: list[Row]
    """The rows of `totals`."""
    compared: list[Row]
    """Like totals, of the days of both periods that are over; with `is_comparable`, whether those were collected."""
    daily: list[Row]
    """The rows of `daily`."""


def read_sums(snapshot: Readable, view: View, reference: Reference, period: Period, today: Today) -> Summed:
    """All sums of accounts by one query: planning one takes longer than adding up some more rows."""
    bind = Binder()
    body = _body(bind, view, reference, period, today)
    order = "ORDER BY q.account_currency NULLS LAST, q.is_current DESC, q.date_start NULLS FIRST"
    columns = (*TOTAL_COLUMNS, _IS_COMPARABLE, _IS_OVER, _DAY)
    found = Query(columns, body, bind.parameters, order).tuples(snapshot)
    days = [row for row in found if row[-1] is not None]
    wholes = [row for row in found if row[-1] is None and row[-2] is None]
    over = [row for row in found if row[-2]]
    return Summed(
        picked(wholes, columns, TOTAL_COLUMNS),
        # Where every day is over, there is nothing to leave out.
        picked(over or wholes, columns, (*TOTAL_COLUMNS, _IS_COMPARABLE)),
        picked(days, columns, DAILY_COLUMNS),
    )


def _body(
    bind: Binder, view: View, reference: Reference, period: Period, today: Today | None, *, is_table: bool = False
) -> str:
    """A SELECT of the totals of both periods; of the days too, and of what is over if not all is, unless it is a table."""
    length, both = bind(period.days), period.with_previous
    rows = figure_rows(bind, view, reference, Chosen(Level.ACCOUNT, both))
    is_current = f"date_start >= {day_in(bind, period.since, period.lags, 'timezone_name')}"
    part = ""
    if today is not None and period.until >= today.oldest:
        day = day_in(bind, today.newest, today.lags, "timezone_name")
        part = (
            f"CASE WHEN {is_current} THEN date_start < {day} ELSE date_start < {day} - {length}::INTEGER END AS is_over"
        )
    added = sums(
        ("account_currency", f"{is_current} AS is_current"),
        is_one_day=period.is_one_day,
        with_days=not is_table,
        part=part,
        more=["count(DISTINCT account_id) AS accounts"],
    )
    more = [*(["NULL::DATE AS date_start"] if is_table else []), *([] if part else ["NULL::BOOLEAN AS is_over"])]
    kept = "(date_start IS NULL OR is_current) AND is_over IS NOT FALSE"
    same = ("account_currency", "is_current", "is_over", "date_start")
    own = (*same, "accounts", "days")
    return (
        f"WITH {rows}, summed AS (SELECT * FROM (SELECT {', '.join(['*', *more])} FROM ({added})) WHERE {kept}), "
        f"{_asked(bind, view, period, today if part else None, length)} "
        f"SELECT {', '.join(f'coalesce(h.{name}, s.{name}) AS {name}' for name in same)}, "
        f"s.* EXCLUDE ({', '.join(own)}) REPLACE ({zeros(reference, 's.days IS NULL AND h.is_whole')}), "
        "coalesce(s.accounts, 0) AS accounts, coalesce(s.days, 0) AS days, h.date_from, h.date_to, "
        "coalesce(h.account_days, 0) AS account_days, coalesce(h.collected_days, 0) AS collected_days, "
        "coalesce(h.is_whole, false) AS is_whole, coalesce(h.is_comparable, false) AS is_comparable "
        f"FROM asked AS h FULL JOIN summed AS s ON {' AND '.join(f'h.{name} IS NOT DISTINCT FROM s.{name}' for name in same)}"
    )


def _asked(bind: Binder, view: View, period: Period, today: Today | None, length: str) -> str:
    """Common table expressions of which the last, `asked`, has a row for each row of totals: how much of it was collected.

    Args:
        bind: Takes the values.
        view: What may be read.
        period: The days.
        today: Tells which days are over; None when all are.
        length: Placeholder of the number of days.
    """
    zone = "k.timezone_name"
    since, until = (day_in(bind, day, period.lags, zone) for day in (period.since, period.until))
    over = length
    if today is not None:
        over = f"greatest(0, least({length}, {day_in(bind, today.newest, today.lags, zone)} - {since}))"
    report = bind(facts_of(Level.ACCOUNT))
    books = [
        f"SELECT c.account_id, c.date_start, {is_there} AS is_there FROM {book} AS c WHERE c.report = {report} "
        f"AND {view.seen(bind, 'c')} AND {around(bind, 'c', period.with_previous)}"
        for book, is_there in ((view.missing(bind), "false"), (view.coverage(bind), "true"))
    ]
    if view.as_of is not None:
        # When a day was collected is known of the last time alone; but where there were rows, it had been.
        books.append("SELECT account_id, date_start, true FROM facts")
    names = f"SELECT e.account_id, NULL::VARCHAR AS account_currency FROM {view.entities(bind, EntityKind.AD_ACCOUNTS)} AS e"

    def days(where: str) -> str:
        return f"count(DISTINCT place) FILTER (is_there AND {where})::BIGINT"

    return (
        f"booked AS ({' UNION ALL '.join(books)}), "
        "known AS (SELECT u.account_id, coalesce(max(a.currency), max(u.account_currency)) AS account_currency, "
        f"max(a.timezone_name) AS timezone_name FROM ({names} WHERE {view.seen(bind, 'e')} "
        "UNION ALL SELECT account_id, account_currency FROM facts UNION ALL SELECT account_id, NULL FROM booked) AS u "
        "LEFT JOIN ad_accounts AS a ON a.account_id = u.account_id GROUP BY u.account_id), "
        # The place of a day counts from the beginning of the account's period; before it lies the previous one.
        f"placed AS (SELECT k.account_id, k.account_currency, {since} AS date_from, {until} AS date_to, {over} AS over_days, "
        f"b.date_start - {since} AS place, b.is_there FROM known AS k LEFT JOIN booked AS b ON b.account_id = k.account_id), "
        "by_account AS (SELECT account_currency, date_from, date_to, over_days, "
        f"coalesce(bool_or(place BETWEEN -{length} AND {length} - 1), false) AS is_asked, "
        f"{days(f'place BETWEEN 0 AND {length} - 1')} AS now_days, {days(f'place BETWEEN -{length} AND -1')} AS before_days, "
        f"{days('place BETWEEN 0 AND over_days - 1')} AS now_over, "
        f"{days(f'place BETWEEN -{length} AND over_days - {length} - 1')} AS before_over "
        "FROM placed GROUP BY account_id, account_currency, date_from, date_to, over_days), "
        "by_currency AS (SELECT account_currency, min(date_from) AS date_from, max(date_to) AS date_to, "
        f"(count(*) FILTER (is_asked) * {length})::BIGINT AS all_days, "
        "coalesce(sum(over_days) FILTER (is_asked), 0)::BIGINT AS all_over, "
        f"{', '.join(f'sum({name})::BIGINT AS {name}' for name in ('now_days', 'before_days', 'now_over', 'before_over'))}, "
        # An account that lacks in both periods is in neither sum.
        "bool_and(now_over = before_over AND now_over IN (0, over_days)) AND max(now_over) > 0 AS is_comparable "
        "FROM by_account GROUP BY account_currency), "
        "asked AS (SELECT *, collected_days = account_days AND account_days > 0 AS is_whole FROM ("
        "SELECT c.account_currency, v.is_current, v.is_over, NULL::DATE AS date_start, c.is_comparable, "
        f"CASE WHEN v.is_current THEN c.date_from ELSE c.date_from - {length}::INTEGER END AS date_from, "
        f"CASE WHEN v.is_current THEN c.date_to ELSE c.date_to - {length}::INTEGER END AS date_to, "
        "CASE WHEN v.is_over THEN c.all_over ELSE c.all_days END AS account_days, "
        "CASE WHEN v.is_over THEN CASE WHEN v.is_current THEN c.now_over ELSE c.before_over END "
        "WHEN v.is_current THEN c.now_days ELSE c.before_days END AS collected_days "
        f"FROM by_currency AS c CROSS JOIN (VALUES {_kinds(today is not None)}) AS v(is_current, is_over)))"
    )


def _kinds(has_over: bool) -> str:
    """The rows of totals of each currency."""
    wholes = "(true, NULL::BOOLEAN), (false, NULL)"
    return f"{wholes}, (true, true), (false, true)" if has_over else wholes


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
