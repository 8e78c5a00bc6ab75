"""Accounts, campaigns, ad sets, ads and creatives as JSON, and the edges that list them.

Belongs here: fields of objects, default visibility by status, edge filters and pages. Does not belong here: routing.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from meta_insights_pipeline.simulator.auth import USER_ID
from meta_insights_pipeline.simulator.days import local_date, local_text, midnight, utc
from meta_insights_pipeline.simulator.errors import GraphError, invalid_parameter, not_one_of
from meta_insights_pipeline.simulator.filters import entity_mask, parse_filters
from meta_insights_pipeline.simulator.frames import Needs, Source, period_frame
from meta_insights_pipeline.simulator.paging import decode_cursor, encode_cursor
from meta_insights_pipeline.simulator.parameters import parse_bool, parse_limit, parse_list, split_fields
from meta_insights_pipeline.simulator.randomness import Ints, Mask
from meta_insights_pipeline.simulator.rendering import optimization_goal
from meta_insights_pipeline.simulator.structure import (
    ARCHIVED,
    ATTRIBUTIONS,
    DELETED,
    STATUS_NAMES,
    AccountGraph,
    EntityTable,
    creative_id_of,
)
from meta_insights_pipeline.simulator.world import Account, World

Fields = dict[str, "Fields"]

EDGE_LEVELS = {"campaigns": "campaign", "adsets": "adset", "ads": "ad", "adcreatives": "creative"}
_NODE_TYPES = {"account": "AdAccount", "campaign": "Campaign", "adset": "AdSet", "ad": "Ad", "creative": "AdCreative"}
_NEXT_STATUSES = ("IN_PROCESS", "WITH_ISSUES", "DISAPPROVED", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED")
_CREATIVE_TYPES = ("STATUS", "SHARE", "VIDEO", "PHOTO")
# Fields that Meta knows and for which nothing is drawn; they are left out of answers.
_EMPTY_FIELDS = frozenset(
    {
        "adlabels",
        "adset_schedule",
        "asset_score",
        "attribution_count_type",
        "bid_amount",
        "bid_constraints",
        "bid_info",
        "brand_lift_studies",
        "budget_rebalance_flag",
        "business_city",
        "business_country_code",
        "business_name",
        "can_use_spend_cap",
        "capabilities",
        "conversion_domain",
        "conversion_specs",
        "daily_min_spend_target",
        "daily_spend_cap",
        "demographic_link",
        "destination_type",
        "display_sequence",
        "end_advertiser",
        "end_time",
        "engagement_audience",
        "failed_delivery_checks",
        "funding_source",
        "has_advertiser_opted_in_odax",
        "image_hash",
        "instagram_user_id",
        "is_dynamic_creative",
        "is_personal",
        "issues_info",
        "last_updated_by_app_id",
        "lifetime_imps",
        "lifetime_min_spend_target",
        "lifetime_spend_cap",
        "line_number",
        "link_url",
        "media_agency",
        "min_campaign_group_spend_cap",
        "min_daily_budget",
        "multi_optimization_goal_weight",
        "object_id",
        "object_story_id",
        "object_story_spec",
        "object_url",
        "offsite_conversion_id",
        "optimization_sub_event",
        "pacing_type",
        "partner",
        "preview_shareable_link",
        "primary_promoted_object_id",
        "promoted_object",
        "recommendations",
        "recurring_budget_semantics",
        "review_feedback",
        "rf_prediction_id",
        "smart_promotion_type",
        "source_ad",
        "source_ad_id",
        "source_adset",
        "source_adset_id",
        "source_campaign",
        "source_campaign_id",
        "special_ad_category",
        "special_ad_category_country",
        "spend_cap",
        "stop_time",
        "targeting",
        "targeting_optimization_types",
        "tax_id",
        "template_url",
        "time_based_ad_rotation_id_blocks",
        "topline_id",
        "tracking_specs",
        "url_tags",
        "use_new_app_click",
        "user_tasks",
        "video_id",
        "view_through_rate",
    }
)


@dataclass(frozen=True)
class View:
    """One account at one recomputation step."""

    world: World
    account: Account
    at: int
    graph: AccountGraph = field(repr=False)

    def text(self, moment: int) -> str:
        """Return a unix second in the account's own time."""
        return local_text(self.account.timezone_name, moment)


def view(world: World, account: Account, at: int) -> View:
    """Return an account at a step."""
    return View(world, account, at, world.graph(account.id))


def parse_fields(text: str | None) -> Fields:
    """Read `fields` of an object, which may nest: `id,creative{id,name}`."""
    names = parse_list(text, "fields") if text and text.lstrip().startswith("[") else split_fields(text or "")
    fields: Fields = {}
    for name in names:
        head, _, rest = name.strip().partition("{")
        if head:
            fields[head.partition(".")[0]] = parse_fields(rest.removesuffix("}"))
    return fields


def account_object(shown: View, fields: Fields) -> dict[str, Any]:
    """Return an ad account."""
    account = shown.account
    wanted = fields or {"account_id": {}}
    offset = utc(shown.at).astimezone(ZoneInfo(account.timezone_name)).utcoffset()
    hours = offset.total_seconds() / 3600 if offset is not None else 0.0
    getters: dict[str, Callable[[], Any]] = {
        "id": lambda: f"act_{account.id}",
        "account_id": lambda: account.id,
        "name": lambda: account.name,
        "account_status": lambda: account.status,
        "disable_reason": lambda: 0,
        "currency": lambda: account.currency,
        "timezone_id": lambda: account.timezone_id,
        "timezone_name": lambda: account.timezone_name,
        "timezone_offset_hours_utc": lambda: int(hours) if hours.is_integer() else hours,
        "created_time": lambda: shown.text(midnight(account.timezone_name, account.created.toordinal()) + 36_000),
        "age": lambda: (local_date(account.timezone_name, shown.at) - account.created).days,
        "business": lambda: {"id": f"9{account.id[:14]}", "name": account.name},
        "owner": lambda: f"9{account.id[:14]}",
        "amount_spent": lambda: str(_amount_spent(shown)),
        "balance": lambda: "0",
        "spend_cap": lambda: "0",
        "is_prepay_account": lambda: False,
    }
    return {**_filled(getters, wanted, "account"), "id": f"act_{account.id}"}


def entity_object(shown: View, level: str, place: int, fields: Fields) -> dict[str, Any]:
    """Return a campaign, ad set, ad or creative; a creative stands at the place of its ad."""
    graph, at = shown.graph, shown.at
    table = graph.table("ad" if level == "creative" else level)
    entity_id = creative_id_of(table.ids[place]) if level == "creative" else table.ids[place]
    getters: dict[str, Callable[[], Any]] = {
        "id": lambda: entity_id,
        "account_id": lambda: shown.account.id,
        "account": lambda: account_object(shown, {"account_id": {}}),
        "name": lambda: table.name(place, at),
        "status": lambda: STATUS_NAMES[table.own_status(at)[place]],
        "configured_status": lambda: STATUS_NAMES[table.own_status(at)[place]],
        "effective_status": lambda: STATUS_NAMES[_statuses(shown, level)[place]],
        "created_time": lambda: shown.text(int(table.created[place])),
        "updated_time": lambda: shown.text(table.updated(place, at)),
        **_LEVEL_GETTERS[level](shown, place, fields),
    }
    return {**_filled(getters, fields, level), "id": entity_id}


def _campaign_getters(shown: View, place: int, _: Fields) -> dict[str, Callable[[], Any]]:
    graph, table = shown.graph, shown.graph.campaigns
    return {
        "objective": lambda: graph.objectives[place],
        "buying_type": lambda: "AUCTION",
        "bid_strategy": lambda: "LOWEST_COST_WITHOUT_CAP",
        "special_ad_categories": list,
        "daily_budget": lambda: str(_budget(shown, table, place)),
        "start_time": lambda: _start_time(shown, table, place),
        "budget_remaining": lambda: "0",
    }


def _adset_getters(shown: View, place: int, fields: Fields) -> dict[str, Callable[[], Any]]:
    graph, table = shown.graph, shown.graph.adsets
    campaign = int(table.parent[place])
    return {
        "campaign_id": lambda: graph.campaigns.ids[campaign],
        "campaign": lambda: entity_object(shown, "campaign", campaign, fields["campaign"]),
        "optimization_goal": lambda: optimization_goal(graph.objectives[campaign]),
        "billing_event": lambda: "IMPRESSIONS",
        "attribution_spec": lambda: _attribution_spec(int(graph.attribution[place])),
        "daily_budget": lambda: str(_budget(shown, table, place)),
        "lifetime_budget": lambda: "0",
        "budget_remaining": lambda: "0",
        "start_time": lambda: _start_time(shown, table, place),
        "targeting": lambda: {"age_min": 18, "age_max": 65, "geo_locations": {"countries": ["US"]}},
    }


def _ad_getters(shown: View, place: int, fields: Fields) -> dict[str, Callable[[], Any]]:
    graph, table = shown.graph, shown.graph.ads
    adset, campaign = int(table.parent[place]), int(graph.campaign_of_ad[place])
    return {
        "adset_id": lambda: graph.adsets.ids[adset],
        "campaign_id": lambda: graph.campaigns.ids[campaign],
        "adset": lambda: entity_object(shown, "adset", adset, fields["adset"]),
        "campaign": lambda: entity_object(shown, "campaign", campaign, fields["campaign"]),
        "creative": lambda: entity_object(shown, "creative", place, fields["creative"]),
        "bid_type": lambda: "ABSOLUTE_OCPM",
        "ad_active_time": lambda: "0",
    }


def _creative_getters(shown: View, place: int, _: Fields) -> dict[str, Callable[[], Any]]:
    graph = shown.graph
    kind = "VIDEO" if bool(graph.video[place]) else _CREATIVE_TYPES[place % 2]
    return {
        "title": lambda: f"Title of {graph.ads.first_names[place]}",
        "body": lambda: f"See more: {graph.ads.first_names[place]}",
        "object_type": lambda: kind,
        "call_to_action_type": lambda: "SHOP_NOW",
        "thumbnail_url": lambda: f"https://example.com/thumbnails/{graph.ads.ids[place]}.jpg",
        "image_url": lambda: f"https://example.com/images/{graph.ads.ids[place]}.jpg",
        "actor_id": lambda: USER_ID,
        "effective_object_story_id": lambda: f"{USER_ID}_{graph.ads.ids[place]}",
    }


_LEVEL_GETTERS = {
    "campaign": _campaign_getters,
    "adset": _adset_getters,
    "ad": _ad_getters,
    "creative": _creative_getters,
}


def _filled(getters: Mapping[str, Callable[[], Any]], fields: Fields, level: str) -> dict[str, Any]:
    answer = {}
    for name in fields:
        if name in getters:
            answer[name] = getters[name]()
        elif name not in _EMPTY_FIELDS:
            text = f"(#100) Tried accessing nonexisting field ({name}) on node type ({_NODE_TYPES[level]})"
            raise GraphError(text, 100)
    return answer


# ---- edges ----


@dataclass(frozen=True)
class EdgePage:
    """One page of an edge."""

    data: list[dict[str, Any]]
    cursors: tuple[str, str] | None
    more: bool
    earlier: bool
    summary: dict[str, Any] | None


def entity_edge(shown: View, edge: str, parent: tuple[str, int] | None, params: Mapping[str, str]) -> EdgePage:
    """Return a page of campaigns, ad sets, ads or creatives of an account or of a parent `(level, place)`."""
    level = EDGE_LEVELS[edge]
    stored = "ad" if level == "creative" else level
    table = shown.graph.table(stored)
    mask = table.existing(shown.at) & _visible(shown, stored, params)
    if parent is not None:
        mask &= _below(shown.graph, stored, *parent)
    for condition in parse_filters(params.get("filtering"), stored):
        if condition.level != stored:
            raise invalid_parameter(
                f"Filtering field '{condition.attribute}' is not supported on this edge", "filtering"
            )
        mask &= entity_mask(shown.graph, condition, shown.at)
    fields = parse_fields(params.get("fields"))
    places = np.flatnonzero(mask)
    keys = table.keys[places].astype(np.int64)
    first, last = _keyset(keys, params)
    data = [entity_object(shown, level, place, fields) for place in places[first:last].tolist()]
    return _edge_page(data, keys, first, last, params)


def account_edge(world: World, at: int, params: Mapping[str, str]) -> EdgePage:
    """Return a page of the accounts that a token may read."""
    fields = parse_fields(params.get("fields"))
    keys = np.arange(len(world.accounts), dtype=np.int64)
    first, last = _keyset(keys, params)
    data = [account_object(view(world, account, at), fields) for account in world.accounts[first:last]]
    return _edge_page(data, keys, first, last, params)


def _keyset(keys: Ints, params: Mapping[str, str]) -> tuple[int, int]:
    """Return the places of a page; cursors hold ids, so that new objects do not move the pages that follow."""
    limit = parse_limit(params.get("limit"))
    if params.get("after"):
        first = int(np.searchsorted(keys, decode_cursor(params["after"]), side="right"))
    elif params.get("before"):
        last = int(np.searchsorted(keys, decode_cursor(params["before"]), side="left"))
        return max(0, last - limit), last
    else:
        first = 0
    return first, min(first + limit, len(keys))


def _edge_page(data: list[dict[str, Any]], keys: Ints, first: int, last: int, params: Mapping[str, str]) -> EdgePage:
    cursors = (encode_cursor(int(keys[first])), encode_cursor(int(keys[last - 1]))) if data else None
    asked = params.get("summary", "")
    summary = {"total_count": len(keys)} if parse_bool(asked) or "total_count" in asked else None
    return EdgePage(data, cursors, more=last < len(keys), earlier=first > 0, summary=summary)


def count_with_status(shown: View, level: str, status: int) -> int:
    """Return how many existing entities of a level have an effective status."""
    existing = shown.graph.table(level).existing(shown.at)
    return int(np.count_nonzero(existing & (_statuses(shown, level) == status)))


def _statuses(shown: View, level: str) -> Ints:
    return _statuses_at(
        shown.graph.spec.account_id, _Held(shown.graph), "ad" if level == "creative" else level, shown.at
    )


class _Held:
    """A graph as a part of a cache key that stands for the graph itself."""

    def __init__(self, graph: AccountGraph) -> None:
        self.graph = graph

    def __hash__(self) -> int:
        return id(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.graph is self.graph


@functools.lru_cache(maxsize=64)
def _statuses_at(_: str, held: _Held, level: str, at: int) -> Ints:
    return held.graph.effective_status(level, at)


def _visible(shown: View, level: str, params: Mapping[str, str]) -> Mask:
    """Return what an edge may list: never what is deleted, and what is archived only if a status is asked for."""
    status = _statuses(shown, level)
    wanted = parse_list(params.get("effective_status"), "effective_status")
    allowed = (*STATUS_NAMES, *_NEXT_STATUSES)
    for place, name in enumerate(wanted):
        if name not in allowed:
            raise not_one_of(f"effective_status[{place}]", allowed)
    if wanted:
        codes = np.array([STATUS_NAMES.index(name) for name in wanted if name in STATUS_NAMES], dtype=np.int64)
        listed: Mask = np.isin(status, codes) & (status != DELETED)
        return listed
    conditions = parse_filters(params.get("filtering"), level)
    asked = any("status" in condition.attribute or condition.attribute == "delivery_info" for condition in conditions)
    hidden = np.array((DELETED,) if asked else (DELETED, ARCHIVED), dtype=np.int64)
    return np.isin(status, hidden, invert=True)


def _below(graph: AccountGraph, level: str, parent_level: str, parent: int) -> Mask:
    """Return which entities of a level are, or belong to, one entity."""
    table = graph.table(level)
    above = np.arange(len(table)) if level == parent_level else table.parent
    if level == "ad" and parent_level == "campaign":
        above = graph.campaign_of_ad
    below: Mask = above == parent
    return below


# ---- values ----


def _budget(shown: View, table: EntityTable, place: int) -> int:
    """Return a daily budget in minor units."""
    amount = 1000 + int(table.keys[place]) // 7919 % 40 * 500
    return amount if shown.account.decimals else amount // 10 * 10


def _start_time(shown: View, table: EntityTable, place: int) -> str:
    return shown.text(midnight(shown.account.timezone_name, int(table.start_day[place])))


def _attribution_spec(code: int) -> list[dict[str, Any]]:
    spec = [{"event_type": "CLICK_THROUGH", "window_days": 1 if ATTRIBUTIONS[code] == "1d_click" else 7}]
    if ATTRIBUTIONS[code].endswith("1d_view"):
        spec.append({"event_type": "VIEW_THROUGH", "window_days": 1})
    return spec


def _amount_spent(shown: View) -> int:
    """Return all money spent so far in minor units, month by month; past months are remembered."""
    first = int(shown.graph.ads.start_day.min())
    today = local_date(shown.account.timezone_name, shown.at).toordinal()
    total = 0
    for begin in range(first, today + 1, 30):
        end = begin + 29
        settled = end + 5 < today
        at = midnight(shown.account.timezone_name, end + 5) if settled else shown.at
        total += _spent(_Held(shown.graph), shown.account.currency, begin, min(end, today), at)
    return total


@functools.lru_cache(maxsize=4096)
def _spent(held: _Held, currency: str, first: int, last: int, at: int) -> int:
    graph = held.graph
    ads = np.arange(len(graph.ads), dtype=np.int64)
    source = Source(graph, currency, ads, "account", at)
    frame = period_frame(source, first, last, Needs(frozenset({"impressions", "spend"})))
    return int(frame.scalars["spend"].sum())
