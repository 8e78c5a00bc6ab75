"""Entities side by side with their figures, sorted and page by page: the accounts, or what is right below an entity."""

from dataclasses import dataclass
from enum import StrEnum

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import (
    COLLECTED_DAYS,
    DAYS_COLUMNS,
    Chosen,
    collected,
    day_in,
    figure_columns,
    figure_rows,
    freshness_columns,
    sums,
    zeros,
)
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, ResultColumn, Shape, Value
from meta_insights_pipeline.warehouse.schema import SUM

ASKED_DAYS_COLUMNS = (
    ResultColumn("date_from", Shape.DAY, "First day of the period, by the account's own clock.", "day"),
    ResultColumn("date_to", Shape.DAY, "Last day of the period, by the account's own clock.", "day"),
)
LISTED_COLUMNS = (
    ResultColumn("level", Shape.TEXT, "account, campaign, adset or ad."),
    ResultColumn("id", Shape.TEXT, "Id of the account, campaign, ad set or ad; of an account without the prefix act_."),
    ResultColumn("name", Shape.NAME, "Name: the present one, or that of the insights where it is not known."),
    ResultColumn("account_id", Shape.TEXT, "Id of the ad account, without the prefix act_."),
    ResultColumn("account_currency", Shape.TEXT, "Currency of the row's money, ISO 4217; null when it is not known."),
    ResultColumn("timezone_name", Shape.TEXT, "IANA name of the time zone in which the account's days begin and end."),
    ResultColumn("status", Shape.TEXT, "What was set, for example ACTIVE or PAUSED; of an account its state."),
    ResultColumn("effective_status", Shape.TEXT, "What holds, with what is passed down; of an account its state."),
    ResultColumn("daily_budget", Shape.DECIMAL, "Budget a day, when the campaign or ad set has it.", "money"),
    ResultColumn("lifetime_budget", Shape.DECIMAL, "Budget for the whole run, when it has it.", "money"),
    ResultColumn("is_deleted", Shape.FLAG, "Whether it is deleted; null when it is known from insights alone."),
    *figure_columns(),
    *DAYS_COLUMNS,
    COLLECTED_DAYS,
    *freshness_columns(),
)
ACCOUNT_COLUMNS = (*LISTED_COLUMNS, *ASKED_DAYS_COLUMNS)
_BY_NAME = {column.name: column for column in LISTED_COLUMNS}


class SortKey(StrEnum):
    """By what entities are sorted; those that are equal, by account and id."""

    NAME = "name"
    ID = "id"
    EFFECTIVE_STATUS = "effective_status"
    IMPRESSIONS = "impressions"
    CLICKS = "clicks"
    SPEND = "spend"
    INLINE_LINK_CLICKS = "inline_link_clicks"
    PURCHASES = "purchases"
    PURCHASE_VALUE = "purchase_value"
    CTR = "ctr"
    CPC = "cpc"
    CPM = "cpm"
    ROAS = "roas"
    CPA = "cpa"

    @property
    def shape(self) -> Shape:
        """What it holds."""
        return _BY_NAME[self.value].shape


class Order(StrEnum):
    """Which end comes first; what is not known comes last either way."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True)
class Sorting:
    """How a listing is sorted."""

    key: SortKey = SortKey.SPEND
    order: Order = Order.DESC


@dataclass(frozen=True)
class Place:
    """Where a page ended: the sort key and the identity of its last row."""

    value: Value
    """As JSON shows it: a decimal is text."""
    account_id: str
    entity_id: str


def listing(
    view: View,
    reference: Reference,
    chosen: Chosen,
    sorting: Sorting,
    *,
    after: Place | None = None,
    limit: int | None = None,
) -> Query:
    """The entities of `chosen.level` that belong to `chosen`, delivered or not.

    Args:
        view: What may be read.
        reference: How events are counted.
        chosen: Level and parent, and the days of the figures.
        sorting: In which order.
        after: Where the page before ended.
        limit: The most rows; None for all.
    """
    bind = Binder()
    rows = figure_rows(bind, view, reference, chosen)
    added = sums(
        ("account_id", "entity_id"),
        is_one_day=chosen.period.is_one_day,
        more=["arg_max(entity_name, date_start) AS name_then", "any_value(account_currency) AS currency_then"],
    )
    is_nothing = f"s.account_id IS NULL AND v.collected_days = {bind(chosen.period.days)}"
    since, until = (
        day_in(bind, day, chosen.period.lags, "a.timezone_name") for day in (chosen.period.since, chosen.period.until)
    )
    body = (
        f"WITH {rows}, known AS ({_known(bind, view, chosen)}), summed AS ({added}), "
        f"collected AS ({collected(bind, view, chosen)}) "
        f"SELECT {bind(chosen.level.value)} AS level, coalesce(k.id, s.entity_id) AS id, coalesce(k.name, s.name_then) AS name, "
        "coalesce(k.account_id, s.account_id) AS account_id, coalesce(s.currency_then, a.currency) AS account_currency, "
        "a.timezone_name, k.status, k.effective_status, k.daily_budget, k.lifetime_budget, k.is_deleted, "
        f"s.* EXCLUDE (account_id, entity_id, currency_then, name_then, days) REPLACE ({zeros(reference, is_nothing)}), "
        "coalesce(s.days, 0) AS days, coalesce(v.collected_days, 0) AS collected_days, "
        f"{since} AS date_from, {until} AS date_to "
        "FROM known AS k FULL JOIN summed AS s ON s.account_id = k.account_id AND s.entity_id = k.id "
        f"LEFT JOIN {reference.accounts_table} AS a ON a.account_id = coalesce(k.account_id, s.account_id) "
        "LEFT JOIN collected AS v ON v.account_id = coalesce(k.account_id, s.account_id)"
    )
    if after is not None:
        body = f"SELECT * FROM ({body}) AS r WHERE {_after(bind, sorting, after)}"
    key = f'q."{sorting.key.value}"'
    end = "" if limit is None else f" LIMIT {bind(limit)}"
    order = f"ORDER BY {key} {sorting.order.value.upper()} NULLS LAST, q.account_id, q.id{end}"
    columns = ACCOUNT_COLUMNS if chosen.level is Level.ACCOUNT else LISTED_COLUMNS
    return Query(columns, body, bind.parameters, order)


def accounts(period: Period) -> Chosen:
    """Every account that may be seen."""
    return Chosen(Level.ACCOUNT, period)


def children(level: Level, account_id: str, entity_id: str, period: Period) -> Chosen | None:
    """What is right below an entity; None below ads, where nothing is."""
    below = list(Level)[level.depth + 1 :]
    return Chosen(below[0], period, account_id=account_id, parent=(level, entity_id)) if below else None


def _known(bind: Binder, view: View, chosen: Chosen) -> str:
    """The entities by their attributes."""
    kind = KINDS[chosen.level]
    there = {each.column for each in kind.attributes}
    budgets = [
        f"e.{name}" if name in there else f"NULL::{SUM} AS {name}" for name in ("daily_budget", "lifetime_budget")
    ]
    conditions = [view.seen(bind, "e")]
    if chosen.account_id is not None:
        conditions.append(f"e.account_id = {bind(chosen.account_id)}")
    if chosen.parent is not None:
        conditions.append(f"e.{chosen.parent[0].id_field} = {bind(chosen.parent[1])}")
    return (
        f"SELECT e.account_id, e.{kind.id_column} AS id, e.name, e.status, e.{kind.status_column} AS effective_status, "
        f"{', '.join(budgets)}, e.is_deleted FROM {view.entities(bind, kind)} AS e WHERE {' AND '.join(conditions)}"
    )


def _after(bind: Binder, sorting: Sorting, after: Place) -> str:
    """The condition that a row comes after a place."""
    key = f'r."{sorting.key.value}"'
    later = f"(r.account_id, r.id) > ({bind(after.account_id)}, {bind(after.entity_id)})"
    if after.value is None:
        return f"{key} IS NULL AND {later}"
    value = f"{bind(after.value)}::{_SQL_TYPES[sorting.key.shape]}"
    beyond = ">" if sorting.order is Order.ASC else "<"
    return f"({key} {beyond} {value} OR ({key} = {value} AND {later}) OR {key} IS NULL)"


_SQL_TYPES = {
    Shape.TEXT: "VARCHAR",
    Shape.NAME: "VARCHAR",
    Shape.INTEGER: "BIGINT",
    Shape.DECIMAL: SUM,
    Shape.NUMBER: "DOUBLE",
}


def place_of(sorting: Sorting, row: dict[str, Value]) -> Place:
    """Where a row stands."""
    return Place(row[sorting.key.value], str(row["account_id"]), str(row["id"]))
