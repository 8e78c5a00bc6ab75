"""Views in the shape of other connectors' tables, so that models and dashboards that were written for them read this warehouse.

`fivetran_compat` has the names and columns of Fivetran's Facebook Ads tables that `dbt_facebook_ads` reads, `airbyte_compat`
those of Airbyte's streams. A column that has nothing behind it here is NULL. Budgets are in Meta's own units, as both
connectors pass them on: hundredths, or whole units for some currencies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meta_insights_pipeline.catalog.entities import WHOLE_UNIT_CURRENCIES, EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import ACTION_LISTS
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.mart_columns import KNOWN_ACCOUNTS, facts_of
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, entity_history_table, entity_table
from meta_insights_pipeline.warehouse.sql import literal

FIVETRAN = "fivetran_compat"
AIRBYTE = "airbyte_compat"
_TEXT, _NUMBER = "NULL::VARCHAR", "NULL::BIGINT"
_SPEC = "nullif(object_story_spec, '')"


@dataclass(frozen=True)
class CompatView:
    """One view."""

    schema: str
    name: str
    columns: Mapping[str, str]
    """Expressions by column."""
    source: str
    """What stands behind FROM; it names schemas, and no database."""
    description: str

    def create_statements(self, database: str) -> list[str]:
        """Make it with its comment, in place of an earlier one, while `database` is the default one."""
        name = f'"{database}"."{self.schema}"."{self.name}"'
        columns = ", ".join(f'{expression} AS "{column}"' for column, expression in self.columns.items())
        return [
            f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {self.source}",
            f"COMMENT ON VIEW {name} IS {literal(self.description)}",
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
    account = {
        "id": "account_id",
        "_fivetran_synced": "last_seen_at",
        "name": "name",
        "account_status": "status",
        "business_country_code": _TEXT,
        "business_state": _TEXT,
        "created_time": "created_time",
        "currency": "currency",
        "timezone_name": "timezone_name",
        "timezone_offset_hours_utc": "timezone_offset_hours_utc",
        "min_daily_budget": _NUMBER,
    }
    campaign = {
        "id": "campaign_id",
        **_shared("updated_time", "created_time"),
        **_same(
            "account_id", "name", "start_time", "stop_time", "status", "effective_status", "objective", "buying_type"
        ),
        **_same("bid_strategy"),
        **_budgets(),
    }
    adset = {
        "id": "adset_id",
        **_shared("updated_time", "created_time"),
        **_same("account_id", "campaign_id", "name", "start_time", "end_time", "bid_strategy", "status"),
        **_same("effective_status", "optimization_goal", "billing_event"),
        **_budgets(),
    }
    ad = {
        "id": "ad_id",
        **_shared("updated_time", "created_time"),
        "account_id": "account_id",
        "ad_set_id": "adset_id",
        **_same("campaign_id", "creative_id", "name", "status", "effective_status", "conversion_domain"),
    }
    link = f"{_SPEC} ->> '$.link_data."
    creative = {
        "_fivetran_id": _hash("account_id", "creative_id"),
        "_fivetran_synced": "last_seen_at",
        "id": "creative_id",
        **_same(
            "account_id", "name", "status", "title", "body", "image_url", "thumbnail_url", "video_id", "object_type"
        ),
        "page_link": f"coalesce(link_url, {link}link')",
        "template_page_link": f"{_SPEC} ->> '$.template_data.link'",
        "url_tags": _url_tags(),
        "asset_feed_spec_link_urls": _TEXT,
        **{
            f"object_story_link_data_{part}": f"{link}{part}'"
            for part in ("child_attachments", "caption", "description", "link", "message")
        },
        **{f"template_app_link_spec_{system}": _TEXT for system in ("android", "ios", "ipad", "iphone")},
    }
    return [
        _fivetran("account_history", account, EntityKind.AD_ACCOUNTS, by_time=False),
        _fivetran("campaign_history", campaign, EntityKind.CAMPAIGNS),
        _fivetran("ad_set_history", adset, EntityKind.ADSETS),
        _fivetran("ad_history", ad, EntityKind.ADS),
        _fivetran("creative_history", creative, EntityKind.CREATIVES, by_time=False),
    ]


def _fivetran(name: str, columns: Mapping[str, str], kind: EntityKind, *, by_time: bool = True) -> CompatView:
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
        versions += f" QUALIFY row_number() OVER (PARTITION BY {key}, {_updated('e')} ORDER BY e.valid_from DESC) = 1"
    return CompatView(
        FIVETRAN, name, columns, versions, f"The versions of each {kind.noun}, in the shape of Fivetran's {name}."
    )


def _updated(entity: str) -> str:
    return f"coalesce({entity}.updated_time, {entity}.valid_from)"


def _shared(*names: str) -> dict[str, str]:
    texts = {"updated_time": _updated("e"), "created_time": "created_time"}
    return {**{name: texts[name] for name in names}, "_fivetran_synced": "last_seen_at"}


def _fivetran_reports() -> list[CompatView]:
    return [
        _basic("basic_ad", Level.AD, _same("ad_id", "ad_name", "adset_name", "campaign_name")),
        _basic("basic_ad_set", Level.ADSET, _same("adset_id", "adset_name", "campaign_name")),
        _basic("basic_campaign", Level.CAMPAIGN, _same("campaign_id", "campaign_name")),
        _basic_actions("basic_ad_actions", "actions"),
        _basic_actions("basic_ad_action_values", "action_values"),
    ]


def _basic(name: str, level: Level, own: Mapping[str, str]) -> CompatView:
    keys = dict.fromkeys(("account_id", level.id_field, "date_start"))
    columns = {
        "_fivetran_id": _hash(*(f"f.{key}" for key in keys)),
        "_fivetran_synced": "c.collected_at",
        "date": "f.date_start",
        "account_id": "f.account_id",
        **{column: f"f.{expression}" for column, expression in own.items()},
        **{
            metric: f"f.{metric}"
            for metric in ("impressions", "inline_link_clicks", "reach", "spend", "cpc", "cpm", "ctr", "frequency")
        },
        "cost_per_inline_link_click": "f.spend::DOUBLE / nullif(f.inline_link_clicks, 0)",
        "inline_link_click_ctr": "100 * f.inline_link_clicks::DOUBLE / nullif(f.impressions, 0)",
    }
    facts = facts_of(level)
    return CompatView(
        FIVETRAN,
        name,
        columns,
        f"main.{facts} AS f {_coverage_join(facts, 'f')}",
        f"The insights by {level.value} and day, in the shape of Fivetran's {name}.",
    )


def _basic_actions(name: str, field: str) -> CompatView:
    columns = {
        "_fivetran_id": _hash("i.account_id", "i.entity_id", "i.date_start"),
        "index": "row_number() OVER (PARTITION BY i.account_id, i.entity_id, i.date_start ORDER BY i.action_type) - 1",
        "_fivetran_synced": "c.collected_at",
        "ad_id": "i.entity_id",
        "date": "i.date_start",
        "action_type": "i.action_type",
        "value": "i.value",
        "inline": "NULL::DOUBLE",
        **{_fivetran_window(window): f"i.{windows()[window].column}" for window in default_windows()},
    }
    return CompatView(
        FIVETRAN,
        name,
        columns,
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
    account = {
        "id": "'act_' || account_id",
        **_same("account_id", "name", "account_status", "currency", "timezone_name", "timezone_offset_hours_utc"),
        **_same("created_time", "disable_reason", "is_prepay_account"),
        "business": _object(id="business_id", name="business_name"),
        **{name: f"({_in_meta_units(name)})::VARCHAR" for name in ("amount_spent", "balance", "spend_cap")},
    }
    campaign = {
        "id": "campaign_id",
        **_same("account_id", "name", "effective_status", "objective", "buying_type", "bid_strategy"),
        **_same("start_time", "stop_time", "created_time", "updated_time"),
        **_budgets(),
    }
    adset = {
        "id": "adset_id",
        **_same("account_id", "campaign_id", "name", "effective_status", "bid_strategy"),
        **_same("start_time", "end_time", "created_time", "updated_time"),
        "bid_amount": _in_meta_units("bid_amount"),
        "promoted_object": "promoted_object::JSON",
        "targeting": "targeting::JSON",
        **_budgets(),
    }
    ad = {
        "id": "ad_id",
        **_same("account_id", "campaign_id", "adset_id", "name", "status", "effective_status"),
        "creative": _object(id="creative_id"),
        **_same("created_time", "updated_time"),
    }
    creative = {
        "id": "creative_id",
        **_same("account_id", "name", "status", "title", "body", "object_type", "call_to_action_type", "link_url"),
        **_same("image_url", "thumbnail_url", "video_id", "url_tags", "effective_object_story_id"),
        "object_story_spec": "object_story_spec::JSON",
    }
    return [
        _airbyte("ad_account", account, EntityKind.AD_ACCOUNTS),
        _airbyte("campaigns", campaign, EntityKind.CAMPAIGNS),
        _airbyte("ad_sets", adset, EntityKind.ADSETS),
        _airbyte("ads", ad, EntityKind.ADS),
        _airbyte("ad_creatives", creative, EntityKind.CREATIVES),
    ]


def _airbyte(name: str, columns: Mapping[str, str], kind: EntityKind) -> CompatView:
    return CompatView(
        AIRBYTE,
        name,
        {**columns, **_airbyte_meta([f"e.{key}" for key in kind.key], "e.last_seen_at")},
        f"main.{entity_table(kind).name} AS e",
        f"Each {kind.noun} as it is now, in the shape of Airbyte's stream {name}.",
    )


def _airbyte_insights() -> CompatView:
    facts, key = facts_of(Level.AD), ("account_id", "ad_id", "date_start")
    columns = {
        **{name: f"f.{name}" for name in ("date_start", "account_id", "account_name", "account_currency")},
        "date_stop": "f.date_start",
        **{
            name: f"f.{name}" for name in ("campaign_id", "campaign_name", "adset_id", "adset_name", "ad_id", "ad_name")
        },
        **{name: f"f.{name}" for name in ("objective", "attribution_setting")},
        **{name: f"f.{name}" for name in ("impressions", "clicks", "inline_link_clicks", "reach", "spend")},
        **{name: f"f.{name}" for name in ("cpc", "cpm", "cpp", "ctr", "frequency")},
        "cost_per_inline_link_click": "f.spend::DOUBLE / nullif(f.inline_link_clicks, 0)",
        "inline_link_click_ctr": "100 * f.inline_link_clicks::DOUBLE / nullif(f.impressions, 0)",
        **{field: f"l.{field}" for field in ACTION_LISTS},
        **_airbyte_meta([f"f.{name}" for name in key], "c.collected_at"),
    }
    lists = ", ".join(
        f"to_json(list({_action()} ORDER BY action_type) FILTER (field = {literal(field)})) AS {field}"
        for field in ACTION_LISTS
    )
    source = (
        f"main.{facts} AS f {_coverage_join(facts, 'f')} LEFT JOIN (SELECT account_id, entity_id, date_start, {lists} "
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


def _airbyte_meta(key: Sequence[str], extracted: str) -> dict[str, str]:
    return {
        "_airbyte_raw_id": _hash(*key),
        "_airbyte_extracted_at": extracted,
        "_airbyte_meta": "'{}'::JSON",
    }


# ---- pieces of SQL ----


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _budgets() -> dict[str, str]:
    return {name: _in_meta_units(name) for name in ("daily_budget", "lifetime_budget", "budget_remaining")}


def _in_meta_units(column: str) -> str:
    """Money as Meta gives it for entities: hundredths, or whole units of some currencies; NULL when the currency is unknown."""
    whole = ", ".join(literal(currency) for currency in sorted(WHOLE_UNIT_CURRENCIES))
    factor = f"CASE WHEN a.currency IN ({whole}) THEN 1 WHEN a.currency IS NOT NULL THEN 100 END"
    return (
        f"({column} * (SELECT any_value({factor}) FROM main.{KNOWN_ACCOUNTS} AS a "
        "WHERE a.account_id = e.account_id))::BIGINT"
    )


def _url_tags() -> str:
    """`utm_source=facebook&utm_medium=cpc` as the JSON list of keys and values that Fivetran makes of it."""
    value = "array_to_string(string_split(x, '=')[2:], '=')"
    return (
        f"to_json([{{'key': split_part(x, '=', 1), 'value': {value}, 'type': 'AD'}} "
        "for x in string_split(nullif(url_tags, ''), '&')])::VARCHAR"
    )


def _object(**parts: str) -> str:
    items = ", ".join(f"{literal(name)}, {expression}" for name, expression in parts.items())
    first = next(iter(parts.values()))
    return f"CASE WHEN {first} IS NOT NULL THEN json_object({items}) END"


def _hash(*parts: str) -> str:
    return f"md5(concat_ws('|', {', '.join(parts)}))"


def _coverage_join(report: str, rows: str) -> str:
    """When the account's day was last collected."""
    return (
        f"LEFT JOIN pipeline.coverage AS c ON c.report = {literal(report)} "
        f"AND c.account_id = {rows}.account_id AND c.date_start = {rows}.date_start"
    )
