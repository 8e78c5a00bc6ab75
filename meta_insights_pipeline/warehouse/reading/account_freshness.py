"""How fresh and how whole each account is: its newest day, when that was collected, and what lacks."""

from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import FINAL_AFTER_DAYS, facts_of
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import day_in, final_day, within
from meta_insights_pipeline.warehouse.reading.listing import ASKED_DAYS_COLUMNS
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, Readable, ResultColumn, Shape

FRESHNESS_COLUMNS = (
    ResultColumn("account_id", Shape.TEXT, "Id of the ad account, without the prefix act_."),
    ResultColumn("account_name", Shape.NAME, "Name of the ad account."),
    ResultColumn("timezone_name", Shape.TEXT, "IANA name of the time zone in which the account's days begin and end."),
    *ASKED_DAYS_COLUMNS,
    ResultColumn("newest_day", Shape.DAY, "Newest day that was collected, also outside the period.", "day"),
    ResultColumn("collected_at", Shape.MOMENT, "When the newest day was last collected.", "UTC"),
    ResultColumn("collected_days", Shape.INTEGER, "How many days of the period were collected.", "days"),
    ResultColumn(
        "is_final",
        Shape.FLAG,
        f"Whether all days of the period were collected when they were more than {FINAL_AFTER_DAYS} days old, so that Meta "
        "does not change them any more.",
    ),
)
MISSING_COLUMNS = (
    ResultColumn("account_id", Shape.TEXT, "Id of the ad account, without the prefix act_."),
    ResultColumn("report", Shape.TEXT, "The table that lacks it."),
    ResultColumn("date_from", Shape.DAY, "First day that lacks.", "day"),
    ResultColumn("date_to", Shape.DAY, "Last day that lacks.", "day"),
    ResultColumn(
        "kind", Shape.TEXT, "deferred (asked for again by itself), refused (the account is closed) or failed."
    ),
    ResultColumn("reason", Shape.NAME, "Why, as a sentence."),
    ResultColumn("retry_at", Shape.MOMENT, "When it is asked for again; null when it is not by itself.", "UTC"),
)


def freshness(view: View, reference: Reference, period: Period) -> Query:
    """One row for each account, by the report of the accounts themselves."""
    bind = Binder()
    days = (
        "SELECT c.account_id, c.date_start, c.collected_at, a.timezone_name "
        f"FROM {view.coverage(bind)} AS c LEFT JOIN {reference.accounts_table} AS a ON a.account_id = c.account_id "
        f"WHERE c.report = {bind(facts_of(Level.ACCOUNT))} AND {view.seen(bind, 'c')}"
    )
    inside = within(bind, "d", period, "d.timezone_name")
    since, until = (day_in(bind, day, period.lags, "a.timezone_name") for day in (period.since, period.until))
    # The days of other periods are not looked at more closely than their numbers go.
    closer = f"CASE WHEN {inside} THEN {final_day(bind, reference, 'd', 'd')} END"
    body = (
        f"WITH collected AS (SELECT d.account_id, max(d.date_start) AS newest_day, "
        f"arg_max(d.collected_at, d.date_start) AS collected_at, count(*) FILTER ({inside}) AS collected_days, "
        f"count(*) FILTER ({inside} AND coalesce({closer}, false)) = {bind(period.days)} AS is_final "
        f"FROM ({days}) AS d GROUP BY d.account_id) "
        "SELECT coalesce(a.account_id, c.account_id) AS account_id, coalesce(a.name, k.name) AS account_name, "
        f"coalesce(a.timezone_name, k.timezone_name) AS timezone_name, {since} AS date_from, {until} AS date_to, c.newest_day, "
        "c.collected_at, coalesce(c.collected_days, 0) AS collected_days, coalesce(c.is_final, false) AS is_final "
        f"FROM (SELECT e.account_id, e.name, e.timezone_name FROM {view.entities(bind, EntityKind.AD_ACCOUNTS)} AS e "
        f"WHERE {view.seen(bind, 'e')}) AS a "
        "FULL JOIN collected AS c ON c.account_id = a.account_id "
        f"LEFT JOIN {reference.accounts_table} AS k ON k.account_id = c.account_id"
    )
    return Query(FRESHNESS_COLUMNS, body, bind.parameters, "ORDER BY q.account_id")


def missing(view: View, period: Period) -> Query:
    """One row for each run of days of the period that lack for one reason."""
    bind = Binder()
    same = "m.report, m.account_id, m.reason, m.retry_at, m.kind"
    zones = "LEFT JOIN ad_accounts AS z ON z.account_id = m.account_id " if period.lags else ""
    conditions = f"{view.seen(bind, 'm')} AND {within(bind, 'm', period, 'z.timezone_name')}"
    body = (
        f"SELECT {same}, min(m.date_start) AS date_from, max(m.date_start) AS date_to FROM (SELECT {same}, m.date_start, "
        f"m.date_start - row_number() OVER (PARTITION BY {same} ORDER BY m.date_start)::INTEGER AS island "
        f"FROM {view.missing(bind)} AS m {zones}WHERE {conditions}) AS m "
        f"GROUP BY {same}, m.island"
    )
    return Query(MISSING_COLUMNS, body, bind.parameters, "ORDER BY q.account_id, q.report, q.date_from, q.reason")


def read_freshness(snapshot: Readable, view: View, reference: Reference, period: Period) -> list[dict[str, Any]]:
    """The rows of `freshness`, each with its rows of `missing`."""
    lacking: dict[str, list[dict[str, Any]]] = {}
    for row in missing(view, period).records(snapshot):
        lacking.setdefault(row.pop("account_id"), []).append(row)
    rows = freshness(view, reference, period).records(snapshot)
    return [{**row, "missing": lacking.get(row["account_id"], [])} for row in rows]
