"""What campaigns, ad sets and ads are set to, which creatives they have, and when somebody changes it.

Belongs here: the drawing of budgets, bids, targeting and creatives, and of every edit of them. Does not belong here:
names and statuses (`structure`) and JSON (`objects`). An edit always changes something, and none is drawn after the last
day of delivery. Draws depend on the seed and the id of the object alone.
"""

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meta_insights_pipeline.simulator import names
from meta_insights_pipeline.simulator.days import local_date, local_second
from meta_insights_pipeline.simulator.delivery import price_level
from meta_insights_pipeline.simulator.randomness import Dice, Ints
from meta_insights_pipeline.simulator.structure import GENERATIONS, NEVER, AccountGraph, EntityTable, creative_id_of

Values = dict[str, Any]

_YEAR = 365
_CAMPAIGN_CENTS = (2000, 3000, 5000, 8000, 12_000, 20_000)
_ADSET_CENTS = (500, 1000, 1500, 2000, 3000, 5000)
_BID_CENTS = (40, 90, 150, 300, 700, 1200, 2500)
_STEPS = (70, 80, 90, 110, 120, 130, 150)
_CAPS = ("COST_CAP", "LOWEST_COST_WITH_BID_CAP")
UNCAPPED = "LOWEST_COST_WITHOUT_CAP"

_COUNTRIES = ("US", "CA", "GB", "IE", "DE", "AT", "CH", "FR", "NL", "JP", "AU", "NZ", "IN", "BR", "MX", "SE")
_PLATFORMS = (
    ["facebook", "instagram"],
    ["facebook", "instagram", "audience_network", "messenger"],
    ["instagram"],
    ["facebook"],
    ["facebook", "instagram", "threads"],
)
_YOUNGEST = (18, 21, 25, 30, 35)
_OLDEST = (44, 54, 60, 65)
_INTERESTS = (("6003107902433", "Football"), ("6003348604581", "Coffee"), ("6003266225248", "Gardening 🌱"))
_BUTTONS = ("SHOP_NOW", "LEARN_MORE", "SIGN_UP", "BOOK_TRAVEL", "GET_OFFER")


@dataclass(frozen=True)
class Edit:
    """One change of an object by its owner."""

    at: int
    """Unix second."""
    changes: Values


@dataclass(frozen=True)
class History:
    """What an object was made with, and its edits in the order of time."""

    first: Values
    edits: tuple[Edit, ...] = ()

    def at(self, moment: int) -> Values:
        """Return what the object is set to at a unix second."""
        values = dict(self.first)
        for edit in self.edits[: self._count(moment)]:
            values |= edit.changes
        return values

    def last_edit(self, moment: int) -> int:
        """Return the unix second of the last edit up to a moment; 0 if there was none."""
        count = self._count(moment)
        return self.edits[count - 1].at if count else 0

    def _count(self, moment: int) -> int:
        return bisect_right(self.edits, moment, key=lambda edit: edit.at)


@dataclass(frozen=True)
class Creatives:
    """All creatives of an account in the order of their ids; every array has one element a creative."""

    ids: list[str]
    keys: Ints
    """The ids as numbers."""
    ad: Ints
    """Place of the ad that carries it."""
    generation: Ints
    """How often the ad had swapped its creative before."""
    begun: Ints
    deleted: Ints
    renamed: Ints

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Place of each id."""
        return {creative_id: place for place, creative_id in enumerate(self.ids)}


@dataclass
class AccountEdits:
    """What the objects of one account are set to; each is drawn when first looked at."""

    graph: AccountGraph
    currency: str
    _histories: dict[tuple[str, int], History] = field(default_factory=dict, repr=False)

    def history(self, level: str, place: int) -> History:
        """Return the settings of a campaign, ad set or ad for all time.

        Values of a campaign: `budget_kind` (daily, lifetime, or empty if its ad sets have the budgets), `budget` in
        minor units, `bid_strategy`, `special_ad_categories`. Of an ad set: the first three, `bid_amount` in minor units
        or None, `billing_event`, `targeting`. Of an ad: `generation`, which tells its creative.
        """
        known = self._histories.get((level, place))
        if known is None:
            known = self._histories[level, place] = self._draw(level, place)
        return known

    def updated(self, level: str, at: int) -> Ints:
        """Return when each entity of a level was last changed itself, as seen from `at`."""
        table = self.graph.table(level)
        updated = table.created.copy()
        for moments in (table.paused, table.archived, table.deleted, table.renamed):
            updated = np.where(moments <= at, np.maximum(updated, moments), updated)
        places, times = self._edits_of(level)
        count = int(np.searchsorted(times, at, side="right"))
        np.maximum.at(updated, places[:count], times[:count])
        return updated

    def updated_of(self, level: str, place: int, at: int) -> int:
        """Return when one entity was last changed itself, as seen from `at`."""
        table = self.graph.table(level)
        moments = (int(array[place]) for array in (table.paused, table.archived, table.deleted, table.renamed))
        own = max((moment for moment in moments if moment <= at), default=0)
        return max(int(table.created[place]), own, self.history(level, place).last_edit(at))

    def creative_of(self, ad: int, at: int) -> int:
        """Return the place among `creatives` of what an ad carries at `at`."""
        generation = self.history("ad", ad).at(at)["generation"]
        return self.creatives.index[creative_id_of(self.graph.ads.ids[ad], generation)]

    def creative_content(self, place: int) -> Values:
        """Return what a creative is made of.

        Keys: `first_name`, `second_name`, `title`, `body`, `button`, `url`, `url_tags`, `image`, `thumbnail`, `video_id`
        (or None), `object_type`, `story_id`, `page_id`.
        """
        creatives, graph = self.creatives, self.graph
        creative_id, ad = creatives.ids[place], int(creatives.ad[place])
        dice = self._dice("creative", creative_id)
        generation = int(creatives.generation[place])
        name = graph.ads.first_names[ad] + (f" / {generation + 1}" if generation else "")
        video = bool(graph.video[ad])
        serial = creative_id[8:]
        return {
            "first_name": name,
            "second_name": names.renamed(dice, name),
            "title": names.headline(dice),
            "body": f"{names.headline(dice)}. {name}",
            "button": dice.pick(_BUTTONS),
            "url": f"https://shop.example.com/{'sale' if dice.chance(40) else 'new'}/{serial}",
            "url_tags": f"utm_source=facebook&utm_campaign={{{{campaign.id}}}}&utm_content={serial}",
            "image": f"https://cdn.example.com/images/{creative_id}.jpg",
            "thumbnail": f"https://cdn.example.com/thumbnails/{creative_id}.jpg",
            "video_id": f"77{serial}" if video else None,
            "object_type": "VIDEO" if video else dice.pick(("SHARE", "SHARE", "PHOTO")),
            "page_id": self.page_id,
            "story_id": f"{self.page_id}_12{serial}",
        }

    @property
    def page_id(self) -> str:
        """Id of the page that advertises."""
        return f"1{self.graph.spec.account_id[:14]}"

    @property
    def pixel_id(self) -> str:
        """Id of the pixel that measures the account's conversions."""
        return f"7{self.graph.spec.account_id[:14]}"

    # ---- creatives ----

    @functools.cached_property
    def creatives(self) -> Creatives:
        """Every creative of every ad, whenever it was made."""
        rows = [row for ad in range(len(self.graph.ads)) for row in self._creatives_of(ad)]
        rows.sort()
        columns: list[tuple[int, ...]] = list(zip(*rows, strict=True)) or [()] * 6
        keys, ads, generations, begun, deleted, renamed = (np.array(column, dtype=np.int64) for column in columns)
        return Creatives([str(row[0]) for row in rows], keys, ads, generations, begun, deleted, renamed)

    def _creatives_of(self, ad: int) -> Iterator[tuple[int, ...]]:
        """Yield the creatives of an ad; one that is no longer carried may be deleted some days later."""
        table = self.graph.ads
        swaps = self.history("ad", ad).edits
        begins = [int(table.created[ad]), *(edit.at for edit in swaps)]
        gone = min(int(table.archived[ad]), int(table.deleted[ad]))
        for generation, (begun, ended) in enumerate(zip(begins, [*begins[1:], gone], strict=True)):
            creative_id = creative_id_of(table.ids[ad], generation)
            deleted = renamed = NEVER
            if self.graph.spec.edited:
                dice = self._dice("creative life", creative_id)
                if ended < NEVER and dice.chance(80):
                    deleted = self._moment(dice, self._day(ended) + dice.between(1, 25))
                if dice.chance(8):
                    renamed = self._moment(dice, self._day(begun) + dice.between(1, 9))
            yield int(creative_id), ad, generation, begun, deleted, renamed

    def _day(self, at: int) -> int:
        return local_date(self.graph.spec.zone, at).toordinal()

    # ---- drawing ----

    def _draw(self, level: str, place: int) -> History:
        table = self.graph.table(level)
        dice = self._dice("settings", table.ids[place])
        draws: dict[str, Callable[[Dice, int], tuple[Values, Iterator[Edit]]]] = {
            "campaign": self._campaign,
            "adset": self._adset,
            "ad": self._ad,
        }
        first, edits = draws[level](dice, place)
        return History(first, tuple(edits) if self.graph.spec.edited else ())

    def _campaign(self, dice: Dice, place: int) -> tuple[Values, Iterator[Edit]]:
        values: Values = {
            "special_ad_categories": ["HOUSING"] if dice.chance(4) else [],
            **self._budget(dice, self.graph.campaigns, place, _CAMPAIGN_CENTS if dice.chance(50) else ()),
        }

        def edits() -> Iterator[Edit]:
            if values["budget_kind"]:
                budget = values["budget"]
                for at in self._moments(dice, self.graph.campaigns, place, (4, 20)):
                    budget, before = self._stepped(dice, budget, values["budget"]), budget
                    if budget != before:
                        yield Edit(at, {"budget": budget})

        return values, edits()

    def _adset(self, dice: Dice, place: int) -> tuple[Values, Iterator[Edit]]:
        campaign = self.history("campaign", int(self.graph.adsets.parent[place])).first
        budget = self._budget(dice, self.graph.adsets, place, () if campaign["budget_kind"] else _ADSET_CENTS)
        capped = (budget["bid_strategy"] or campaign["bid_strategy"]) in _CAPS
        first: Values = {
            **budget,
            "bid_amount": self._minor(dice.pick(_BID_CENTS)) if capped else None,
            "billing_event": "IMPRESSIONS",
            "targeting": self._targeting(dice),
        }

        def edits() -> Iterator[Edit]:
            values = dict(first)
            for at in self._moments(dice, self.graph.adsets, place, (4, 24)):
                changes = self._adset_changes(dice, values, first)
                if any(values[name] != value for name, value in changes.items()):
                    values |= changes
                    yield Edit(at, changes)

        return first, edits()

    def _adset_changes(self, dice: Dice, values: Values, first: Values) -> Values:
        roll = dice.below(100)
        if values["budget_kind"] and roll < 50:
            return {"budget": self._stepped(dice, values["budget"], first["budget"])}
        if values["bid_amount"] is not None and roll < 85:
            return {"bid_amount": self._stepped(dice, values["bid_amount"], first["bid_amount"], unit=1)}
        return {"targeting": _retargeted(dice, values["targeting"])}

    def _ad(self, dice: Dice, place: int) -> tuple[Values, Iterator[Edit]]:
        table = self.graph.ads
        # Ads that live for years swap as often in their life as those that live for months.
        longest = max(110, (int(table.stop_day[place]) - int(table.start_day[place])) // (GENERATIONS // 2))

        def edits() -> Iterator[Edit]:
            generation = 0
            for at in self._moments(dice, table, place, (longest // 5, longest)):
                if generation + 1 < GENERATIONS and dice.chance(80):
                    generation += 1
                    yield Edit(at, {"generation": generation})

        return {"generation": 0}, edits()

    def _moments(self, dice: Dice, table: EntityTable, place: int, gap: tuple[int, int]) -> Iterator[int]:
        """Yield a moment in office hours now and then while an entity delivers; seldom, if it does so for years."""
        day, stop = int(table.start_day[place]), int(table.stop_day[place])
        times = 2 if stop - day > 2 * _YEAR and table.level != "ad" else 1
        while (day := day + dice.between(gap[0] * times, gap[1] * times)) <= stop:
            yield self._moment(dice, day)

    def _moment(self, dice: Dice, day: int) -> int:
        return local_second(self.graph.spec.zone, day, dice.between(8, 19), 15 * dice.below(4))

    def _budget(self, dice: Dice, table: EntityTable, place: int, cents: tuple[int, ...]) -> Values:
        """Draw the budget and the bid strategy that comes with it; none if it is another level's."""
        if not cents:
            return {"budget_kind": "", "budget": 0, "bid_strategy": None}
        days = int(table.stop_day[place]) - int(table.start_day[place]) + 1
        # What never ends cannot have a budget for its lifetime.
        lifetime = days < _YEAR and dice.chance(30)
        amount = self._minor(dice.pick(cents))
        return {
            "budget_kind": "lifetime" if lifetime else "daily",
            "budget": amount * days if lifetime else amount,
            "bid_strategy": dice.pick((UNCAPPED, UNCAPPED, UNCAPPED, *_CAPS)),
        }

    def _minor(self, cents: int) -> int:
        """Return US cents in minor units of the account."""
        return int(price_level(self.currency, cents))

    def _stepped(self, dice: Dice, amount: int, first: int, unit: int = 10) -> int:
        """Return an amount raised or lowered, not too far from the first one, in multiples of `unit`."""
        stepped = amount * dice.pick(_STEPS) // 100
        return max(unit, min(max(stepped, first // 4), first * 5) // unit * unit)

    def _targeting(self, dice: Dice) -> Values:
        audience = dice.below(3)
        countries = sorted({dice.pick(_COUNTRIES) for _ in range(dice.between(1, 4))})
        targeting: Values = {
            "age_min": dice.pick(_YOUNGEST),
            "age_max": dice.pick(_OLDEST),
            "geo_locations": {"countries": countries, "location_types": ["home", "recent"]},
            "publisher_platforms": dice.pick(_PLATFORMS),
            "device_platforms": ["mobile", "desktop"] if dice.chance(70) else ["mobile"],
            "targeting_automation": {"advantage_audience": int(dice.chance(50))},
        }
        if dice.chance(25):
            targeting["genders"] = [dice.between(1, 2)]
        if audience == 1:
            identity, name = dice.pick(_INTERESTS)
            targeting["flexible_spec"] = [{"interests": [{"id": identity, "name": name}]}]
        elif audience == 2:
            identity = f"2385{dice.below(10**13):013d}"
            targeting["custom_audiences"] = [{"id": identity, "name": "Cart, 7d"}]
        return targeting

    def _dice(self, purpose: str, object_id: str) -> Dice:
        return Dice(self.graph.spec.seed, f"{purpose}/{object_id}")

    # ---- edits by time ----

    def _edits_of(self, level: str) -> tuple[Ints, Ints]:
        return {"campaign": self._campaign_edits, "adset": self._adset_edits, "ad": self._ad_edits}[level]

    @functools.cached_property
    def _campaign_edits(self) -> tuple[Ints, Ints]:
        return self._by_time("campaign")

    @functools.cached_property
    def _adset_edits(self) -> tuple[Ints, Ints]:
        return self._by_time("adset")

    @functools.cached_property
    def _ad_edits(self) -> tuple[Ints, Ints]:
        return self._by_time("ad")

    def _by_time(self, level: str) -> tuple[Ints, Ints]:
        """Return the entities and moments of all edits of a level, in the order of time."""
        count = len(self.graph.table(level))
        pairs = [(edit.at, place) for place in range(count) for edit in self.history(level, place).edits]
        pairs.sort()
        return (
            np.array([place for _, place in pairs], dtype=np.int64),
            np.array([at for at, _ in pairs], dtype=np.int64),
        )


def _retargeted(dice: Dice, targeting: Values) -> Values:
    """Return targeting with one thing changed, or as it was if the draw says so."""
    changed = dict(targeting)
    what = dice.below(5)
    if what == 0:
        changed["age_min"] = dice.pick(_YOUNGEST)
    elif what == 1:
        changed["age_max"] = dice.pick(_OLDEST)
    elif what == 2:
        changed["publisher_platforms"] = dice.pick(_PLATFORMS)
    elif what == 3:
        if changed.pop("genders", None) is None:
            changed["genders"] = [dice.between(1, 2)]
    else:
        # A country is added, or dropped if it is there and not the last one.
        countries = set(targeting["geo_locations"]["countries"]) ^ {dice.pick(_COUNTRIES)}
        changed["geo_locations"] = {**targeting["geo_locations"], "countries": sorted(countries or {"US"})}
    return changed
