"""What accounts, campaigns, ad sets, ads and creatives are at a time: the statement against which a reader is judged.

Belongs here: facts replayed edit by edit from what was drawn. Does not belong here, on purpose: anything of the way that
answers of edges and objects take; the two must agree without sharing mistakes.
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from meta_insights_pipeline.simulator.auth import USER_ID
from meta_insights_pipeline.simulator.days import floor_step
from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.edits import AccountEdits
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.states import AccountStates
from meta_insights_pipeline.simulator.structure import ATTRIBUTIONS, AccountGraph, EntityTable
from meta_insights_pipeline.simulator.world import Account, World

Row = dict[str, Any]

KINDS = ("ad_accounts", "campaigns", "adsets", "ads", "creatives")
_GOALS = {
    "OUTCOME_SALES": "OFFSITE_CONVERSIONS",
    "OUTCOME_LEADS": "LEAD_GENERATION",
    "OUTCOME_TRAFFIC": "LINK_CLICKS",
    "OUTCOME_ENGAGEMENT": "POST_ENGAGEMENT",
    "OUTCOME_AWARENESS": "REACH",
}
_MEASURED = {"OUTCOME_SALES": "PURCHASE", "OUTCOME_LEADS": "LEAD"}


def entity_truth(
    world: World, kind: str, account_id: str, at: datetime, *, states: AccountStates | None = None
) -> list[Row]:
    """Return every object of a kind that exists or has existed at `at`, in the order of ids.

    A row holds what `GET /<id>` answers to all fields that the simulator has values for, in the same notation: money as
    text in minor units, moments in the account's own time, and no key where there is no value. `listed` tells whether
    an edge shows the object when every status is asked for; deleted ones are not listed and keep their attributes.

    Args:
        world: The accounts.
        kind: One of `KINDS`.
        account_id: With or without `act_`; for `ad_accounts` it may be empty, which means all.
        at: The moment; the simulator moves in steps of 15 minutes.
        states: What was done to accounts by hand, for `ad_accounts`.

    Raises:
        KeyError: There is no such account or kind.
    """
    step = floor_step(at)
    if kind == "ad_accounts":
        accounts = [world.account(account_id.removeprefix("act_"))] if account_id else list(world.accounts)
        return [_account_row(world, account, step, states) for account in accounts]
    facts = _Facts(world, world.account(account_id.removeprefix("act_")), step)
    rows = {"campaigns": facts.campaigns, "adsets": facts.adsets, "ads": facts.ads, "creatives": facts.creatives}[kind]
    return list(rows())


class _Facts:
    """The objects of one account at one moment."""

    def __init__(self, world: World, account: Account, at: int) -> None:
        self._account = account
        self._at = at
        self._zone = ZoneInfo(account.timezone_name)
        self._graph: AccountGraph = world.graph(account.id)
        self._edits: AccountEdits = world.edits(account.id)

    def campaigns(self) -> Iterator[Row]:
        graph = self._graph
        for place, row, values in self._entities(graph.campaigns):
            row.update({"objective": graph.objectives[place], "buying_type": "AUCTION"})
            row["special_ad_categories"] = values["special_ad_categories"]
            row.update(self._money(graph.campaigns, place, values))
            if "lifetime_budget" in row:
                row["stop_time"] = self._midnight(int(graph.campaigns.stop_day[place]) + 1)
            yield row

    def adsets(self) -> Iterator[Row]:
        graph = self._graph
        for place, row, values in self._entities(graph.adsets):
            campaign = int(graph.adsets.parent[place])
            whole = self._edits.history("campaign", campaign).first["budget_kind"]
            objective = graph.objectives[campaign]
            row.update({"campaign_id": graph.campaigns.ids[campaign], "optimization_goal": _GOALS[objective]})
            row.update({name: values[name] for name in ("billing_event", "targeting")})
            row.update(self._money(graph.adsets, place, values))
            if values["budget_kind"]:
                other = {"daily": "lifetime_budget", "lifetime": "daily_budget"}[values["budget_kind"]]
                row[other] = "0"
            if "lifetime" in (values["budget_kind"], whole):
                row["end_time"] = self._midnight(int(graph.adsets.stop_day[place]) + 1)
            if values["bid_amount"] is not None:
                row["bid_amount"] = values["bid_amount"]
            row["attribution_spec"] = _attribution(int(graph.attribution[place]))
            if objective in _MEASURED:
                row["promoted_object"] = {
                    "pixel_id": self._edits.pixel_id,
                    "custom_event_type": _MEASURED[objective],
                }
            elif objective != "OUTCOME_TRAFFIC":
                row["promoted_object"] = {"page_id": self._edits.page_id}
            yield row

    def ads(self) -> Iterator[Row]:
        graph = self._graph
        carried = {(one["ad"], one["generation"]): one["id"] for one in self._creative_facts()}
        for place, row, values in self._entities(graph.ads):
            adset = int(graph.ads.parent[place])
            campaign = int(graph.adsets.parent[adset])
            row.update({"campaign_id": graph.campaigns.ids[campaign], "adset_id": graph.adsets.ids[adset]})
            row["creative"] = {"id": carried[place, values["generation"]]}
            row.update({"bid_type": "ABSOLUTE_OCPM", "ad_active_time": "0"})
            row["tracking_specs"] = [{"action.type": ["offsite_conversion"], "fb_pixel": [self._edits.pixel_id]}]
            event = _MEASURED.get(graph.objectives[campaign])
            if event:
                row["conversion_domain"] = "example.com"
                row["conversion_specs"] = [{"action.type": [f"offsite_conversion.fb_pixel_{event.lower()}"]}]
            del row["start_time"]
            yield row

    def creatives(self) -> Iterator[Row]:
        for one in self._creative_facts():
            if one["begun"] > self._at:
                continue
            content = self._edits.creative_content(one["place"])
            deleted = one["deleted"] <= self._at
            row = {
                "id": one["id"],
                "account_id": self._account.id,
                "name": content["second_name"] if one["renamed"] <= self._at else content["first_name"],
                "status": "DELETED" if deleted else "ACTIVE",
                "title": content["title"],
                "body": content["body"],
                "object_type": content["object_type"],
                "call_to_action_type": content["button"],
                "url_tags": content["url_tags"],
                "thumbnail_url": content["thumbnail"],
                "image_url": content["image"],
                "effective_object_story_id": content["story_id"],
                "actor_id": USER_ID,
                "listed": not deleted,
            }
            button = {"type": content["button"], "value": {"link": content["url"]}}
            text = {"message": content["body"], "call_to_action": button}
            if content["video_id"]:
                row["video_id"] = content["video_id"]
                video = {"video_id": content["video_id"], "title": content["title"], "image_url": content["image"]}
                story = {"video_data": {**video, **text}}
            else:
                row["link_url"] = content["url"]
                story = {"link_data": {"link": content["url"], "name": content["title"], **text}}
            yield {**row, "object_story_spec": {"page_id": content["page_id"], **story}}

    # ---- what they have in common ----

    def _entities(self, table: EntityTable) -> Iterator[tuple[int, Row, dict[str, Any]]]:
        """Yield place, common attributes and current settings of what has been made by now."""
        for place, entity_id in enumerate(table.ids):
            if table.created[place] > self._at:
                continue
            history = self._edits.history(table.level, place)
            values, changed = dict(history.first), [int(table.created[place])]
            for edit in history.edits:
                if edit.at <= self._at:
                    values.update(edit.changes)
                    changed.append(edit.at)
            moments = (table.renamed, table.paused, table.archived, table.deleted)
            changed += [int(array[place]) for array in moments if array[place] <= self._at]
            effective = self._effective(table.level, place)
            row: Row = {
                "id": entity_id,
                "account_id": self._account.id,
                "name": (table.second_names if table.renamed[place] <= self._at else table.first_names)[place],
                "status": self._own(table, place),
                "configured_status": self._own(table, place),
                "effective_status": effective,
                "created_time": self._text(int(table.created[place])),
                "updated_time": self._text(max(changed)),
                "start_time": self._midnight(int(table.start_day[place])),
                "listed": effective != "DELETED",
            }
            yield place, row, values

    def _creative_facts(self) -> Iterator[Row]:
        creatives = self._edits.creatives
        columns = (creatives.ad, creatives.generation, creatives.begun, creatives.deleted, creatives.renamed)
        for place, (identity, *numbers) in enumerate(
            zip(creatives.ids, *(column.tolist() for column in columns), strict=True)
        ):
            names = ("ad", "generation", "begun", "deleted", "renamed")
            yield {"place": place, "id": identity, **dict(zip(names, numbers, strict=True))}

    def _own(self, table: EntityTable, place: int) -> str:
        for moments, status in ((table.deleted, "DELETED"), (table.archived, "ARCHIVED"), (table.paused, "PAUSED")):
            if moments[place] <= self._at:
                return status
        return "ACTIVE"

    def _effective(self, level: str, place: int) -> str:
        """Return the status with what is inherited: the further gone wins, and an own pause over one from above."""
        own = self._own(self._graph.table(level), place)
        if level == "campaign":
            return own
        above = "adset" if level == "ad" else "campaign"
        parent = int(self._graph.table(level).parent[place])
        inherited = self._effective(above, parent)
        for gone in ("DELETED", "ARCHIVED"):
            if gone in (own, inherited):
                return gone
        if own == "PAUSED" or inherited == "ACTIVE":
            return own
        return inherited if inherited.endswith("_PAUSED") else f"{above.upper()}_PAUSED"

    def _money(self, table: EntityTable, place: int, values: dict[str, Any]) -> Row:
        if not values["budget_kind"]:
            return {"budget_remaining": "0"}
        member = self._graph.member_of(table.level) == place
        today = datetime.fromtimestamp(self._at, self._zone).toordinal()
        first = int(table.start_day[place]) if values["budget_kind"] == "lifetime" else today
        spent = _spent(self._graph, self._account.currency, np.flatnonzero(member), (first, today), self._at)
        return {
            f"{values['budget_kind']}_budget": str(values["budget"]),
            "bid_strategy": values["bid_strategy"],
            "budget_remaining": str(max(0, values["budget"] - spent)),
        }

    def _text(self, moment: int) -> str:
        return _text(self._zone, moment)

    def _midnight(self, day: int) -> str:
        return _text(self._zone, int(datetime.combine(datetime.fromordinal(day), time(), self._zone).timestamp()))


def _account_row(world: World, account: Account, at: int, states: AccountStates | None) -> Row:
    zone = ZoneInfo(account.timezone_name)
    standing = states.standing(account.id) if states is not None else None
    graph = world.graph(account.id)
    made = datetime.combine(account.created, time(), zone)
    offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
    period = (int(graph.ads.start_day.min()), datetime.fromtimestamp(at, zone).toordinal())
    spent = _spent(graph, account.currency, np.arange(len(graph.ads)), period, at)
    business = f"9{account.id[:14]}"
    return {
        "id": f"act_{account.id}",
        "account_id": account.id,
        "name": account.name,
        "account_status": standing.status if standing is not None else account.status,
        "disable_reason": standing.disable_reason if standing is not None else 0,
        "currency": account.currency,
        "timezone_id": account.timezone_id,
        "timezone_name": account.timezone_name,
        "timezone_offset_hours_utc": offset / timedelta(hours=1),
        "created_time": _text(zone, int(made.timestamp()) + 10 * 3600),
        "age": (datetime.fromtimestamp(at, zone).date() - account.created).days,
        "business": {"id": business, "name": account.name},
        "owner": business,
        "amount_spent": str(spent),
        "balance": "0",
        "spend_cap": "0",
        "is_prepay_account": False,
        "listed": states is None or states.visible(account.id),
    }


def _spent(graph: AccountGraph, currency: str, ads: Ints, period: tuple[int, int], at: int) -> int:
    """Return the spend of some ads between two days in minor units, a month at a time."""
    table, total = graph.ads, 0
    for begin in range(period[0], period[1] + 1, 30):
        end = min(begin + 29, period[1])
        alive = ads[(table.start_day[ads] <= end) & (table.stop_day[ads] >= begin)]
        days = np.arange(begin, end + 1, dtype=np.int64)
        total += int(AdDays(graph, currency, alive, days, at).spend.sum())
    return total


def _text(zone: ZoneInfo, moment: int) -> str:
    """Return a unix second as Graph writes it."""
    text = datetime.fromtimestamp(moment, zone).isoformat(timespec="seconds")
    return text[:-3] + text[-2:]


def _attribution(code: int) -> list[dict[str, Any]]:
    name = {"CLICK_THROUGH": "click", "VIEW_THROUGH": "view"}
    parts = ATTRIBUTIONS[code].split("_")
    windows = dict(zip(parts[1::2], parts[::2], strict=True))
    return [
        {"event_type": event, "window_days": int(windows[kind].removesuffix("d"))}
        for event, kind in name.items()
        if kind in windows
    ]
