"""The fields for which the simulator has data, and what each is made of.

Belongs here: names, kinds and sources of fields and action types. Does not belong here: computing or writing them.
"""

from dataclasses import dataclass
from typing import Literal

IDENTITY_FIELDS: dict[str, tuple[str, ...]] = {
    "account": ("account_id", "account_name", "account_currency"),
    "campaign": ("campaign_id", "campaign_name", "objective", "buying_type"),
    "adset": ("adset_id", "adset_name", "attribution_setting", "optimization_goal"),
    "ad": ("ad_id", "ad_name"),
}
"""Attributes of entities, by the level that carries them; rows of a level have those of the levels above, too."""

OWN_FIELDS = ("created_time", "updated_time")
"""Attributes of the entity of the row, below the account."""

DATE_FIELDS = ("date_start", "date_stop")

COUNT_SOURCES = {
    "impressions": "impressions",
    "clicks": "clicks",
    "inline_link_clicks": "inline_link_clicks",
    "inline_post_engagement": "post_engagement",
}
"""Additive counts: field name to the amount of `AdDays` behind it."""

RATIO_FIELDS: dict[str, tuple[str, str, int, bool]] = {
    "ctr": ("clicks", "impressions", 100, False),
    "cpc": ("spend", "clicks", 1, True),
    "cpm": ("spend", "impressions", 1000, True),
    "cpp": ("spend", "reach", 1000, True),
    "frequency": ("impressions", "reach", 1, False),
    "inline_link_click_ctr": ("inline_link_clicks", "impressions", 100, False),
    "cost_per_inline_link_click": ("spend", "inline_link_clicks", 1, True),
    "cost_per_inline_post_engagement": ("spend", "inline_post_engagement", 1, True),
}
"""Derived numbers: numerator, denominator, factor, and whether the numerator is money."""

SCALARS = (*COUNT_SOURCES, "spend", "reach")
"""Numbers from which rows are made; all but reach are additive."""

Kind = Literal["delivery", "count", "money"]


@dataclass(frozen=True)
class ActionSpec:
    """One action type of one list field and the amount behind it.

    A `delivery` amount happens on Meta's services at the time of the impression, so that every click window holds all
    of it; a `count` is the number of an event that arrives by attribution, `money` its value.
    """

    field: str
    action_type: str
    kind: Kind
    source: str


_ON_PLATFORM = {
    "link_click": "inline_link_clicks",
    "landing_page_view": "landing_page_views",
    "post_engagement": "post_engagement",
    "page_engagement": "page_engagement",
    "video_view": "video_views",
    "post_reaction": "reactions",
    "comment": "comments",
    "post": "shares",
    "like": "likes",
    "onsite_conversion.post_save": "saves",
}
# Families overlap as they do at Meta: the same purchase counts in each of its names.
_EVENT_FAMILIES = {
    "purchase": ("offsite_conversion.fb_pixel_purchase", "purchase", "omni_purchase"),
    "initiate_checkout": ("offsite_conversion.fb_pixel_initiate_checkout", "omni_initiated_checkout"),
    "add_to_cart": ("offsite_conversion.fb_pixel_add_to_cart", "omni_add_to_cart"),
    "view_content": ("offsite_conversion.fb_pixel_view_content", "omni_view_content"),
    "lead": ("offsite_conversion.fb_pixel_lead", "lead"),
}
_CONVERSION_FAMILIES = {
    "contact": ("contact_total", "contact_website"),
    "schedule": ("schedule_total", "schedule_website"),
}
_VIDEO_FIELDS = {
    "video_play_actions": "video_plays",
    "video_thruplay_watched_actions": "thruplays",
    "video_30_sec_watched_actions": "long_views",
    "video_p25_watched_actions": "p25",
    "video_p50_watched_actions": "p50",
    "video_p75_watched_actions": "p75",
    "video_p95_watched_actions": "p95",
    "video_p100_watched_actions": "p100",
}


def _action_specs() -> tuple[ActionSpec, ...]:
    specs = [ActionSpec("actions", name, "delivery", source) for name, source in _ON_PLATFORM.items()]
    for event, names in _EVENT_FAMILIES.items():
        specs += [ActionSpec("actions", name, "count", event) for name in names]
    specs += [ActionSpec("action_values", name, "money", "purchase") for name in _EVENT_FAMILIES["purchase"]]
    for event, names in _CONVERSION_FAMILIES.items():
        specs += [ActionSpec("conversions", name, "count", event) for name in names]
    specs += [ActionSpec("conversion_values", name, "money", "schedule") for name in _CONVERSION_FAMILIES["schedule"]]
    specs.append(ActionSpec("outbound_clicks", "outbound_click", "delivery", "outbound_clicks"))
    specs += [ActionSpec(field, "video_view", "delivery", source) for field, source in _VIDEO_FIELDS.items()]
    return tuple(specs)


ACTION_SPECS = _action_specs()
LIST_FIELDS = tuple(dict.fromkeys(spec.field for spec in ACTION_SPECS))

# Derived lists: the list behind them, and how each of its numbers is used.
LIST_RATIOS: dict[str, tuple[str, Literal["cost", "roas", "rate"]]] = {
    "cost_per_action_type": ("actions", "cost"),
    "cost_per_conversion": ("conversions", "cost"),
    "cost_per_outbound_click": ("outbound_clicks", "cost"),
    "cost_per_thruplay": ("video_thruplay_watched_actions", "cost"),
    "outbound_clicks_ctr": ("outbound_clicks", "rate"),
    "website_ctr": ("actions", "rate"),
    "purchase_roas": ("action_values", "roas"),
    "website_purchase_roas": ("action_values", "roas"),
}
LIST_RATIO_TYPES = {
    "website_ctr": ("link_click",),
    "purchase_roas": ("omni_purchase",),
    "website_purchase_roas": ("offsite_conversion.fb_pixel_purchase",),
}
"""Action types to which a derived list is limited."""

COMPUTED_FIELDS = frozenset(
    (
        *(name for names in IDENTITY_FIELDS.values() for name in names),
        *OWN_FIELDS,
        *DATE_FIELDS,
        *SCALARS,
        *RATIO_FIELDS,
        *LIST_FIELDS,
        *LIST_RATIOS,
    )
)
"""Every field with data behind it."""


def specs_of(fields: frozenset[str]) -> tuple[ActionSpec, ...]:
    """Return the action types behind a set of list fields, derived ones included."""
    wanted = {LIST_RATIOS[field][0] if field in LIST_RATIOS else field for field in fields}
    return tuple(spec for spec in ACTION_SPECS if spec.field in wanted)


def scalars_of(fields: frozenset[str]) -> frozenset[str]:
    """Return the numbers behind a set of fields; impressions are always needed, since without them there is no row."""
    needed = {"impressions"} | {field for field in fields if field in SCALARS}
    for field in fields & RATIO_FIELDS.keys():
        needed |= set(RATIO_FIELDS[field][:2])
    if fields & LIST_RATIOS.keys():
        needed.add("spend")
    return frozenset(needed)
