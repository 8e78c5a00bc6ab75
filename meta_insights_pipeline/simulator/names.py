"""Names of campaigns, ad sets and ads, and lines of advertisements, with what makes those of people awkward to parse.

Belongs here: wording. Does not belong here: which entities exist.
"""

from meta_insights_pipeline.simulator.randomness import Dice

_THEMES = (
    "Spring sale",
    "Summer sale ☀️",
    "Back to school",
    "Black Friday",
    "Winter clearance -50%",
    "New arrivals",
    "Bestsellers",
    'The "Big One"',
    "Mother's Day",
    "Frühjahrsaktion",
    "Été 20%",
    "新生活フェア",
    "Gift guide 🎁",
    "Launch, phase 2",
    "Q\\A webinar",
    "Liquidação",
)
_STAGES = (
    "Prospecting",
    "Retargeting",
    "Lookalike 1%",
    "Lookalike 3%",
    "Broad",
    "Engaged 180d",
    "Cart, 7d",
    "LAL/VV 50%",
)
_PLACES = ("US", "DE", "JP", "AU", "EMEA", "LATAM", "Tier 1", "All")
_AGES = ("18-24", "25-34", "25-44", "35-54", "45-65+", "18-65+")
_FORMATS = ("Video 9:16", "Video 1:1", "Static", "Carousel", "UGC", "Collection", "Reel 🎬", "Story")
_HOOKS = (
    "hook A",
    "hook B",
    "free shipping",
    "testimonial",
    "unboxing",
    "founder's story",
    "50% \\ today",
    "preço",
    "比較",
)


def campaign_name(dice: Dice, objective: str, label: str) -> str:
    """Return a campaign's name; `label` is a month or 'Always on'."""
    return f"{dice.pick(_THEMES)} | {objective.removeprefix('OUTCOME_').title()} | {label}"


def adset_name(dice: Dice) -> str:
    """Return an ad set's name."""
    return f"{dice.pick(_STAGES)} | {dice.pick(_PLACES)} {dice.pick(_AGES)}"


def ad_name(dice: Dice, *, video: bool, serial: int) -> str:
    """Return an ad's name."""
    form = dice.pick(_FORMATS[:2] if video else _FORMATS[2:])
    return f"{form} - {dice.pick(_HOOKS)} - v{serial}"


def headline(dice: Dice) -> str:
    """Return a line of an advertisement."""
    return f"{dice.pick(_THEMES)} - {dice.pick(_HOOKS)}"


def renamed(dice: Dice, name: str) -> str:
    """Return what someone tidying up the account makes of a name."""
    return dice.pick(
        (f"{name} (copy)", f"[OLD] {name}", f"{name} ✅", f"{name}, final", name.replace(" | ", "_").upper())
    )
