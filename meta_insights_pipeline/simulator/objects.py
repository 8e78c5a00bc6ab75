"""Accounts, campaigns, ad sets, ads and creatives as JSON.

Belongs here: fields of objects. Does not belong here: which objects an edge lists (`edges`), routing, and what objects
are set to (`edits`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from meta_insights_pipeline.simulator.auth import USER_ID
from meta_insights_pipeline.simulator.days import local_date, local_text, midnight, utc
from meta_insights_pipeline.simulator.edits import AccountEdits
from meta_insights_pipeline.simulator.errors import GraphError
from meta_insights_pipeline.simulator.object_fields import NODE_TYPES, OBJECT_FIELDS
from meta_insights_pipeline.simulator.parameters import parse_list, split_fields
from meta_insights_pipeline.simulator.rendering import optimization_goal
from meta_insights_pipeline.simulator.states import ACTIVE_STANDING, Standing
from meta_insights_pipeline.simulator.structure import ATTRIBUTIONS, STATUS_NAMES, AccountGraph
from meta_insights_pipeline.simulator.world import Account, World

Fields = dict[str, "Fields"]
Getters = dict[str, Callable[[], Any]]

_EVENTS = {"OUTCOME_SALES": "PURCHASE", "OUTCOME_LEADS": "LEAD"}


@dataclass(frozen=True)
class View:
    """One account at one recomputation step."""

    world: World
    account: Account
    at: int
    graph: AccountGraph = field(repr=False)
    edits: AccountEdits = field(repr=False)
    standing: Standing = ACTIVE_STANDING

    def text(self, moment: int) -> str:
        """Return a unix second in the account's own time."""
        return local_text(self.account.timezone_name, moment)

    def midnight(self, day: int) -> str:
        """Return the moment at which a day of the account begins, by its ordinal."""
        return self.text(midnight(self.account.timezone_name, day))


def view(world: World, account: Account, at: int, standing: Standing = ACTIVE_STANDING) -> View:
    """Return an account at a step."""
    return View(world, account, at, world.graph(account.id), world.edits(account.id), standing)


def parse_fields(text: str | None) -> Fields:
    """Read `fields` of an object, which may nest: `id,creative{id,name}`."""
    is_json = text is not None and text.lstrip().startswith("[")
    names = parse_list(text, "fields") if is_json else list(split_fields(text or ""))
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
    getters: Getters = {
        "id": lambda: f"act_{account.id}",
        "account_id": lambda: account.id,
        "name": lambda: account.name,
        "account_status": lambda: shown.standing.status,
        "disable_reason": lambda: shown.standing.disable_reason,
        "currency": lambda: account.currency,
        "timezone_id": lambda: account.timezone_id,
        "timezone_name": lambda: account.timezone_name,
        "timezone_offset_hours_utc": lambda: int(hours) if hours.is_integer() else hours,
        "created_time": lambda: shown.text(midnight(account.timezone_name, account.created.toordinal()) + 36_000),
        "age": lambda: (local_date(account.timezone_name, shown.at) - account.created).days,
        "business": lambda: {"id": f"9{account.id[:14]}", "name": account.name},
        "owner": lambda: f"9{account.id[:14]}",
        "amount_spent": lambda: str(shown.world.spending(account.id).of_account(shown.at)),
        "balance": lambda: "0",
        "spend_cap": lambda: "0",
        "is_prepay_account": lambda: False,
    }
    return {**_filled(getters, wanted, "account"), "id": f"act_{account.id}"}


def entity_object(shown: View, level: str, place: int, fields: Fields) -> dict[str, Any]:
    """Return a campaign, ad set or ad by its place in the table of its level, or a creative by its place among them."""
    if level == "creative":
        entity_id = shown.edits.creatives.ids[place]
        return {**_filled(_creative_getters(shown, place), fields, level), "id": entity_id}
    graph, at = shown.graph, shown.at
    table = graph.table(level)
    getters: Getters = {
        "id": lambda: table.ids[place],
        "account_id": lambda: shown.account.id,
        "account": lambda: account_object(shown, {"account_id": {}}),
        "name": lambda: table.name(place, at),
        "status": lambda: STATUS_NAMES[table.status_of(place, at)],
        "configured_status": lambda: STATUS_NAMES[table.status_of(place, at)],
        "effective_status": lambda: STATUS_NAMES[graph.effective_status(level, at)[place]],
        "created_time": lambda: shown.text(int(table.created[place])),
        "updated_time": lambda: shown.text(shown.edits.updated_of(level, place, at)),
        **_LEVEL_GETTERS[level](shown, place, fields),
    }
    return {**_filled(getters, fields, level), "id": table.ids[place]}


def _campaign_getters(shown: View, place: int, _: Fields) -> Getters:
    graph, table = shown.graph, shown.graph.campaigns
    values = shown.edits.history("campaign", place).at(shown.at)
    getters: Getters = {
        "objective": lambda: graph.objectives[place],
        "buying_type": lambda: "AUCTION",
        "bid_strategy": lambda: values["bid_strategy"],
        "special_ad_categories": lambda: values["special_ad_categories"],
        "start_time": lambda: shown.midnight(int(table.start_day[place])),
        "stop_time": lambda: shown.midnight(int(table.stop_day[place]) + 1) if _is_lifetime(values) else None,
        "daily_budget": lambda: None,
        "lifetime_budget": lambda: None,
        "budget_remaining": lambda: _budget_remaining(shown, "campaign", place, values),
    }
    if values["budget_kind"]:
        getters[f"{values['budget_kind']}_budget"] = lambda: str(values["budget"])
    return getters


def _adset_getters(shown: View, place: int, fields: Fields) -> Getters:
    graph, table = shown.graph, shown.graph.adsets
    campaign = int(table.parent[place])
    values = shown.edits.history("adset", place).at(shown.at)
    whole = shown.edits.history("campaign", campaign).first
    getters: Getters = {
        "campaign_id": lambda: graph.campaigns.ids[campaign],
        "campaign": lambda: entity_object(shown, "campaign", campaign, fields["campaign"]),
        "optimization_goal": lambda: optimization_goal(graph.objectives[campaign]),
        "billing_event": lambda: values["billing_event"],
        "bid_strategy": lambda: values["bid_strategy"],
        "bid_amount": lambda: values["bid_amount"],
        "attribution_spec": lambda: _attribution_spec(int(graph.attribution[place])),
        "promoted_object": lambda: _promoted_object(shown, graph.objectives[campaign]),
        "daily_budget": lambda: _adset_budget(values, "daily"),
        "lifetime_budget": lambda: _adset_budget(values, "lifetime"),
        "budget_remaining": lambda: _budget_remaining(shown, "adset", place, values),
        "start_time": lambda: shown.midnight(int(table.start_day[place])),
        "end_time": lambda: (
            shown.midnight(int(table.stop_day[place]) + 1) if _is_lifetime(values) or _is_lifetime(whole) else None
        ),
        "targeting": lambda: values["targeting"],
    }
    return getters


def _ad_getters(shown: View, place: int, fields: Fields) -> Getters:
    graph, table = shown.graph, shown.graph.ads
    adset, campaign = int(table.parent[place]), int(graph.campaign_of_ad[place])
    event = _EVENTS.get(graph.objectives[campaign])
    return {
        "adset_id": lambda: graph.adsets.ids[adset],
        "campaign_id": lambda: graph.campaigns.ids[campaign],
        "adset": lambda: entity_object(shown, "adset", adset, fields["adset"]),
        "campaign": lambda: entity_object(shown, "campaign", campaign, fields["campaign"]),
        "creative": lambda: entity_object(
            shown, "creative", shown.edits.creative_of(place, shown.at), fields["creative"]
        ),
        "bid_type": lambda: "ABSOLUTE_OCPM",
        "conversion_domain": lambda: "example.com" if event else None,
        "tracking_specs": lambda: [{"action.type": ["offsite_conversion"], "fb_pixel": [shown.edits.pixel_id]}],
        "conversion_specs": lambda: (
            [{"action.type": [f"offsite_conversion.fb_pixel_{event.lower()}"]}] if event else None
        ),
        "ad_active_time": lambda: "0",
    }


def _creative_getters(shown: View, place: int) -> Getters:
    creatives, at = shown.edits.creatives, shown.at
    content = shown.edits.creative_content(place)
    getters: Getters = {
        "id": lambda: creatives.ids[place],
        "account_id": lambda: shown.account.id,
        "name": lambda: content["second_name" if creatives.renamed[place] <= at else "first_name"],
        "status": lambda: "DELETED" if creatives.deleted[place] <= at else "ACTIVE",
        "title": lambda: content["title"],
        "body": lambda: content["body"],
        "object_type": lambda: content["object_type"],
        "call_to_action_type": lambda: content["button"],
        "link_url": lambda: None if content["video_id"] else content["url"],
        "url_tags": lambda: content["url_tags"],
        "thumbnail_url": lambda: content["thumbnail"],
        "image_url": lambda: content["image"],
        "video_id": lambda: content["video_id"],
        "object_story_spec": lambda: _story(content),
        "actor_id": lambda: USER_ID,
        "effective_object_story_id": lambda: content["story_id"],
    }
    return getters


_LEVEL_GETTERS: dict[str, Callable[[View, int, Fields], Getters]] = {
    "campaign": _campaign_getters,
    "adset": _adset_getters,
    "ad": _ad_getters,
}


def _filled(getters: Mapping[str, Callable[[], Any]], fields: Fields, level: str) -> dict[str, Any]:
    """Return the fields asked for; what has no value, or nothing is drawn for, is left out."""
    answer = {}
    for name in fields:
        if name in getters:
            value = getters[name]()
            if value is not None:
                answer[name] = value
        elif name not in OBJECT_FIELDS[level]:
            raise unknown_object_field(name, level)
    return answer


def unknown_object_field(name: str, level: str) -> GraphError:
    """Return the error for a field or an edge that objects of a level do not have."""
    return GraphError(f"(#100) Tried accessing nonexisting field ({name}) on node type ({NODE_TYPES[level]})", 100)


# ---- values ----


def _is_lifetime(values: Mapping[str, Any]) -> bool:
    return bool(values["budget_kind"] == "lifetime")


def _adset_budget(values: Mapping[str, Any], kind: str) -> str | None:
    """Return a budget of an ad set: "0" for the kind that it does not use, nothing where the campaign has the budget."""
    if not values["budget_kind"]:
        return None
    return str(values["budget"]) if values["budget_kind"] == kind else "0"


def _budget_remaining(shown: View, level: str, place: int, values: Mapping[str, Any]) -> str:
    """Return what is left of today's budget, or of that for the whole life."""
    if not values["budget_kind"]:
        return "0"
    spending = shown.world.spending(shown.account.id)
    spent = (spending.in_life if _is_lifetime(values) else spending.today)(level, place, shown.at)
    return str(max(0, values["budget"] - spent))


def _promoted_object(shown: View, objective: str) -> dict[str, str] | None:
    if objective in _EVENTS:
        return {"pixel_id": shown.edits.pixel_id, "custom_event_type": _EVENTS[objective]}
    return None if objective == "OUTCOME_TRAFFIC" else {"page_id": shown.edits.page_id}


def _attribution_spec(code: int) -> list[dict[str, Any]]:
    spec = [{"event_type": "CLICK_THROUGH", "window_days": 1 if ATTRIBUTIONS[code] == "1d_click" else 7}]
    if ATTRIBUTIONS[code].endswith("1d_view"):
        spec.append({"event_type": "VIEW_THROUGH", "window_days": 1})
    return spec


def _story(content: Mapping[str, Any]) -> dict[str, Any]:
    action = {"type": content["button"], "value": {"link": content["url"]}}
    if content["video_id"]:
        data = {
            "video_id": content["video_id"],
            "title": content["title"],
            "message": content["body"],
            "image_url": content["image"],
            "call_to_action": action,
        }
        return {"page_id": content["page_id"], "video_data": data}
    data = {"link": content["url"], "name": content["title"], "message": content["body"], "call_to_action": action}
    return {"page_id": content["page_id"], "link_data": data}
