"""Conversions over a period: each event counted by its one action type, in all and within each attribution window."""

from meta_insights_pipeline.catalog.conversions import VALUE, events
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import Chosen, around, facts, is_withheld
from meta_insights_pipeline.warehouse.reading.reference import Counted, Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, ResultColumn, Shape
from meta_insights_pipeline.warehouse.schema import SUM, WITHHELD

CONVERSION_COLUMNS = (
    ResultColumn("account_currency", Shape.TEXT, "Currency of the ad accounts, ISO 4217; null when it is not known."),
    ResultColumn("event", Shape.TEXT, "What people did, for example purchase or lead."),
    ResultColumn("action_type", Shape.TEXT, "The one action type of Meta's by which the event is counted."),
    ResultColumn(
        "counted_within",
        Shape.TEXT,
        "The attribution window of `conversions` and `value`; null for the ad set's own attribution setting.",
    ),
    ResultColumn(
        "conversions", Shape.DECIMAL, "How often it happened; null when Meta withheld the field on a day.", "count"
    ),
    ResultColumn(
        VALUE,
        Shape.DECIMAL,
        "Money that it brought; null when the event has none or Meta gave none or withheld it.",
        "money",
    ),
    *(
        column
        for name in default_windows()
        for column in (
            ResultColumn(
                f"conversions_{name}",
                Shape.DECIMAL,
                f"How often it happened {windows()[name].description}; null when Meta gave none.",
                "count",
            ),
            ResultColumn(
                windows()[name].column,
                Shape.DECIMAL,
                f"Money that it brought, counted {windows()[name].description}; null when Meta gave none.",
                "money",
            ),
        )
    ),
)


def conversions(view: View, reference: Reference, chosen: Chosen) -> Query:
    """One row for each currency and event that happened, or of which nothing is known since Meta withheld it."""
    bind = Binder()
    rows = facts(bind, view, reference, chosen)
    if chosen.account_id is not None:
        # An account has one currency, also where a row does not say it.
        rows = f"SELECT * REPLACE (max(account_currency) OVER () AS account_currency) FROM ({rows})"
    body = (
        f"WITH facts AS ({rows}), counted_events AS ({_events(bind, reference)}), "
        f"counted_fields AS ({_fields()}), done AS ({_done(bind, view, reference, chosen)}), "
        f"held AS (SELECT account_currency, string_agg({WITHHELD}, ',') AS {WITHHELD} FROM facts GROUP BY account_currency) "
        f"SELECT h.account_currency, e.event, e.action_type, e.counted_within, {_numbers()} "
        "FROM held AS h CROSS JOIN counted_events AS e "
        "LEFT JOIN done AS d ON d.event = e.event AND d.account_currency IS NOT DISTINCT FROM h.account_currency "
        f"WHERE d.event IS NOT NULL OR {_unknown('e.count_field')}"
    )
    return Query(CONVERSION_COLUMNS, body, bind.parameters, "ORDER BY q.account_currency NULLS LAST, q.event")


def _events(bind: Binder, reference: Reference) -> str:
    """How each event is counted, as rows."""
    rows = ", ".join(f"({', '.join(_line(bind, each))})" for each in reference.counted.values())
    names = "event, action_type, value_column, count_field, value_field, counted_within"
    nothing = f"({', '.join(['NULL::VARCHAR'] * 6)})"
    return f"SELECT * FROM (VALUES {rows or nothing}) AS v({names}) WHERE event IS NOT NULL"


def _line(bind: Binder, counted: Counted) -> list[str]:
    within_window = {windows()[name].column: name for name in default_windows()}.get(counted.value_column)
    # An event that has no money in our reports shows none here either.
    value_field = counted.value_field if events()[counted.event].values else None
    values = (counted.action_type, counted.value_column, counted.count_field, value_field, within_window)
    return [bind(counted.event), *(f"{bind(value)}::VARCHAR" for value in values)]


def _fields() -> str:
    """One row an event and field that it is read from."""
    return (
        "SELECT event, action_type, value_column, count_field AS field, false AS is_money FROM counted_events UNION ALL "
        "SELECT event, action_type, value_column, value_field, true FROM counted_events WHERE value_field IS NOT NULL"
    )


def _done(bind: Binder, view: View, reference: Reference, chosen: Chosen) -> str:
    columns = {VALUE: VALUE} | {windows()[name].column: windows()[name].column for name in default_windows()}
    number = " ".join(f'WHEN {bind(name)} THEN i."{column}"' for name, column in columns.items())
    sums = [f"sum(CASE e.value_column {number} END)"] + [
        f'sum(i."{windows()[name].column}")' for name in default_windows()
    ]
    labels = ["number", *(windows()[name].column for name in default_windows())]
    numbers = ", ".join(
        f"{total} FILTER ({'' if is_money else 'NOT '}e.is_money) AS {label}_{'money' if is_money else 'count'}"
        for total, label in zip(sums, labels, strict=True)
        for is_money in (False, True)
    )
    counted = reference.counted.values()
    conditions = [
        f"i.level = {bind(chosen.level.value)}",
        view.seen(bind, "i"),
        around(bind, "i", chosen.period),
        bind.is_in("i.action_type", sorted({each.action_type for each in counted})),
    ]
    if chosen.account_id is not None:
        conditions.append(f"i.account_id = {bind(chosen.account_id)}")
    if chosen.entity_id is not None and chosen.level is not Level.ACCOUNT:
        conditions.append(f"i.entity_id = {bind(chosen.entity_id)}")
    return (
        f"SELECT f.account_currency, e.event, {numbers} FROM {view.actions(bind)} AS i "
        "JOIN counted_fields AS e ON e.field = i.field AND e.action_type = i.action_type "
        "JOIN facts AS f ON f.account_id = i.account_id AND f.entity_id = i.entity_id AND f.date_start = i.date_start "
        f"WHERE {' AND '.join(conditions)} GROUP BY f.account_currency, e.event"
    )


def _numbers() -> str:
    parts = [
        _known("count_field", "coalesce(d.number_count, 0)", "conversions"),
        _known("value_field", "d.number_money", VALUE),
    ]
    for name in default_windows():
        column = windows()[name].column
        parts.append(_known("count_field", f"d.{column}_count", f"conversions_{name}"))
        parts.append(_known("value_field", f"d.{column}_money", column))
    return ", ".join(parts)


def _known(field: str, number: str, column: str) -> str:
    return f'CASE WHEN {_unknown(f"e.{field}")} THEN NULL ELSE {number} END::{SUM} AS "{column}"'


def _unknown(field: str) -> str:
    return is_withheld(f"h.{WITHHELD}", field)
