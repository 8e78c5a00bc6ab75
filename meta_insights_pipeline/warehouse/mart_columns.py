"""The columns of the reports for BI, declared once: where each comes from, its unit, and whether it may be summed.

SQL, comments, the data dictionary and Dagster's lineage are all made from these declarations. In the expressions, `f` is the
level's table of insights, `ad_accounts`, `campaigns`, `adsets` and `ads` are the entities, `known` is the account as far as
anything is known of it, `reading` says when the day was collected, and `done` holds the conversions of the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from meta_insights_pipeline.catalog.conversions import Event, conversion_ratios, events
from meta_insights_pipeline.catalog.entities import Attribute, EntityKind, Type
from meta_insights_pipeline.catalog.fields import Field, Ratio, Unit, insights_field, ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import METRICS
from meta_insights_pipeline.warehouse.schema import (
    ACCOUNTS,
    ACTIONS_TABLE,
    CHANGED_AT,
    DECIMAL,
    PIPELINE,
    WITHHELD,
    Column,
)

COVERAGE = "pipeline.coverage"
KNOWN_ACCOUNTS = "known_accounts"
"""The view of all ad accounts, from which everybody takes currencies and time zones."""
FINAL_AFTER_DAYS = 28
"""Meta does not change a day's numbers any more after so many days ("Insights API Limits and Best Practices")."""

KINDS: Mapping[Level, EntityKind] = MappingProxyType(
    {kind.level: kind for kind in EntityKind if kind.level is not None}
)
"""The entities of each level."""
_UNITS = {"ctr": "percent", "frequency": "ratio", "roas": "ratio"}


@dataclass(frozen=True)
class MartColumn:
    """One column of a view or table macro."""

    name: str
    sql_type: str
    description: str
    expression: str
    """What it is, as SQL."""
    sources: tuple[str, ...]
    """The columns that it is made of, each `table.column`."""
    unit: str = ""
    """`count`, `money` (major units of the account's currency), `percent`, `ratio`, `days`, `day`, `UTC`, or nothing."""
    additive: bool | None = None
    """Whether it may be summed over days and over entities of one level and one currency; None: it is no number."""

    @property
    def column(self) -> Column:
        """As a column of a table."""
        return Column(self.name, self.sql_type, self.description)

    @property
    def select(self) -> str:
        """As an item of a SELECT list."""
        return f'{self.expression} AS "{self.name}"'


def all_ratios() -> tuple[Ratio, ...]:
    """Every metric of the reports that is computed from others."""
    return (*ratios(), *conversion_ratios())


def ratio_unit(ratio: Ratio) -> str:
    """Its unit: money where money is divided by a number of something."""
    return _UNITS.get(ratio.name, Unit.MONEY.value)


def facts_of(level: Level) -> str:
    """The name of a level's table of insights."""
    return f"{level.value}_insights"


def known_sources(attribute: str) -> tuple[str, ...]:
    """Where the view of known accounts takes an attribute from."""
    return (f"{EntityKind.AD_ACCOUNTS.value}.{attribute}", f"{PIPELINE}.{ACCOUNTS}.{attribute}")


def count_column(event: Event) -> str:
    """The column of `done` that says how often an event happened."""
    return f"count_{event.name}"


def value_column(event: Event) -> str:
    """The column of `done` with the money that an event brought."""
    return f"value_{event.name}"


def report_columns(level: Level) -> tuple[MartColumn, ...]:
    """The columns of a level's report."""
    return (
        *_identity(level),
        *_attributes(level),
        *(_metric(level, insights_field(name)) for name in METRICS),
        *(column for event in events().values() for column in _conversions(level, event)),
        *(_ratio(level, ratio) for ratio in all_ratios()),
        *_freshness(level),
    )


# ---- who and what ----


def _identity(level: Level) -> list[MartColumn]:
    facts = facts_of(level)
    columns = [
        MartColumn("account_id", "VARCHAR", _described("account_id"), "f.account_id", (f"{facts}.account_id",)),
        _name(level, Level.ACCOUNT),
        MartColumn(
            "account_currency",
            "VARCHAR",
            _described("account_currency"),
            "coalesce(f.account_currency, known.currency)",
            (f"{facts}.account_currency", *known_sources("currency")),
        ),
        MartColumn(
            "timezone_name",
            "VARCHAR",
            "IANA name of the time zone in which the account's days begin and end.",
            "known.timezone_name",
            known_sources("timezone_name"),
        ),
    ]
    for part in list(Level)[1 : level.depth + 1]:
        name = part.id_field
        columns += [
            MartColumn(name, "VARCHAR", _described(name), f'f."{name}"', (f"{facts}.{name}",)),
            _name(level, part),
        ]
    columns.append(
        MartColumn("date_start", "DATE", _described("date_start"), "f.date_start", (f"{facts}.date_start",), "day")
    )
    return columns


def _name(level: Level, part: Level) -> MartColumn:
    kind, name = KINDS[part], f"{part.value}_name"
    return MartColumn(
        name,
        "VARCHAR",
        f"Name of the {kind.noun}: the present one, or that of the insights where the {kind.noun} is not known.",
        f'coalesce({kind.value}.name, f."{name}")',
        (f"{kind.value}.name", f"{facts_of(level)}.{name}"),
    )


# ---- what it is set to ----

# Names of columns, and the attributes of entities behind them; all are those of the present, not of the day.
_ATTRIBUTES: Mapping[Level, tuple[tuple[str, EntityKind, str], ...]] = {
    Level.ACCOUNT: (
        ("status", EntityKind.AD_ACCOUNTS, "status"),
        ("spend_cap", EntityKind.AD_ACCOUNTS, "spend_cap"),
        ("amount_spent", EntityKind.AD_ACCOUNTS, "amount_spent"),
    ),
    Level.CAMPAIGN: tuple(
        (name, EntityKind.CAMPAIGNS, name)
        for name in (
            "status",
            "effective_status",
            "buying_type",
            "bid_strategy",
            "daily_budget",
            "lifetime_budget",
            "budget_remaining",
            "start_time",
            "stop_time",
        )
    ),
    Level.ADSET: (
        *(
            (name, EntityKind.ADSETS, name)
            for name in (
                "status",
                "effective_status",
                "optimization_goal",
                "bid_strategy",
                "daily_budget",
                "lifetime_budget",
                "budget_remaining",
                "start_time",
                "end_time",
            )
        ),
        ("campaign_daily_budget", EntityKind.CAMPAIGNS, "daily_budget"),
        ("campaign_lifetime_budget", EntityKind.CAMPAIGNS, "lifetime_budget"),
    ),
    Level.AD: (
        ("status", EntityKind.ADS, "status"),
        ("effective_status", EntityKind.ADS, "effective_status"),
        ("creative_id", EntityKind.ADS, "creative_id"),
        ("adset_daily_budget", EntityKind.ADSETS, "daily_budget"),
        ("adset_lifetime_budget", EntityKind.ADSETS, "lifetime_budget"),
        ("campaign_daily_budget", EntityKind.CAMPAIGNS, "daily_budget"),
        ("campaign_lifetime_budget", EntityKind.CAMPAIGNS, "lifetime_budget"),
    ),
}


def _attributes(level: Level) -> list[MartColumn]:
    facts = facts_of(level)
    columns = [_entity_column(name, kind, attribute) for name, kind, attribute in _ATTRIBUTES[level]]
    if level is not Level.ACCOUNT:
        columns.append(
            MartColumn(
                "objective",
                "VARCHAR",
                "Objective of the campaign.",
                "coalesce(campaigns.objective, f.objective)",
                ("campaigns.objective", f"{facts}.objective"),
            )
        )
    if level.depth >= Level.ADSET.depth:
        columns.append(
            MartColumn(
                "attribution_setting",
                "VARCHAR",
                _described("attribution_setting"),
                "f.attribution_setting",
                (f"{facts}.attribution_setting",),
            )
        )
    return columns


def _entity_column(name: str, kind: EntityKind, attribute: str) -> MartColumn:
    found = next(each for each in kind.attributes if each.column == attribute)
    return MartColumn(
        name,
        found.sql_type,
        f"{found.comment} Of the {kind.noun} as it is now.",
        f"{kind.value}.{attribute}",
        (f"{kind.value}.{attribute}",),
        attribute_unit(found),
        False if found.type in (Type.MONEY, Type.INTEGER, Type.HOURS) else None,
    )


def attribute_unit(attribute: Attribute) -> str:
    """The unit of an entity's attribute."""
    return {Type.MONEY: "money", Type.TIME: "UTC", Type.HOURS: "hours"}.get(attribute.type, "")


# ---- numbers ----


def _metric(level: Level, field: Field) -> MartColumn:
    return MartColumn(
        field.name,
        DECIMAL if field.unit is Unit.MONEY else "BIGINT",
        field.description,
        f'f."{field.name}"',
        (f"{facts_of(level)}.{field.name}",),
        field.unit.value,
        field.additive,
    )


def _conversions(level: Level, event: Event) -> list[MartColumn]:
    text = f"{event.description} Counted by one action type, that of the event {event.name} in conversion_events."
    columns = [_conversion(level, event.counts, event.count_field, count_column(event), text, Unit.COUNT)]
    if event.values and event.value_field:
        money = f"Money from: {text[0].lower()}{text[1:]}"
        columns.append(_conversion(level, event.values, event.value_field, value_column(event), money, Unit.MONEY))
    return columns


def _conversion(level: Level, name: str, field: str, column: str, text: str, unit: Unit) -> MartColumn:
    return MartColumn(
        name,
        DECIMAL,
        f"{text} 0 when Meta gave none; NULL when it withheld the field {field}.",
        f'CASE WHEN {_is_unknown(level, field)} THEN NULL ELSE coalesce(done."{column}", 0) END',
        (
            f"{ACTIONS_TABLE}.value",
            f"{ACTIONS_TABLE}.action_type",
            "conversion_events.action_type",
            f"{facts_of(level)}.{WITHHELD}",
        ),
        unit.value,
        additive=True,
    )


def _is_unknown(level: Level, field: str) -> str:
    """Whether conversions of the row `f` are not known, as a condition.

    Meta would not give the field, or the row lacks the parent by which its conversions are looked up (see `marts`).
    """
    withheld = f"contains(concat(',', f.{WITHHELD}, ','), ',{field},')"
    return " OR ".join((withheld, *(f"f.{parent} IS NULL" for parent in parent_ids(level))))


def parent_ids(level: Level) -> tuple[str, ...]:
    """The ids of the entities between the account and a level."""
    return tuple(part.id_field for part in list(Level)[1 : level.depth])


def _ratio(level: Level, ratio: Ratio) -> MartColumn:
    if ratio in ratios():
        # The table of insights computes it itself.
        expression = f'f."{ratio.name}"'
    else:
        top, bottom = (_number(level, name) for name in (ratio.numerator, ratio.denominator))
        expression = quotient(ratio, top, bottom)
    sources = tuple(
        dict.fromkeys(
            source for name in (ratio.numerator, ratio.denominator) for source in _number_column(level, name).sources
        )
    )
    return MartColumn(
        ratio.name,
        "DOUBLE",
        f"{ratio.description} Never sum or average it: divide the sums.",
        expression,
        sources,
        ratio_unit(ratio),
        additive=False,
    )


def quotient(ratio: Ratio, numerator: str, denominator: str) -> str:
    """A ratio of two expressions; NULL where the denominator is 0 or NULL."""
    factor = "" if ratio.scale == 1 else f"{ratio.scale} * "
    return f"{factor}{numerator}::DOUBLE / nullif({denominator}, 0)"


def _number(level: Level, name: str) -> str:
    return f"({_number_column(level, name).expression})"


def _number_column(level: Level, name: str) -> MartColumn:
    if name in METRICS:
        return _metric(level, insights_field(name))
    columns = (column for event in events().values() for column in _conversions(level, event))
    return next(column for column in columns if column.name == name)


# ---- how fresh ----


def _freshness(level: Level) -> list[MartColumn]:
    facts = facts_of(level)
    collected = (f"{COVERAGE}.collected_at", *known_sources("timezone_name"), f"{facts}.date_start")
    return [
        MartColumn(
            "days_since",
            "BIGINT",
            "How many days old the day was when it was last collected, in days of the account: 0 while it was still running. "
            "NULL when the account's time zone is not known.",
            "reading.collected_on - f.date_start",
            collected,
            "days",
            additive=False,
        ),
        MartColumn(
            "is_final",
            "BOOLEAN",
            f"Whether the day was more than {FINAL_AFTER_DAYS} days old when it was last collected, so that Meta does not change "
            "it any more. NULL when the account's time zone is not known.",
            f"reading.collected_on - f.date_start > {FINAL_AFTER_DAYS}",
            collected,
        ),
        MartColumn(
            "collected_at",
            "TIMESTAMP",
            "When (UTC) the account's day was last collected whole.",
            "reading.collected_at",
            (f"{COVERAGE}.collected_at",),
            "UTC",
        ),
        MartColumn(
            CHANGED_AT,
            "TIMESTAMP",
            "When (UTC) the pipeline last saw a value of the row's insights change.",
            f"f.{CHANGED_AT}",
            (f"{facts}.{CHANGED_AT}",),
            "UTC",
        ),
        MartColumn(
            WITHHELD,
            "VARCHAR",
            "Names of fields that Meta would not give for this row, separated by commas; NULL when it gave all.",
            f"f.{WITHHELD}",
            (f"{facts}.{WITHHELD}",),
        ),
    ]


def _described(field: str) -> str:
    return insights_field(field).description
