"""Views in the shape of other connectors' tables, so that models and dashboards that were written for them read this warehouse.

`fivetran_compat` has the names and columns of Fivetran's Facebook Ads tables that `dbt_facebook_ads` reads, `airbyte_compat`
those of Airbyte's streams. A column that has nothing behind it here is NULL. Budgets are in Meta's own units, as both
connectors pass them on: hundredths, or whole units for some currencies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meta_insights_pipeline.catalog.entities import WHOLE_UNIT_CURRENCIES, EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import ACTION_LISTS, reports_of_levels
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.mart_columns import COVERAGE, KNOWN_ACCOUNTS, facts_of
from meta_insights_pipeline.warehouse.schema import (
    ACTIONS_TABLE,
    Column,
    Table,
    actions_table,
    entity_history_table,
    entity_table,
    fact_table,
)
from meta_insights_pipeline.warehouse.sql import literal

FIVETRAN = "fivetran_compat"
AIRBYTE = "airbyte_compat"
_SPEC = "nullif(object_story_spec, '')"


@dataclass(frozen=True)
class CompatColumn:
    """One column of a view."""

    expression: str
    """What it is, as SQL."""
    sql_type: str
    description: str
    sources: tuple[str, ...]
    """The columns that it is made of, each `table.column`; none: it is always NULL or the same."""
    unit: str = ""
    """Of a number that is not a copy."""
    is_copy: bool = False
    """Whether it is its one source and nothing else."""


Columns = Mapping[str, CompatColumn]


@dataclass(frozen=True)
class CompatView:
    """One view."""

    schema: str
    name: str
    columns: Columns
    source: str
    """What stands behind FROM; it names schemas, and no database."""
    description: str

    @property
    def full_name(self) -> str:
        """What a reader writes in a query."""
        return f"{self.schema}.{self.name}"

    def create_statements(self, database: str) -> list[str]:
        """Make it with its comments, in place of an earlier one, while `database` is the default one."""
        name = f'"{database}"."{self.schema}"."{self.name}"'
        columns = ", ".join(f'{column.expression} AS "{own}"' for own, column in self.columns.items())
        return [
            f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {self.source}",
            f"COMMENT ON VIEW {name} IS {literal(self.description)}",
            *(
                f'COMMENT ON COLUMN {name}."{own}" IS {literal(column.description)}'
                for own, column in self.columns.items()
            ),
        ]


def compat_views() -> tuple[CompatView, ...]:
    """All of them."""
    return (*_fivetran_entities(), *_fivetran_reports(), *_airbyte_entities(), _airbyte_insights())


def create_statements(database: str) -> list[str]:
    """Make all of them, while `database` is the default one."""
    return [
        *(f'CREATE SCHEMA IF NOT EXISTS "{database}"."{schema}"' for schema in (FIVETRAN, AIRBYTE)),
        *(statement for view in compat_views() for statement in view.create_statements(database)),
    ]


# ---- Fivetran ----


def _fivetran_entities() -> list[CompatView]:
    account, campaign, adset, ad, creative = (entity_table(kind) for kind in EntityKind)
    by_time = EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS
    columns: dict[EntityKind, tuple[str, Columns]] = {
        EntityKind.AD_ACCOUNTS: (
            "account_history",
            {
                **_copies(account, id="account_id", _fivetran_synced="last_seen_at"),
                **_copies(account, "name", account_status="status"),
                **_nothing("business_country_code", "business_state"),
                **_copies(account, "created_time", "currency", "timezone_name", "timezone_offset_hours_utc"),
                **_nothing("min_daily_budget", sql_type="BIGINT"),
            },
        ),
        EntityKind.CAMPAIGNS: (
            "campaign_history",
            {
                **_copies(campaign, id="campaign_id"),
                **_times(campaign),
                **_copies(campaign, "account_id", "name", "start_time", "stop_time", "status", "effective_status"),
                **_copies(campaign, "objective", "buying_type", "bid_strategy"),
                **_budgets(campaign),
            },
        ),
        EntityKind.ADSETS: (
            "ad_set_history",
            {
                **_copies(adset, id="adset_id"),
                **_times(adset),
                **_copies(
                    adset, "account_id", "campaign_id", "name", "start_time", "end_time", "bid_strategy", "status"
                ),
                **_copies(adset, "effective_status", "optimization_goal", "billing_event"),
                **_budgets(adset),
            },
        ),
        EntityKind.ADS: (
            "ad_history",
            {
                **_copies(ad, id="ad_id"),
                **_times(ad),
                **_copies(ad, "account_id", ad_set_id="adset_id"),
                **_copies(ad, "campaign_id", "creative_id", "name", "status", "effective_status", "conversion_domain"),
            },
        ),
        EntityKind.CREATIVES: ("creative_history", _fivetran_creative(creative)),
    }
    return [_fivetran(name, own, kind, by_time=kind in by_time) for kind, (name, own) in columns.items()]


def _fivetran_creative(creative: Table) -> Columns:
    link = f"{_SPEC} ->> '$.link_data."
    spec = f"{creative.name}.object_story_spec"
    return {
        "_fivetran_id": _hash(creative, "account_id", "creative_id"),
        **_copies(creative, id="creative_id", _fivetran_synced="last_seen_at"),
        **_copies(creative, "account_id", "name", "status", "title", "body", "image_url", "thumbnail_url", "video_id"),
        **_copies(creative, "object_type"),
        "page_link": CompatColumn(
            f"coalesce(link_url, {link}link')",
            "VARCHAR",
            "Address that the ad leads to.",
            (f"{creative.name}.link_url", spec),
        ),
        "template_page_link": CompatColumn(
            f"{_SPEC} ->> '$.template_data.link'", "VARCHAR", "Address that an ad of a catalogue leads to.", (spec,)
        ),
        "url_tags": CompatColumn(
            _url_tags(),
            "VARCHAR",
            "Parameters that are added to the address: a JSON list of objects with key, value and type.",
            (f"{creative.name}.url_tags",),
        ),
        **_nothing("asset_feed_spec_link_urls"),
        **{
            f"object_story_link_data_{part}": CompatColumn(
                f"{link}{part}'", "VARCHAR", f"{part} of the link of the post that is shown.", (spec,)
            )
            for part in ("child_attachments", "caption", "description", "link", "message")
        },
        **_nothing(*(f"template_app_link_spec_{system}" for system in ("android", "ios", "ipad", "iphone"))),
    }


def _fivetran(name: str, columns: Columns, kind: EntityKind, *, by_time: bool) -> CompatView:
    """The versions of a kind of entity.

    Models take the version with the newest `updated_time` for the present one. Two versions may have the same one, when Meta
    passed a status down for example; the later of them is kept.
    """
    names = ", ".join(f'"{column.name}"' for column in entity_table(kind).columns)
    versions = (
        f"(SELECT {names} FROM main.{entity_table(kind).name} "
        f"UNION ALL SELECT {names} FROM main.{entity_history_table(kind).name}) AS e"
    )
    key = ", ".join(kind.key)
    if by_time:
        versions += f" QUALIFY row_number() OVER (PARTITION BY {key}, {_UPDATED} ORDER BY e.valid_from DESC) = 1"
    return CompatView(
        FIVETRAN, name, columns, versions, f"The versions of each {kind.noun}, in the shape of Fivetran's {name}."
    )


_UPDATED = "coalesce(e.updated_time, e.valid_from)"


def _times(table: Table) -> Columns:
    return {
        "updated_time": CompatColumn(
            _UPDATED,
            "TIMESTAMP",
            "When (UTC) it was last changed; where Meta does not say, when this version was first seen.",
            (f"{table.name}.updated_time", f"{table.name}.valid_from"),
        ),
        **_copies(table, "created_time", _fivetran_synced="last_seen_at"),
    }


def _fivetran_reports() -> list[CompatView]:
    return [
        _basic("basic_ad", Level.AD, "ad_id", "ad_name", "adset_name", "campaign_name"),
        _basic("basic_ad_set", Level.ADSET, "adset_id", "adset_name", "campaign_name"),
        _basic("basic_campaign", Level.CAMPAIGN, "campaign_id", "campaign_name"),
        # By ad too: the names of all levels are what it is called after.
        _basic("basic_all_levels", Level.AD, "ad_id", "ad_name", "adset_name", "campaign_name"),
        _basic_actions("basic_ad_actions", "actions"),
        _basic_actions("basic_ad_action_values", "action_values"),
    ]


def _basic(name: str, level: Level, *own: str) -> CompatView:
    facts = _facts(level)
    metrics = ("impressions", "inline_link_clicks", "reach", "spend", "cpc", "cpm", "ctr", "frequency")
    return CompatView(
        FIVETRAN,
        name,
        {
            "_fivetran_id": _hash(facts, *facts.key, of="f."),
            "_fivetran_synced": _collected_at(),
            **_copies(facts, "account_id", *own, *metrics, of="f.", date="date_start"),
            **_link_click_ratios(facts),
        },
        f"main.{facts.name} AS f {_coverage_join(facts.name, 'f')}",
        f"The insights by {level.value} and day, in the shape of Fivetran's {name}.",
    )


def _link_click_ratios(facts: Table) -> Columns:
    return {
        "cost_per_inline_link_click": CompatColumn(
            "f.spend::DOUBLE / nullif(f.inline_link_clicks, 0)",
            "DOUBLE",
            "Money spent per click on a link. Computed from this row.",
            (f"{facts.name}.spend", f"{facts.name}.inline_link_clicks"),
            "money",
        ),
        "inline_link_click_ctr": CompatColumn(
            "100 * f.inline_link_clicks::DOUBLE / nullif(f.impressions, 0)",
            "DOUBLE",
            "Clicks on links per hundred impressions. Computed from this row.",
            (f"{facts.name}.inline_link_clicks", f"{facts.name}.impressions"),
            "percent",
        ),
    }


def _basic_actions(name: str, field: str) -> CompatView:
    actions = actions_table()
    keys = ("account_id", "entity_id", "date_start")
    listed = ", ".join(f"i.{key}" for key in keys)
    return CompatView(
        FIVETRAN,
        name,
        {
            "_fivetran_id": _hash(actions, *keys, of="i."),
            "index": CompatColumn(
                f"row_number() OVER (PARTITION BY {listed} ORDER BY i.action_type) - 1",
                "BIGINT",
                "Place among the action types of the ad and day, from 0.",
                (f"{ACTIONS_TABLE}.action_type",),
                "count",
            ),
            "_fivetran_synced": _collected_at(),
            **_copies(actions, "action_type", "value", of="i.", ad_id="entity_id", date="date_start"),
            **_nothing("inline", sql_type="DOUBLE"),
            **_copies(
                actions, of="i.", **{_fivetran_window(window): windows()[window].column for window in default_windows()}
            ),
        },
        f"main.{ACTIONS_TABLE} AS i {_coverage_join(facts_of(Level.AD), 'i')} "
        f"WHERE i.level = {literal(Level.AD.value)} AND i.field = {literal(field)}",
        f"The field {field} by ad, day and action type, in the shape of Fivetran's {name}. Types overlap: never sum over types.",
    )


def _fivetran_window(window: str) -> str:
    """1d_click is `_1_d_click` there."""
    days, _, touch = window.partition("_")
    return f"_{days.removesuffix('d')}_d_{touch}"


# ---- Airbyte ----


def _airbyte_entities() -> list[CompatView]:
    account, campaign, adset, ad, creative = (entity_table(kind) for kind in EntityKind)
    columns: dict[EntityKind, tuple[str, Columns]] = {
        EntityKind.AD_ACCOUNTS: (
            "ad_account",
            {
                "id": CompatColumn(
                    "'act_' || account_id",
                    "VARCHAR",
                    "Id of the ad account, with the prefix act_.",
                    (f"{account.name}.account_id",),
                ),
                **_copies(account, "account_id", "name", "account_status", "currency", "timezone_name"),
                **_copies(account, "timezone_offset_hours_utc", "created_time", "disable_reason", "is_prepay_account"),
                "business": _object(account, id="business_id", name="business_name"),
                **{name: _in_meta_units(account, name, "VARCHAR") for name in ("amount_spent", "balance", "spend_cap")},
            },
        ),
        EntityKind.CAMPAIGNS: (
            "campaigns",
            {
                **_copies(campaign, "account_id", "name", "effective_status", "objective", id="campaign_id"),
                **_copies(campaign, "buying_type", "bid_strategy"),
                **_copies(campaign, "start_time", "stop_time", "created_time", "updated_time"),
                **_budgets(campaign),
            },
        ),
        EntityKind.ADSETS: (
            "ad_sets",
            {
                **_copies(adset, "account_id", "campaign_id", "name", "effective_status", id="adset_id"),
                **_copies(adset, "bid_strategy", "start_time", "end_time", "created_time", "updated_time"),
                "bid_amount": _in_meta_units(adset, "bid_amount"),
                "promoted_object": _json(adset, "promoted_object"),
                "targeting": _json(adset, "targeting"),
                **_budgets(adset),
            },
        ),
        EntityKind.ADS: (
            "ads",
            {
                **_copies(ad, "account_id", "campaign_id", "adset_id", "name", "status", id="ad_id"),
                **_copies(ad, "effective_status"),
                "creative": _object(ad, id="creative_id"),
                **_copies(ad, "created_time", "updated_time"),
            },
        ),
        EntityKind.CREATIVES: (
            "ad_creatives",
            {
                **_copies(creative, "account_id", "name", "status", "title", "body", id="creative_id"),
                **_copies(creative, "object_type", "call_to_action_type", "link_url", "image_url", "thumbnail_url"),
                **_copies(creative, "video_id", "url_tags", "effective_object_story_id"),
                "object_story_spec": _json(creative, "object_story_spec"),
            },
        ),
    }
    return [_airbyte(name, own, kind) for kind, (name, own) in columns.items()]


def _airbyte(name: str, columns: Columns, kind: EntityKind) -> CompatView:
    table = entity_table(kind)
    seen = _copies(table, of="e.", _airbyte_extracted_at="last_seen_at")["_airbyte_extracted_at"]
    return CompatView(
        AIRBYTE,
        name,
        {**columns, **_airbyte_meta(_hash(table, *kind.key, of="e."), seen)},
        f"main.{table.name} AS e",
        f"Each {kind.noun} as it is now, in the shape of Airbyte's stream {name}.",
    )


def _airbyte_insights() -> CompatView:
    facts, listed = _facts(Level.AD), "Items of the field {} as Meta writes them: a JSON list of objects."
    copied = ("date_start", "account_id", "account_name", "account_currency")
    names = ("campaign_id", "campaign_name", "adset_id", "adset_name", "ad_id", "ad_name", "objective")
    numbers = ("impressions", "clicks", "inline_link_clicks", "reach", "spend", "cpc", "cpm", "cpp", "ctr", "frequency")
    columns = {
        **_copies(facts, *copied, of="f.", date_stop="date_start"),
        **_copies(facts, *names, "attribution_setting", *numbers, of="f."),
        **_link_click_ratios(facts),
        **{
            field: CompatColumn(
                f"l.{field}",
                "JSON",
                listed.format(field),
                (f"{ACTIONS_TABLE}.action_type", f"{ACTIONS_TABLE}.value"),
            )
            for field in ACTION_LISTS
        },
        **_airbyte_meta(_hash(facts, *facts.key, of="f."), _collected_at()),
    }
    lists = ", ".join(
        f"to_json(list({_action()} ORDER BY action_type) FILTER (field = {literal(field)})) AS {field}"
        for field in ACTION_LISTS
    )
    source = (
        f"main.{facts.name} AS f {_coverage_join(facts.name, 'f')} LEFT JOIN (SELECT account_id, entity_id, date_start, {lists} "
        f"FROM main.{ACTIONS_TABLE} WHERE level = {literal(Level.AD.value)} GROUP BY account_id, entity_id, date_start) AS l "
        "ON l.account_id = f.account_id AND l.entity_id = f.ad_id AND l.date_start = f.date_start"
    )
    description = (
        "The insights by ad and day, in the shape of Airbyte's stream ads_insights; lists of actions are JSON arrays."
    )
    return CompatView(AIRBYTE, "ads_insights", columns, source, description)


def _action() -> str:
    """An item of a list of actions as Meta writes it: what there is none of is left out."""
    values = ", ".join(
        f"{literal(name)}, {column}::DOUBLE"
        for name, column in (("value", "value"), *((window, windows()[window].column) for window in default_windows()))
    )
    # Merging drops what is null.
    return f"json_merge_patch('{{}}', json_object('action_type', action_type, {values}))"


def _airbyte_meta(row_id: CompatColumn, extracted: CompatColumn) -> Columns:
    return {
        "_airbyte_raw_id": row_id,
        "_airbyte_extracted_at": extracted,
        "_airbyte_meta": CompatColumn("'{}'::JSON", "JSON", "Always an empty object.", ()),
    }


# ---- columns ----


def _facts(level: Level) -> Table:
    (report,) = reports_of_levels([level])
    return fact_table(report)


def _copies(table: Table, *same: str, of: str = "", **others: str) -> dict[str, CompatColumn]:
    """Columns that are those of a table; first those with names of their own.

    Args:
        table: Which.
        same: What is called there as in the view.
        of: What stands before the name in SQL.
        others: What is called otherwise: names in the view, and those in the table.
    """
    by_name = {column.name: column for column in table.columns}
    return {own: _copy(table, by_name[name], of) for own, name in (others | {name: name for name in same}).items()}


def _copy(table: Table, column: Column, of: str) -> CompatColumn:
    source = (f"{table.full_name}.{column.name}",)
    return CompatColumn(f"{of}{column.name}", column.sql_type, column.description, source, is_copy=True)


def _nothing(*names: str, sql_type: str = "VARCHAR") -> Columns:
    column = CompatColumn(f"NULL::{sql_type}", sql_type, "Always NULL: nothing stands behind it here.", ())
    return dict.fromkeys(names, column)


def _collected_at() -> CompatColumn:
    return CompatColumn(
        "c.collected_at",
        "TIMESTAMP",
        "When (UTC) the day was last collected whole.",
        (f"{COVERAGE}.collected_at",),
        is_copy=True,
    )


def _budgets(table: Table) -> Columns:
    return {name: _in_meta_units(table, name) for name in ("daily_budget", "lifetime_budget", "budget_remaining")}


def _in_meta_units(table: Table, column: str, sql_type: str = "BIGINT") -> CompatColumn:
    """Money as Meta gives it for entities: hundredths, or whole units of some currencies; NULL when the currency is unknown."""
    whole = ", ".join(literal(currency) for currency in sorted(WHOLE_UNIT_CURRENCIES))
    factor = f"CASE WHEN a.currency IN ({whole}) THEN 1 WHEN a.currency IS NOT NULL THEN 100 END"
    number = (
        f"({column} * (SELECT any_value({factor}) FROM main.{KNOWN_ACCOUNTS} AS a "
        "WHERE a.account_id = e.account_id))::BIGINT"
    )
    (described,) = (each.description for each in table.columns if each.name == column)
    text = described.replace("In major units of the account's currency.", "").strip()
    return CompatColumn(
        number if sql_type == "BIGINT" else f"({number})::{sql_type}",
        sql_type,
        f"{text} In Meta's own units: hundredths, or whole units of some currencies.",
        (f"{table.name}.{column}", f"{KNOWN_ACCOUNTS}.currency"),
        "Meta's units",
    )


def _json(table: Table, name: str) -> CompatColumn:
    column = _copies(table, name)[name]
    return CompatColumn(f"{name}::JSON", "JSON", column.description, column.sources)


def _url_tags() -> str:
    """`utm_source=facebook&utm_medium=cpc` as the JSON list of keys and values that Fivetran makes of it."""
    value = "array_to_string(string_split(x, '=')[2:], '=')"
    return (
        f"to_json([{{'key': split_part(x, '=', 1), 'value': {value}, 'type': 'AD'}} "
        "for x in string_split(nullif(url_tags, ''), '&')])::VARCHAR"
    )


def _object(table: Table, **parts: str) -> CompatColumn:
    items = ", ".join(f"{literal(name)}, {column}" for name, column in parts.items())
    first = next(iter(parts.values()))
    return CompatColumn(
        f"CASE WHEN {first} IS NOT NULL THEN json_object({items}) END",
        "JSON",
        f"A JSON object with {' and '.join(parts)}; NULL when there is none.",
        _sources(table, parts.values()),
    )


def _hash(table: Table, *names: str, of: str = "") -> CompatColumn:
    return CompatColumn(
        f"md5(concat_ws('|', {', '.join(f'{of}{name}' for name in names)}))",
        "VARCHAR",
        "Tells the row from others, and is the same after each sync.",
        _sources(table, names),
    )


def _sources(table: Table, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{table.name}.{name}" for name in names)


def _coverage_join(report: str, rows: str) -> str:
    """When the account's day was last collected."""
    return (
        f"LEFT JOIN {COVERAGE} AS c ON c.report = {literal(report)} "
        f"AND c.account_id = {rows}.account_id AND c.date_start = {rows}.date_start"
    )
