"""The figures of every answer: metrics as Meta counts them, the conversions that ratios need, and ratios of sums.

The same rules as those of the views for BI (`mart_columns`), on the tables themselves, so that a filter reaches the rows of one
entity before anything is joined. A sum of which a part is withheld is NULL; people are never added up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache

from meta_insights_pipeline.catalog.conversions import conversion_ratios, events
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import METRICS
from meta_insights_pipeline.warehouse.mart_columns import (
    FINAL_AFTER_DAYS,
    all_ratios,
    facts_of,
    quotient,
    report_columns,
)
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.period import Lags, Period
from meta_insights_pipeline.warehouse.reading.reference import Counted, Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, ResultColumn, Shape, shape_of
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, SUM, WITHHELD

PER_DAY = ("reach", "frequency", "cpp")
"""Figures that Meta counts for one day of one entity, and that nothing adds up."""
# UTC offsets lie within 14 hours, so that a day of the account differs by one from the day in UTC at most.
_OFFSET_DAYS = 1


@cache
def figure_columns() -> tuple[ResultColumn, ...]:
    """The figures that a row of every answer has."""
    declared = {column.name: column for column in report_columns(Level.ACCOUNT)}
    names = (*METRICS, *_event_columns(), *(ratio.name for ratio in all_ratios()))
    return tuple(
        ResultColumn(name, shape_of(declared[name].sql_type), declared[name].description, declared[name].unit)
        for name in names
    )


@cache
def freshness_columns() -> tuple[ResultColumn, ...]:
    """What a row of figures says of its days."""
    return (
        ResultColumn(
            "is_final",
            Shape.FLAG,
            f"Whether all days behind the row were more than {FINAL_AFTER_DAYS} days old when they were last collected, so "
            "that Meta does not change them any more; null when there are none.",
        ),
        ResultColumn(
            "collected_at", Shape.MOMENT, "When the day that was collected longest ago was last collected.", "UTC"
        ),
        ResultColumn(CHANGED_AT, Shape.MOMENT, "When the pipeline last saw a value behind the row change.", "UTC"),
        ResultColumn(
            WITHHELD,
            Shape.TEXT,
            "Names of fields that Meta would not give, separated by commas; null when it gave all.",
        ),
    )


DAYS_COLUMNS = (
    ResultColumn("days", Shape.INTEGER, "On how many days there was delivery.", "days"),
    ResultColumn("first_day", Shape.DAY, "First day with delivery.", "day"),
    ResultColumn("last_day", Shape.DAY, "Last day with delivery.", "day"),
)
COLLECTED_DAYS = ResultColumn(
    "collected_days",
    Shape.INTEGER,
    "How many days of the period were collected, of the account at this level; when all were and nothing was delivered, what "
    "may be summed is 0 and not null.",
    "days",
)


@dataclass(frozen=True)
class Chosen:
    """Which rows of insights figures are made of."""

    level: Level
    period: Period
    """The days."""
    account_id: str | None = None
    """One account, of those that may be seen."""
    entity_id: str | None = None
    """One entity of the level."""
    parent: tuple[Level, str] | None = None
    """All entities below this one."""


def figure_rows(bind: Binder, view: View, reference: Reference, chosen: Chosen, *, only: str = "") -> str:
    """Common table expressions of which the last, `counted`, has one row for each day and entity with all its figures.

    Args:
        bind: Takes the values.
        view: What may be read.
        reference: How events are counted.
        chosen: Which rows.
        only: A SELECT that gives fewer of the rows of `facts`; nothing for all of them.
    """
    rows = "fewer_facts" if only else "facts"
    fewer = f"fewer_facts AS ({only}), " if only else ""
    return (
        f"facts AS ({facts(bind, view, reference, chosen)}), {fewer}done AS ({_done(bind, view, reference, chosen, rows)}), "
        f"counted AS (SELECT f.*, {_conversions(bind, reference)}, c.collected_at, {final_day(bind, reference, 'f', 'c')} "
        f"AS is_final FROM {rows} AS f "
        "LEFT JOIN done ON done.account_id = f.account_id AND done.entity_id = f.entity_id AND done.date_start = f.date_start "
        f"LEFT JOIN {view.coverage(bind)} AS c ON c.report = {bind(facts_of(chosen.level))} "
        "AND c.account_id = f.account_id AND c.date_start = f.date_start)"
    )


def sums(
    keys: Iterable[str], *, is_one_day: bool, with_days: bool = False, part: str = "", more: Sequence[str] = ()
) -> str:
    """A SELECT that adds up `counted`.

    Args:
        keys: Items to group by, each a column or `expression AS name`; none for one row over all.
        is_one_day: Whether a group is about one day, so that what Meta counts by the day is known if the group is one row.
        with_days: Whether each day of a group has a row too; in the rows of whole groups `date_start` is NULL then.
        part: An item by which a group is cut into parts that have rows too, as `expression AS name`; it is never NULL for a
            row, and NULL for whole groups and days.
        more: Further items with aggregates.
    """
    return _sums(tuple(keys), is_one_day, with_days, part, tuple(more))


# A handful of texts, since values are bound and no part of them.
@lru_cache(maxsize=64)
def _sums(grouped: tuple[str, ...], is_one_day: bool, with_days: bool, part: str, more: tuple[str, ...]) -> str:
    finer = [*(["date_start"] if with_days else []), *([part] if part else [])]
    items = [
        *grouped,
        *finer,
        *(
            _as_counted(column.name, is_one_day, "date_start" if with_days else "")
            if column.name in PER_DAY
            else _sum(column)
            for column in figure_columns()
            if column.name in (*METRICS, *_event_columns())
        ),
        "count(DISTINCT date_start) AS days",
        "min(date_start) AS first_day",
        "max(date_start) AS last_day",
        "bool_and(coalesce(is_final, false)) AS is_final",
        "min(collected_at) AS collected_at",
        f"max({CHANGED_AT}) AS {CHANGED_AT}",
        f"{_withheld()} AS {WITHHELD}",
        *more,
    ]
    places = [str(place + 1) for place in range(len(grouped) + len(finer))]
    wholes, rest = places[: len(grouped)], places[len(grouped) :]
    groups = f" GROUP BY {', '.join(wholes)}" if grouped else ""
    if finer:
        sets = [wholes, *([*wholes, place] for place in rest)]
        groups = f" GROUP BY GROUPING SETS ({', '.join('(' + ', '.join(each) + ')' for each in sets)})"
    ratios = ", ".join(
        f'{quotient(ratio, ratio.numerator, ratio.denominator)} AS "{ratio.name}"' for ratio in all_ratios()
    )
    return f"SELECT *, {ratios} FROM (SELECT {', '.join(items)} FROM counted{groups})"


def final_day(bind: Binder, reference: Reference, day: str, coverage: str) -> str:
    """Whether a day was final when it was collected, for the aliases of a row with the day and one of the coverage.

    `day` needs the columns `date_start` and `timezone_name`. NULL when the account's time zone is not known.
    """
    age = f"{coverage}.collected_at::DATE - {day}.date_start"
    local = f"({coverage}.collected_at AT TIME ZONE 'UTC' AT TIME ZONE {day}.timezone_name)::DATE - {day}.date_start"
    # A zone is looked up only for the few days of which the day in UTC leaves it open: each look takes a microsecond.
    known = bind.is_in(f"{day}.timezone_name", sorted(reference.known_zones))
    return (
        f"CASE WHEN {known} THEN CASE WHEN {age} > {FINAL_AFTER_DAYS + _OFFSET_DAYS} THEN true "
        f"WHEN {age} <= {FINAL_AFTER_DAYS - _OFFSET_DAYS} THEN false ELSE {local} > {FINAL_AFTER_DAYS} END END"
    )


def day_in(bind: Binder, day: date, lags: Lags, zone: str) -> str:
    """A day that is earlier by so many days in some time zones.

    Args:
        bind: Takes the values.
        day: Where it is the latest.
        lags: By how many days it is earlier elsewhere.
        zone: The time zone of a row, as SQL.
    """
    if not lags:
        return f"{bind(day)}::DATE"
    whens = " ".join(f"WHEN {bind(name)} THEN {bind(lag)}" for name, lag in lags if name is not None)
    elsewhere = bind(dict(lags).get(None, 0))
    lag = f"CASE {zone} {whens} ELSE {elsewhere} END" if whens else elsewhere
    return f"({bind(day)}::DATE - ({lag})::INTEGER)"


def within(bind: Binder, rows: str, period: Period, zone: str) -> str:
    """The condition that the day of rows lies in a period.

    Args:
        bind: Takes the values.
        rows: Alias of the rows.
        period: The days.
        zone: The time zone of a row's account, as SQL.
    """
    whole = around(bind, rows, period)
    if not period.lags:
        return whole
    day = f"{rows}.date_start"
    # Where zones differ is looked at only for the few days of which some accounts have no part.
    everywhere = (
        f"{day} BETWEEN {bind(period.since)}::DATE AND {bind(period.until - (period.since - period.first))}::DATE"
    )
    since, until = (day_in(bind, each, period.lags, zone) for each in (period.since, period.until))
    return f"{whole} AND ({everywhere} OR {day} BETWEEN {since} AND {until})"


def around(bind: Binder, rows: str, period: Period) -> str:
    """The condition that the day of rows lies in the period of any account."""
    return f"{rows}.date_start BETWEEN {bind(period.first)}::DATE AND {bind(period.until)}::DATE"


def collected(bind: Binder, view: View, chosen: Chosen) -> str:
    """A SELECT of how many days of the period were collected of each account, at the level of `chosen`."""
    conditions = [
        f"c.report = {bind(facts_of(chosen.level))}",
        view.seen(bind, "c"),
        within(bind, "c", chosen.period, "z.timezone_name"),
    ]
    if chosen.account_id is not None:
        conditions.append(f"c.account_id = {bind(chosen.account_id)}")
    zones = "LEFT JOIN ad_accounts AS z ON z.account_id = c.account_id " if chosen.period.lags else ""
    return (
        f"SELECT c.account_id, count(*) AS collected_days FROM {view.coverage(bind)} AS c {zones}"
        f"WHERE {' AND '.join(conditions)} GROUP BY c.account_id"
    )


def zeros(reference: Reference, is_nothing: str) -> str:
    """Items for `REPLACE` that give 0 for figures that may be summed, in place of what nothing adds up to.

    Args:
        reference: How events are counted; those that are not are not known either.
        is_nothing: The condition that there was nothing, and that this is known, as SQL.
    """
    counted = {column for each in reference.in_figures for column, _ in _fields(each)}
    return ", ".join(
        f"CASE WHEN {is_nothing} THEN 0::{_sum_type(column)} ELSE s.{column.name} END AS {column.name}"
        for column in figure_columns()
        if column.name not in PER_DAY and (column.name in METRICS or column.name in counted)
    )


def facts(bind: Binder, view: View, reference: Reference, chosen: Chosen) -> str:
    """A SELECT of the rows of insights, one a day and entity."""
    level = chosen.level
    conditions = [view.seen(bind, "f"), within(bind, "f", chosen.period, "a.timezone_name")]
    if chosen.account_id is not None:
        conditions.append(f"f.account_id = {bind(chosen.account_id)}")
    if chosen.entity_id is not None:
        conditions.append(f"f.{level.id_field} = {bind(chosen.entity_id)}")
    if chosen.parent is not None:
        conditions.append(f"f.{chosen.parent[0].id_field} = {bind(chosen.parent[1])}")
    return (
        f"SELECT f.account_id, f.{level.id_field} AS entity_id, f.{level.value}_name AS entity_name, "
        "coalesce(f.account_currency, a.currency) AS account_currency, a.timezone_name, f.date_start, "
        f"{', '.join(f'f.{name}' for name in METRICS)}, f.{WITHHELD}, f.{CHANGED_AT} "
        f"FROM {view.facts(bind, level)} AS f LEFT JOIN {reference.accounts_table} AS a ON a.account_id = f.account_id "
        f"WHERE {' AND '.join(conditions)}"
    )


def _done(bind: Binder, view: View, reference: Reference, chosen: Chosen, rows: str) -> str:
    """The conversions of each day and entity, side by side."""
    counted = reference.in_figures
    numbers = ", ".join(
        f'max(i."{each.value_column}") FILTER (i.action_type = {bind(each.action_type)} AND i.field = {bind(field)}) '
        f'AS "{column}"'
        for each in counted
        for column, field in _fields(each)
    )
    if not numbers:
        # A file of another program may count none of our events.
        return "SELECT NULL AS account_id, NULL AS entity_id, NULL::DATE AS date_start WHERE false"
    conditions = [
        f"i.level = {bind(chosen.level.value)}",
        view.seen(bind, "i"),
        around(bind, "i", chosen.period),
        bind.is_in("i.action_type", sorted({each.action_type for each in counted})),
        bind.is_in("i.field", sorted({field for each in counted for _, field in _fields(each)})),
    ]
    if chosen.account_id is not None:
        conditions.append(f"i.account_id = {bind(chosen.account_id)}")
    if chosen.entity_id is not None:
        conditions.append(f"i.entity_id = {bind(chosen.entity_id)}")
    elif chosen.parent is not None or rows != "facts":
        conditions.append(f"i.entity_id IN (SELECT entity_id FROM {rows})")
    return (
        f"SELECT i.account_id, i.entity_id, i.date_start, {numbers} FROM {view.actions(bind)} AS i "
        f"WHERE {' AND '.join(conditions)} GROUP BY i.account_id, i.entity_id, i.date_start"
    )


def _conversions(bind: Binder, reference: Reference) -> str:
    """0 when Meta gave none, NULL when it withheld the field."""
    found = {column: field for each in reference.in_figures for column, field in _fields(each)}
    return ", ".join(
        f"CASE WHEN {is_withheld(f'f.{WITHHELD}', bind(found[column]))} THEN NULL "
        f'ELSE coalesce(done."{column}", 0) END AS "{column}"'
        if column in found
        else f'NULL::{SUM} AS "{column}"'
        for column in _event_columns()
    )


def is_withheld(withheld: str, field: str) -> str:
    """The condition that a list of withheld fields, separated by commas, has a field."""
    return f"coalesce(contains(concat(',', {withheld}, ','), concat(',', {field}, ',')), false)"


def _fields(counted: Counted) -> list[tuple[str, str]]:
    """The figures of an event, and the insights field that each comes from."""
    event = events()[counted.event]
    found = [(event.counts, counted.count_field)]
    if event.values and counted.value_field:
        found.append((event.values, counted.value_field))
    return found


@cache
def _event_columns() -> tuple[str, ...]:
    """The conversions that ratios are made of."""
    parts = {part for ratio in conversion_ratios() for part in (ratio.numerator, ratio.denominator)}
    columns = (column for event in events().values() for column in (event.counts, event.values) if column)
    return tuple(column for column in columns if column in parts)


def _sum(column: ResultColumn) -> str:
    name = column.name
    return f"CASE WHEN count(*) = count({name}) THEN sum({name})::{_sum_type(column)} END AS {name}"


def _sum_type(column: ResultColumn) -> str:
    return "BIGINT" if column.shape is Shape.INTEGER else SUM


def _as_counted(name: str, is_one_day: bool, day: str) -> str:
    """What Meta counted for one row, and nothing for several."""
    if not (is_one_day or day):
        return f"NULL::BIGINT AS {name}"
    of_a_day = "" if is_one_day else f" AND grouping({day}) = 0"
    return f"CASE WHEN count(*) = 1{of_a_day} THEN any_value({name}) END AS {name}"


def _withheld() -> str:
    fields = f"flatten(list(string_split({WITHHELD}, ',')) FILTER ({WITHHELD} IS NOT NULL))"
    return f"nullif(array_to_string(list_sort(list_distinct({fields})), ','), '')"
