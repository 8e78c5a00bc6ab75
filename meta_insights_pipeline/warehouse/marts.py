"""The marts for BI: reports with one row a day, conversions, and macros that sum up a period.

Views, so that they are as fresh as the tables. What they sum is declared in `mart_columns` and nowhere else: a number that is
not additive is given at the grain at which Meta counted it, and is NULL otherwise; ratios are divided from sums.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from meta_insights_pipeline.catalog.conversions import VALUE, events
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse import conversion_events
from meta_insights_pipeline.warehouse.mart_columns import (
    COVERAGE,
    KINDS,
    KNOWN_ACCOUNTS,
    MartColumn,
    all_ratios,
    count_column,
    facts_of,
    known_sources,
    parent_ids,
    quotient,
    ratio_unit,
    report_columns,
    value_column,
)
from meta_insights_pipeline.warehouse.schema import ACCOUNTS, ACTIONS_TABLE, DECIMAL, PIPELINE, WITHHELD, Table
from meta_insights_pipeline.warehouse.sql import literal

CONVERSIONS = "conversions"
# Sums have room for more digits than what is summed.
_SUM = "DECIMAL(38, 6)"
_PERIOD = "date_start BETWEEN since::DATE AND until::DATE"
_ONE_DAY = "since::DATE = until::DATE"


@dataclass(frozen=True)
class Mart:
    """A view, or a table macro with the arguments `since` and `until`."""

    name: str
    key: tuple[str, ...]
    columns: tuple[MartColumn, ...]
    description: str
    query: str
    """As SQL; it names no database, since readers call theirs what they like."""
    is_macro: bool = False

    @property
    def table(self) -> Table:
        """As a table: what it is called and which columns it has."""
        return Table(self.name, self.key, tuple(each.column for each in self.columns), self.description)

    @property
    def shown_name(self) -> str:
        """What a reader writes in a query."""
        return f"{self.name}(since, until)" if self.is_macro else self.name

    def create_statements(self, database: str) -> list[str]:
        """Make it with its comments, in place of an earlier one, while `database` is the default one."""
        name = f'"{database}"."{self.name}"'
        if self.is_macro:
            return [
                f"CREATE OR REPLACE MACRO {name}(since, until) AS TABLE {self.query}",
                f"COMMENT ON MACRO TABLE {name} IS {literal(self.description)}",
            ]
        return [
            f"CREATE OR REPLACE VIEW {name} AS {self.query}",
            f"COMMENT ON VIEW {name} IS {literal(self.description)}",
            *(
                f'COMMENT ON COLUMN {name}."{column.name}" IS {literal(column.description)}'
                for column in self.columns
                if column.description
            ),
        ]


def reports() -> tuple[Mart, ...]:
    """The reports of the four levels."""
    return tuple(_report(level) for level in Level)


def marts() -> tuple[Mart, ...]:
    """Everything that is made for readers, in an order in which it can be made."""
    views = (_known_accounts(), *reports(), _conversions())
    return (*views, *(_summary(level) for level in Level), _totals(), _conversions_summary())


def create_statements(database: str) -> list[str]:
    """Make all of it, while `database` is the default one."""
    statements = conversion_events.create_statements(database)
    return statements + [statement for mart in marts() for statement in mart.create_statements(database)]


# ---- accounts ----


def _known_accounts() -> Mart:
    texts = {
        "account_id": "Id of the ad account, without the prefix act_.",
        "name": "Name of the ad account.",
        "currency": "Currency of the ad account, ISO 4217.",
        "timezone_name": "IANA name of the time zone in which the account's days begin and end; NULL when it is not known.",
    }
    columns = tuple(
        MartColumn(name, "VARCHAR", text, f"coalesce(a.{name}, b.{name})", known_sources(name))
        for name, text in texts.items()
    )
    query = (
        f"SELECT {_listed(column.select for column in columns)} FROM {EntityKind.AD_ACCOUNTS.value} AS a "
        f"FULL JOIN {PIPELINE}.{ACCOUNTS} AS b ON b.account_id = a.account_id"
    )
    description = (
        "One row for each ad account that a sync has found, with its currency and time zone, whether or not its entities were "
        "collected."
    )
    return Mart(KNOWN_ACCOUNTS, ("account_id",), columns, description, query)


# ---- reports ----


def _report(level: Level) -> Mart:
    facts, columns = facts_of(level), report_columns(level)
    kinds = [KINDS[part] for part in list(Level)[: level.depth + 1]]
    joins = [_entities_join(kind) for kind in kinds]
    query = (
        f"SELECT {_listed(column.select for column in columns)} "
        f'FROM "{facts}" AS f {" ".join(joins)} LEFT JOIN {KNOWN_ACCOUNTS} AS known ON known.account_id = f.account_id '
        f"{_reading_join(level)} {_done_join(level)}"
    )
    key = tuple(dict.fromkeys(("account_id", level.id_field, "date_start")))
    noun = KINDS[level].noun
    return Mart(
        f"{level.value}_report",
        key,
        columns,
        f"One row a day and {noun} that delivered, with names, settings, metrics and conversions as Meta counts them for the "
        f"{noun}.",
        query,
    )


def _entities_join(kind: EntityKind) -> str:
    """The present attributes of an entity; it has one row or none, so that no row of the report is lost or doubled."""
    same = " AND ".join(f"{kind.value}.{each} = f.{each}" for each in kind.key)
    return f"LEFT JOIN {kind.value} ON {same}"


def _reading_join(level: Level) -> str:
    """When each day was last collected, and which day of the account it was then.

    A zone that this DuckDB does not know would be an error; it is left out here, so that one account cannot hide the others.
    """
    collected_on = "(c.collected_at AT TIME ZONE 'UTC' AT TIME ZONE z.name)::DATE"
    return (
        "LEFT JOIN (SELECT c.account_id, c.date_start, c.collected_at, "
        f"CASE WHEN z.name IS NOT NULL THEN {collected_on} END AS collected_on "
        f"FROM {COVERAGE} AS c LEFT JOIN {KNOWN_ACCOUNTS} AS a ON a.account_id = c.account_id "
        "LEFT JOIN (SELECT DISTINCT name FROM pg_timezone_names()) AS z ON z.name = a.timezone_name "
        f"WHERE c.report = {literal(facts_of(level))}) AS reading "
        "ON reading.account_id = f.account_id AND reading.date_start = f.date_start"
    )


def _done_join(level: Level) -> str:
    """The conversions of each row, side by side.

    Levels that have parents join their own rows once more, so that a filter on a parent reaches the actions: without it a
    query for one campaign's ads would read the actions of all ads.
    """
    own, parents = level.id_field, parent_ids(level)
    numbers = _listed(
        f"max(a.number) FILTER (a.event = {literal(event.name)} AND a.is_money = {str(is_money).lower()}) AS "
        f'"{value_column(event) if is_money else count_column(event)}"'
        for event in events().values()
        for is_money in (False, True)
        if not is_money or event.value_field
    )
    keys = dict.fromkeys(("account_id", *parents, own, "date_start"))
    same = " AND ".join(f"done.{key} = f.{key}" for key in keys)
    source = f"({_chosen_actions(level)}) AS a"
    if parents:
        facts = facts_of(level)
        groups = _listed(f"g.{key}" for key in keys)
        source += f' JOIN "{facts}" AS g ON g.account_id = a.account_id AND g.{own} = a.entity_id AND g.date_start = a.date_start'
        selected = groups
    else:
        groups = _listed(dict.fromkeys(("a.account_id", "a.entity_id", "a.date_start")))
        selected = f"a.account_id, {'' if own == 'account_id' else f'a.entity_id AS {own}, '}a.date_start"
    return f"LEFT JOIN (SELECT {selected}, {numbers} FROM {source} GROUP BY {groups}) AS done ON {same}"


def _chosen_actions(level: Level | None = None) -> str:
    """The actions by which events are counted: the event, whether it is its money, and the number that was chosen."""
    number = " ".join(
        f'WHEN {literal(column)} THEN i."{column}"'
        for column in (VALUE, *(windows()[name].column for name in default_windows()))
    )
    kept = ["level", "account_id", "entity_id", "date_start", VALUE]
    kept += [windows()[name].column for name in default_windows()]
    within = f" WHERE i.level = {literal(level.value)}" if level else ""
    return (
        f"SELECT {_listed(f'i.{each}' for each in kept)}, e.event, e.action_type, e.is_money, "
        f"CASE e.value_column {number} END AS number FROM {ACTIONS_TABLE} AS i JOIN ({_event_fields()}) AS e "
        f"ON e.field = i.field AND e.action_type = i.action_type{within}"
    )


def _event_fields() -> str:
    """One row for each event and field by which it is counted: that of how often, and that of the money."""
    return (
        f"SELECT event, action_type, value_column, count_field AS field, false AS is_money FROM {conversion_events.NAME} "
        "UNION ALL SELECT event, action_type, value_column, value_field, true "
        f"FROM {conversion_events.NAME} WHERE value_field IS NOT NULL"
    )


def _withheld_actions() -> str:
    """One row for each entity, day, event and field of it that Meta would not give; columns as in `_chosen_actions`."""
    rows = " UNION ALL ".join(
        f"SELECT {literal(level.value)} AS level, account_id, {level.id_field} AS entity_id, date_start, {WITHHELD} "
        f'FROM "{facts_of(level)}" WHERE {WITHHELD} IS NOT NULL'
        for level in Level
    )
    return (
        "SELECT r.level, r.account_id, r.entity_id, r.date_start, e.event, e.action_type, e.is_money, e.field AS withheld "
        f"FROM ({rows}) AS r JOIN ({_event_fields()}) AS e ON {_names(f'r.{WITHHELD}', 'e.field')}"
    )


def _names(fields: str, field: str) -> str:
    """The condition that a list of fields, separated by commas, has a field."""
    return f"contains(concat(',', {fields}, ','), concat(',', {field}, ','))"


# ---- conversions ----

_KEY_TEXTS = {
    "level": "Level of the entity: account, campaign, adset or ad.",
    "account_id": "Id of the ad account, without the prefix act_.",
    "entity_id": "Id of the account, campaign, ad set or ad.",
    "event": "What people did, for example purchase or lead.",
    "action_type": "The action type by which the event is counted.",
}


def _conversions() -> Mart:
    grain = ("level", "account_id", "entity_id", "date_start", "event")
    withheld_sources = tuple(f"{facts_of(level)}.{WITHHELD}" for level in Level)
    numbers = [
        (CONVERSIONS, "number", False, "How often it happened"),
        (VALUE, "number", True, "Money that it brought"),
    ]
    for name in default_windows():
        column, text = windows()[name].column, windows()[name].description
        numbers.append((f"{CONVERSIONS}_{name}", column, False, f"How often it happened {text}"))
        numbers.append((column, column, True, f"Money that it brought, counted {text}"))
    columns = (
        *(_plain(name, "VARCHAR", _KEY_TEXTS[name]) for name in grain[:3]),
        MartColumn(
            "account_currency",
            "VARCHAR",
            "Currency of the ad account, ISO 4217; NULL when the account is not known.",
            "any_value(known.currency)",
            known_sources("currency"),
        ),
        _plain("date_start", "DATE", "Day, in the ad account's time zone.", "day"),
        MartColumn("event", "VARCHAR", _KEY_TEXTS["event"], "c.event", (f"{conversion_events.NAME}.event",)),
        MartColumn(
            "action_type",
            "VARCHAR",
            _KEY_TEXTS["action_type"],
            "any_value(c.action_type)",
            (f"{conversion_events.NAME}.action_type",),
        ),
        *(
            MartColumn(
                name,
                DECIMAL,
                f"{text}; NULL when Meta gave none or withheld the field.",
                f"CASE WHEN {_is_withheld(is_money)} THEN NULL ELSE max(c.{column}) FILTER ({_of(is_money)}) END",
                (
                    f"{ACTIONS_TABLE}.{VALUE if column == 'number' else column}",
                    f"{ACTIONS_TABLE}.field",
                    *withheld_sources,
                ),
                "money" if is_money else "count",
                additive=True,
            )
            for name, column, is_money, text in numbers
        ),
        MartColumn(
            WITHHELD,
            "VARCHAR",
            "Which of the fields by which the event is counted Meta would not give, separated by commas; NULL when it gave all.",
            # There are two of them at most, and DISTINCT would take ten times as long.
            "CASE WHEN min(c.withheld) < max(c.withheld) THEN concat(min(c.withheld), ',', max(c.withheld)) "
            "ELSE min(c.withheld) END",
            withheld_sources,
        ),
    )
    query = (
        f"SELECT {_listed(column.select for column in columns)} "
        f"FROM ({_chosen_actions()} UNION ALL BY NAME {_withheld_actions()}) AS c "
        f"LEFT JOIN {KNOWN_ACCOUNTS} AS known "
        f"ON known.account_id = c.account_id GROUP BY {_listed(f'c.{name}' for name in grain)}"
    )
    return Mart(
        CONVERSIONS,
        grain,
        columns,
        "One row a day, entity and event that happened or that Meta withheld, each event counted by one action type; the pairs "
        "of columns are the attribution windows. Add up rows of one level and one event only.",
        query,
    )


def _of(is_money: bool) -> str:
    return f"{'' if is_money else 'NOT '}c.is_money"


def _is_withheld(is_money: bool) -> str:
    return f"bool_or(c.withheld IS NOT NULL) FILTER ({_of(is_money)})"


def _plain(name: str, sql_type: str, description: str, unit: str = "") -> MartColumn:
    return MartColumn(name, sql_type, description, f"c.{name}", (f"{ACTIONS_TABLE}.{name}",), unit)


# ---- periods ----


def _summary(level: Level) -> Mart:
    report, parts = f"{level.value}_report", list(Level)[: level.depth + 1]
    by_name = {column.name: column for column in report_columns(level)}
    keys = [_aggregate(report, by_name[name], f'"{name}"') for name in (*_ids(parts), "account_currency")]
    noun = KINDS[level].noun
    columns = [
        *keys,
        *(_aggregate(report, by_name[f"{part.value}_name"], _latest(f"{part.value}_name")) for part in parts),
        *_days(report, f"the {noun} delivered"),
        *(_sum(report, column) for column in by_name.values() if column.additive),
        _aggregate(report, by_name["reach"], f"any_value(reach) FILTER ({_ONE_DAY})"),
        *_freshness(report),
    ]
    description = (
        f"One row for each {noun} that delivered on the days from since to until, both inclusive: sums, and ratios of sums. "
        "reach, frequency and cpp are given when since and until are the same day, and are NULL otherwise."
    )
    return _summed(f"{level.value}_summary", keys, columns, report, description)


def _totals() -> Mart:
    report = "account_report"
    by_name = {column.name: column for column in report_columns(Level.ACCOUNT)}
    key = _aggregate(report, by_name["account_currency"], "account_currency")
    columns = [
        key,
        MartColumn(
            "accounts",
            "BIGINT",
            "How many ad accounts with this currency delivered.",
            "count(DISTINCT account_id)",
            (f"{report}.account_id",),
            "count",
            additive=False,
        ),
        *_days(report, "one of them delivered"),
        *(_sum(report, column) for column in by_name.values() if column.additive),
        _aggregate(report, by_name["reach"], "NULL::BIGINT"),
        *_freshness(report),
    ]
    description = (
        "One row for each currency, over all ad accounts and the days from since to until, both inclusive: sums, and ratios of "
        "sums. Currencies are never added up; reach, frequency and cpp are always NULL, since people are not counted across "
        "accounts."
    )
    return _summed("totals", [key], columns, report, description)


def _conversions_summary() -> Mart:
    source = _conversions()
    grain = ("level", "account_id", "entity_id", "account_currency", "event", "action_type")
    columns = []
    for column in source.columns:
        if column.name in grain:
            columns.append(_aggregate(CONVERSIONS, column, f'c."{column.name}"'))
        elif column.additive:
            field = "value_field" if column.unit == "money" else "count_field"
            unknown = f"bool_or({_names(f'c.{WITHHELD}', f'e.{field}')})"
            summed = f'CASE WHEN {unknown} THEN NULL ELSE sum(c."{column.name}") END'
            columns.append(_aggregate(CONVERSIONS, column, summed, _SUM))
        elif column.name == WITHHELD:
            columns.append(_aggregate(CONVERSIONS, column, _all_withheld(f"c.{WITHHELD}")))
    keys = _listed(f'c."{name}"' for name in grain)
    query = (
        f"SELECT {_listed(each.select for each in columns)} FROM {CONVERSIONS} AS c "
        f"JOIN {conversion_events.NAME} AS e ON e.event = c.event WHERE {_PERIOD} GROUP BY {keys}"
    )
    description = (
        "One row for each entity and event over the days from since to until, both inclusive; a sum is NULL when Meta withheld "
        "the field on one of them. Add up rows of one level, one event and one currency only."
    )
    return Mart("conversions_summary", grain, tuple(columns), description, query, is_macro=True)


def _summed(
    name: str, keys: Sequence[MartColumn], columns: Sequence[MartColumn], source: str, description: str
) -> Mart:
    """A macro that adds up rows of a report by some columns, and divides the sums."""
    by_name = {column.name: column for column in columns}
    quotients = [
        MartColumn(
            ratio.name,
            "DOUBLE",
            f"{ratio.description} Divided from the sums.",
            quotient(ratio, f'"{ratio.numerator}"', f'"{ratio.denominator}"'),
            tuple(source for part in (ratio.numerator, ratio.denominator) for source in by_name[part].sources),
            ratio_unit(ratio),
            additive=False,
        )
        for ratio in all_ratios()
    ]
    groups = _listed(key.expression for key in keys)
    sums = f"SELECT {_listed(column.select for column in columns)} FROM {source} WHERE {_PERIOD} GROUP BY {groups}"
    query = f"SELECT *, {_listed(column.select for column in quotients)} FROM ({sums})"
    key = tuple(column.name for column in keys)
    return Mart(name, key, (*columns, *quotients), description, query, is_macro=True)


def _ids(parts: Iterable[Level]) -> list[str]:
    return [part.id_field for part in parts]


def _latest(name: str) -> str:
    """The name that the newest day has; names differ between days only where the entity is not known."""
    return f'arg_max("{name}", date_start)'


def _sum(source: str, column: MartColumn) -> MartColumn:
    """A sum that is unknown when a part of it is; only for what is declared additive."""
    assert column.additive, f"{column.name} may not be summed"
    sql_type = "BIGINT" if column.sql_type == "BIGINT" else _SUM
    expression = f'CASE WHEN count(*) = count("{column.name}") THEN sum("{column.name}")::{sql_type} END'
    summed = _aggregate(source, column, expression, sql_type)
    return replace(summed, description=f"{column.description} Summed; NULL when it is NULL on one of the days.")


def _days(source: str, text: str) -> list[MartColumn]:
    sources = (f"{source}.date_start",)
    return [
        MartColumn("first_day", "DATE", f"First day on which {text}.", "min(date_start)", sources, "day"),
        MartColumn("last_day", "DATE", f"Last day on which {text}.", "max(date_start)", sources, "day"),
        MartColumn(
            "days", "BIGINT", f"On how many days {text}.", "count(DISTINCT date_start)", sources, "days", additive=False
        ),
    ]


def _freshness(source: str) -> list[MartColumn]:
    return [
        MartColumn(
            "is_final",
            "BOOLEAN",
            "Whether all days are final, so that Meta does not change them any more.",
            "bool_and(coalesce(is_final, false))",
            (f"{source}.is_final",),
        ),
        MartColumn(
            "collected_at",
            "TIMESTAMP",
            "When (UTC) the day that was collected longest ago was last collected.",
            "min(collected_at)",
            (f"{source}.collected_at",),
            "UTC",
        ),
        MartColumn(
            WITHHELD,
            "VARCHAR",
            "Names of fields that Meta would not give for some of the rows, separated by commas; NULL when it gave all.",
            _all_withheld(WITHHELD),
            (f"{source}.{WITHHELD}",),
        ),
    ]


def _all_withheld(column: str) -> str:
    """The fields that the lists of some rows name."""
    fields = f"flatten(list(string_split({column}, ',')) FILTER ({column} IS NOT NULL))"
    return f"nullif(array_to_string(list_sort(list_distinct({fields})), ','), '')"


def _aggregate(source: str, column: MartColumn, expression: str, sql_type: str | None = None) -> MartColumn:
    """A column of a mart, aggregated."""
    return replace(
        column,
        sql_type=sql_type or column.sql_type,
        expression=expression,
        sources=(f"{source}.{column.name}",),
    )


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
