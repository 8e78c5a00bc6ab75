"""One account, campaign, ad set or ad: finding it by its id, its attributes and parents, its figures in all and by day."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from meta_insights_pipeline.catalog.entities import Attribute, EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import KINDS, attribute_unit
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import (
    COLLECTED_DAYS,
    DAYS_COLUMNS,
    Chosen,
    collected,
    figure_columns,
    figure_rows,
    freshness_columns,
    sums,
    zeros,
)
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.statement import (
    Binder,
    Query,
    Readable,
    ResultColumn,
    Shape,
    picked,
    shape_of,
)

_CURRENCY = ResultColumn("account_currency", Shape.TEXT, "Currency of the row, ISO 4217; null when it is not known.")
_CURRENCY_ITEM = "any_value(account_currency) AS account_currency"
SUMMARY_COLUMNS = (_CURRENCY, *figure_columns(), *DAYS_COLUMNS, COLLECTED_DAYS, *freshness_columns())
DAY_COLUMNS = (
    ResultColumn("date_start", Shape.DAY, "Day, in the ad account's own time zone.", "day"),
    _CURRENCY,
    *figure_columns(),
    *freshness_columns(),
)
VERSION_COLUMNS = (
    ResultColumn("is_deleted", Shape.FLAG, "Whether it is deleted."),
    ResultColumn(
        "recovered",
        Shape.TEXT,
        "How it was had when no list showed it: by_id, insights or kept; null when a list had it.",
    ),
    ResultColumn("valid_from", Shape.MOMENT, "When this version was first seen.", "UTC"),
    ResultColumn("last_seen_at", Shape.MOMENT, "When this version was last seen.", "UTC"),
)
_PARENT = "parent"


@dataclass(frozen=True)
class Found:
    """An entity that may be seen."""

    level: Level
    entity_id: str
    name: str | None
    account_id: str
    attributes: dict[str, Any] | None
    """By column, as `Query.records` gives them; None when it is known from insights alone."""
    parents: tuple[dict[str, Any], ...]
    """`level`, `id`, `name` and `status` of each entity above it, from the account down."""


@cache
def attribute_columns(kind: EntityKind) -> tuple[ResultColumn, ...]:
    """The attributes of a kind of entity; JSON is text here."""
    own = (_column(each) for each in kind.attributes if each.column not in (*kind.key, "name"))
    return (*own, *VERSION_COLUMNS)


def find(snapshot: Readable, view: View, level: Level, entity_id: str) -> Found | None:
    """Find an entity by its id; None when there is none that may be seen.

    The same queries are made for one that may not be seen and for one that does not exist.
    """
    rows = _attributes(view, level, entity_id).records(snapshot)
    if rows:
        return _found(level, entity_id, rows[0], is_attributed=True)
    rows = _from_insights(view, level, entity_id).records(snapshot)
    return _found(level, entity_id, rows[0], is_attributed=False) if rows else None


def locate(snapshot: Readable, view: View, entity_id: str) -> tuple[Level, str] | None:
    """The level and the account of an entity of any level; None when there is none that may be seen."""
    for tables in (_entity_tables, _insights_tables):
        bind = Binder()
        parts = [
            f"SELECT {level.depth} AS depth, e.account_id FROM {table} AS e "
            f"WHERE {view.seen(bind, 'e')} AND e.{level.id_field} = {bind(entity_id)}"
            for level, table in tables(bind, view)
        ]
        rows = snapshot.rows(
            f"SELECT depth, account_id FROM ({' UNION ALL '.join(parts)}) ORDER BY depth, account_id LIMIT 1",
            bind.parameters,
        )
        if rows:
            return list(Level)[rows[0][0]], rows[0][1]
    return None


def summary(view: View, reference: Reference, chosen: Chosen) -> Query:
    """One row: the figures of one entity over the period."""
    bind = Binder()
    added = sums((), is_one_day=chosen.period.is_one_day, more=[_CURRENCY_ITEM])
    return Query(SUMMARY_COLUMNS, _with_zeros(bind, view, reference, chosen, added), bind.parameters)


def daily(view: View, reference: Reference, chosen: Chosen) -> Query:
    """One row for each day on which one entity delivered."""
    bind = Binder()
    return Query(DAY_COLUMNS, day_rows(bind, view, reference, chosen), bind.parameters, "ORDER BY q.date_start")


def summary_and_days(
    snapshot: Readable, view: View, reference: Reference, chosen: Chosen
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of `summary` and those of `daily`, by one query: planning one takes longer than adding up some more rows."""
    bind = Binder()
    added = sums((), is_one_day=chosen.period.is_one_day, with_days=True, more=[_CURRENCY_ITEM])
    body = _with_zeros(bind, view, reference, chosen, added)
    columns = (*SUMMARY_COLUMNS, DAY_COLUMNS[0])
    whole, *days = Query(columns, body, bind.parameters, "ORDER BY q.date_start NULLS FIRST").tuples(snapshot)
    (summed,) = picked([whole], columns, SUMMARY_COLUMNS)
    return summed, picked(days, columns, DAY_COLUMNS)


def _with_zeros(bind: Binder, view: View, reference: Reference, chosen: Chosen, added: str) -> str:
    """A SELECT of sums, with how many days were collected, and zeros when that is all of them and nothing was delivered."""
    rows = figure_rows(bind, view, reference, chosen)
    is_nothing = f"s.days = 0 AND v.collected_days = {bind(chosen.period.days)}"
    return (
        f"WITH {rows}, collected AS ({collected(bind, view, chosen)}) "
        f"SELECT s.* REPLACE ({zeros(reference, is_nothing)}), v.collected_days FROM ({added}) AS s "
        "CROSS JOIN (SELECT coalesce(sum(collected_days), 0)::BIGINT AS collected_days FROM collected) AS v"
    )


def day_rows(bind: Binder, view: View, reference: Reference, chosen: Chosen) -> str:
    """A SELECT of the rows of `daily`."""
    added = sums(("date_start",), is_one_day=True, more=[_CURRENCY_ITEM])
    return f"WITH {figure_rows(bind, view, reference, chosen)} {added}"


def parents_of(level: Level) -> list[Level]:
    """The levels above one, from the account down."""
    return list(Level)[: level.depth]


def _entity_tables(bind: Binder, view: View) -> list[tuple[Level, str]]:
    return [(level, view.entities(bind, kind)) for level, kind in KINDS.items()]


def _insights_tables(bind: Binder, view: View) -> list[tuple[Level, str]]:
    return [(level, view.facts(bind, level)) for level in Level]


def _attributes(view: View, level: Level, entity_id: str) -> Query:
    """The attributes of an entity and what its parents are called."""
    bind = Binder()
    kind = KINDS[level]
    columns = (ResultColumn("account_id", Shape.TEXT), ResultColumn("name", Shape.NAME), *attribute_columns(kind))
    selected = [f'e."{column.name}"' for column in columns]
    joins = []
    parent_columns: list[ResultColumn] = []
    for parent in parents_of(level):
        rows, parent_kind = parent.value, KINDS[parent]
        shown = {"id": f"e.{parent.id_field}", "name": f"{rows}.name", "status": f"{rows}.{parent_kind.status_column}"}
        for name, expression in shown.items():
            label = f"{_PARENT}_{rows}_{name}"
            selected.append(f'{expression} AS "{label}"')
            parent_columns.append(ResultColumn(label, Shape.TEXT))
        same = " AND ".join(f"{rows}.{each} = e.{each}" for each in parent_kind.key)
        joins.append(f"LEFT JOIN {view.entities(bind, parent_kind)} AS {rows} ON {same}")
    body = (
        f"SELECT {', '.join(selected)} FROM {view.entities(bind, kind)} AS e {' '.join(joins)} "
        f"WHERE {view.seen(bind, 'e')} AND e.{kind.id_column} = {bind(entity_id)}"
    )
    return Query((*columns, *parent_columns), body, bind.parameters, "ORDER BY q.account_id LIMIT 1")


def _from_insights(view: View, level: Level, entity_id: str) -> Query:
    """What the newest row of insights says of an entity that has no row of its own."""
    bind = Binder()
    columns = [ResultColumn("account_id", Shape.TEXT), ResultColumn("name", Shape.NAME)]
    selected = ["e.account_id", f"e.{level.value}_name AS name", "e.date_start"]
    for parent in parents_of(level):
        shown = {"id": f"e.{parent.id_field}", "name": f"e.{parent.value}_name", "status": "NULL::VARCHAR"}
        for name, expression in shown.items():
            label = f"{_PARENT}_{parent.value}_{name}"
            selected.append(f'{expression} AS "{label}"')
            columns.append(ResultColumn(label, Shape.TEXT))
    body = (
        f"SELECT {', '.join(selected)} FROM {view.facts(bind, level)} AS e "
        f"WHERE {view.seen(bind, 'e')} AND e.{level.id_field} = {bind(entity_id)}"
    )
    return Query(tuple(columns), body, bind.parameters, "ORDER BY q.account_id, q.date_start DESC LIMIT 1")


def _found(level: Level, entity_id: str, row: dict[str, Any], *, is_attributed: bool) -> Found:
    parents = tuple(
        {
            "level": parent.value,
            **{name: row.pop(f"{_PARENT}_{parent.value}_{name}") for name in ("id", "name", "status")},
        }
        for parent in parents_of(level)
    )
    account_id, name = row.pop("account_id"), row.pop("name")
    return Found(level, entity_id, name, account_id, row if is_attributed else None, parents)


def _column(attribute: Attribute) -> ResultColumn:
    return ResultColumn(
        attribute.column, shape_of(attribute.sql_type), attribute.description, attribute_unit(attribute)
    )
