"""Edges: the lists of accounts, campaigns, ad sets, ads and creatives, page by page.

Belongs here: which objects an edge shows, filters and pages. Does not belong here: their fields (`objects`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meta_insights_pipeline.simulator.errors import invalid_parameter, not_one_of
from meta_insights_pipeline.simulator.filters import Filter, entity_mask, parse_filters
from meta_insights_pipeline.simulator.objects import (
    View,
    account_object,
    entity_object,
    parse_fields,
    unknown_object_field,
    view,
)
from meta_insights_pipeline.simulator.paging import decode_cursor, encode_cursor
from meta_insights_pipeline.simulator.parameters import parse_bool, parse_limit, parse_list
from meta_insights_pipeline.simulator.randomness import Ints, Mask
from meta_insights_pipeline.simulator.states import AccountStates
from meta_insights_pipeline.simulator.structure import ARCHIVED, DELETED, STATUS_NAMES, AccountGraph
from meta_insights_pipeline.simulator.world import World

EDGE_LEVELS = {"campaigns": "campaign", "adsets": "adset", "ads": "ad", "adcreatives": "creative"}
_CHILDREN = {"campaign": ("adsets", "ads"), "adset": ("ads", "adcreatives"), "ad": ("adcreatives",), "creative": ()}
_NEXT_STATUSES = ("IN_PROCESS", "WITH_ISSUES", "DISAPPROVED", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED")

Parent = tuple[str, int]
"""Level and place of an object whose edge is asked."""


@dataclass(frozen=True)
class EdgePage:
    """One page of an edge."""

    data: list[dict[str, Any]]
    cursors: tuple[str, str] | None
    more: bool
    earlier: bool
    summary: dict[str, Any] | None


def entity_edge(shown: View, edge: str, parent: Parent | None, params: Mapping[str, str]) -> EdgePage:
    """Return a page of campaigns, ad sets, ads or creatives of an account or of a parent."""
    if parent is not None and edge not in _CHILDREN[parent[0]]:
        raise unknown_object_field(edge, parent[0])
    level = EDGE_LEVELS[edge]
    if level == "creative":
        places, keys = _creatives(shown, parent, params)
    else:
        places = np.flatnonzero(_entities(shown, level, parent, params))
        keys = shown.graph.table(level).keys[places].astype(np.int64)
    fields = parse_fields(params.get("fields"))
    first, last = _keyset(keys, params)
    data = [entity_object(shown, level, place, fields) for place in places[first:last].tolist()]
    return _edge_page(data, keys, first, last, params)


def account_edge(world: World, states: AccountStates, at: int, params: Mapping[str, str]) -> EdgePage:
    """Return a page of the accounts that a token sees."""
    fields = parse_fields(params.get("fields"))
    accounts = [account for account in world.accounts if states.visible(account.id)]
    keys = np.array([account.index for account in accounts], dtype=np.int64)
    first, last = _keyset(keys, params)
    data = [
        account_object(view(world, account, at, states.standing(account.id)), fields)
        for account in accounts[first:last]
    ]
    return _edge_page(data, keys, first, last, params)


# ---- what is listed ----


def _entities(shown: View, level: str, parent: Parent | None, params: Mapping[str, str]) -> Mask:
    """Return which entities of a level an edge lists."""
    conditions = _conditions(params, level)
    mask: Mask = shown.graph.table(level).existing(shown.at) & _visible(shown, level, conditions, params)
    if parent is not None:
        mask &= _below(shown.graph, level, *parent)
    for condition in conditions:
        mask &= entity_mask(shown.graph, shown.edits, condition, shown.at)
    return mask


def _creatives(shown: View, parent: Parent | None, params: Mapping[str, str]) -> tuple[Ints, Ints]:
    """Return places and keys of creatives: of an account all that are not deleted, of a parent those carried now.

    Conditions are on the ads that carry them.
    """
    creatives, at = shown.edits.creatives, shown.at
    mask: Mask = (creatives.begun <= at) & (creatives.deleted > at)
    for condition in _conditions(params, "ad"):
        mask &= entity_mask(shown.graph, shown.edits, condition, at)[creatives.ad]
    if parent is not None:
        ads = np.flatnonzero(_below(shown.graph, "ad", *parent) & shown.graph.ads.existing(at))
        carried = np.zeros(len(mask), dtype=np.bool_)
        carried[[shown.edits.creative_of(ad, at) for ad in ads.tolist()]] = True
        mask &= carried
    places = np.flatnonzero(mask)
    return places, creatives.keys[places]


def _conditions(params: Mapping[str, str], level: str) -> tuple[Filter, ...]:
    conditions = parse_filters(params.get("filtering"), level)
    for condition in conditions:
        if condition.level != level:
            text = f"Filtering field '{condition.attribute}' is not supported on this edge"
            raise invalid_parameter(text, "filtering")
    return conditions


def _visible(shown: View, level: str, conditions: tuple[Filter, ...], params: Mapping[str, str]) -> Mask:
    """Return what an edge may list: never what is deleted, and what is archived only if a status is asked for."""
    status = shown.graph.effective_status(level, shown.at)
    wanted = parse_list(params.get("effective_status"), "effective_status")
    allowed = (*STATUS_NAMES, *_NEXT_STATUSES)
    for place, name in enumerate(wanted):
        if name not in allowed:
            raise not_one_of(f"effective_status[{place}]", allowed)
    if wanted:
        codes = np.array([STATUS_NAMES.index(name) for name in wanted if name in STATUS_NAMES], dtype=np.int64)
        listed: Mask = np.isin(status, codes) & (status != DELETED)
        return listed
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


# ---- pages ----


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
