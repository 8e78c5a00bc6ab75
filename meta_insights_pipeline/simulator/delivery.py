"""What ads deliver: the integer model of an ad on a day, as seen at an instant.

Belongs here: impressions, clicks, money, video plays, engagement, and how they grow today and are corrected for three
days. Does not belong here: conversions (`conversions`), people (`reach`), sums over entities (`frames`).
Every amount is an integer (money in minor units), so that sums over children are exact by construction.
"""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import numpy as np

from meta_insights_pipeline.simulator.days import SETTLING_HOURS, Progress, progress
from meta_insights_pipeline.simulator.randomness import (
    ONE,
    Bits,
    Ints,
    Mask,
    between,
    entity_bits,
    entity_day_bits,
    phase,
    portion,
    purpose_key,
)
from meta_insights_pipeline.simulator.structure import AccountGraph

_UNITY = 1024
"""The number 1 in the factors that shape delivery: ten bits behind the point."""

# Share of a normal day by day of the week, Monday first.
_WEEKDAYS = np.array((1010, 1060, 1075, 1050, 985, 890, 940), dtype=np.int64)
# Share of a normal day by month, January first.
_MONTHS = np.array((900, 930, 970, 990, 1010, 980, 930, 940, 1010, 1060, 1290, 1230), dtype=np.int64)
# Minor units for what costs one US cent.
_PRICE_LEVEL = {"JPY": (3, 2), "INR": (45, 1), "BRL": (5, 1), "AUD": (3, 2), "NZD": (8, 5)}
_LARGEST = 60_000
_EPOCH_DAY = 719_163


Cents = TypeVar("Cents", int, Ints)


def price_level(currency: str, cents: Cents) -> Cents:
    """Return amounts in US cents as minor units of a currency."""
    times, over = _PRICE_LEVEL.get(currency, (1, 1))
    return cents * times // over


Value = TypeVar("Value")
Drawn = dict[Any, Any]
"""What has been computed of some ads and days whatever the instant, by the name of its computation."""


class drawn(Generic[Value]):  # noqa: N801 - used like functools.cached_property
    """A property that does not depend on the instant: computed once for all `AdDays` that share their draws."""

    def __init__(self, compute: "Callable[[AdDays], Value]") -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, cells: None, owner: type) -> "drawn[Value]": ...
    @overload
    def __get__(self, cells: "AdDays", owner: type) -> Value: ...
    def __get__(self, cells: "AdDays | None", owner: type) -> "drawn[Value] | Value":
        """Return the value for some ads and days."""
        return self if cells is None else cells.once(self, lambda: self._compute(cells))


class AdDays:
    """Amounts of some ads (columns) on some days (rows) at one instant; each is computed when first asked for.

    What does not depend on the instant is kept in `draws`, which may be shared by all that have the same ads and days.
    """

    def __init__(
        self, graph: AccountGraph, currency: str, ads: Ints, days: Ints, at: int, draws: Drawn | None = None
    ) -> None:
        self.graph = graph
        self.currency = currency
        self.ads = ads
        self.days = days
        self.at = at
        self.draws: Drawn = {} if draws is None else draws
        self.progress: Progress = progress(graph.spec.zone, days, at)

    # ---- draws ----

    def once(self, name: Any, compute: Callable[[], Value]) -> Value:
        """Return a value that does not depend on the instant, computed at its first use."""
        try:
            value: Value = self.draws[name]
        except KeyError:
            value = self.draws[name] = compute()
        return value

    @drawn
    def keys(self) -> Bits:
        """The ids of the ads as numbers."""
        return self.graph.ads.keys[self.ads]

    def bits(self, purpose: str) -> Bits:
        """Return one draw for each ad and day."""
        return entity_day_bits(purpose_key(self.graph.spec.seed, purpose), self.keys, self.days)

    def ad_bits(self, purpose: str) -> Bits:
        """Return one draw for each ad."""
        return entity_bits(purpose_key(self.graph.spec.seed, purpose), self.keys)

    def _portion(self, name: Any, amounts: Ints, rate: int, draw: tuple[str, int]) -> Ints:
        """Return a portion of amounts as first counted; `draw` names the purpose and the part of a draw."""
        return self.once(("portion", name), lambda: portion(amounts, rate, phase(self.bits(draw[0]), draw[1])))

    def visible(self, initial: Ints) -> Ints:
        """Return what shows at the instant of amounts as first counted.

        Today grows along the intraday curve; after the day's end invalid traffic is taken out in hourly steps. Both
        steps keep order, so whatever nests at first (clicks in impressions) nests at every instant.
        """
        grown = (initial * self.progress.growth[:, None]) >> 20
        return grown - ((grown * self._taken_out) >> 20)

    @functools.cached_property
    def _taken_out(self) -> Ints:
        """Share of the traffic that has been found invalid so far."""
        return self._invalid * self.progress.settled_hours[:, None] // SETTLING_HOURS

    @functools.cached_property
    def delivering(self) -> Mask:
        """Where an ad shows at least one impression: no row, and no amount, without."""
        return self.impressions > 0

    @drawn
    def convincing(self) -> Mask:
        """Where conversions may follow: not on days whose traffic turns out to be invalid as a whole."""
        return self._invalid < ONE

    # ---- delivery ----

    @drawn
    def first_impressions(self) -> Ints:
        """Impressions as first counted, before invalid traffic is taken out."""
        ads = self.graph.ads
        day = self.days[:, None]
        bits = self.bits("impressions")
        amount = self.usual_impressions[None, :] * self._season[:, None] >> 10
        amount = amount * self._ramp >> 10
        amount = amount * (460 + ((phase(bits) * 1320) >> 20)) >> 10
        amount = np.where(self._trickle, 1 + ((phase(bits, 1) * 4) >> 20), amount)
        resting = phase(bits, 2) < ONE * 6 // 100
        amount = np.maximum(amount, 1) if self.graph.spec.always_on else np.where(resting, 0, amount)
        flying = (ads.start_day[self.ads] <= day) & (day <= ads.stop_day[self.ads])
        return np.where(flying, amount, 0)

    @functools.cached_property
    def impressions(self) -> Ints:
        """Impressions."""
        return self.visible(self.first_impressions)

    @drawn
    def first_clicks(self) -> Ints:
        """Clicks of all kinds as first counted."""
        bits = self.bits("clicks")
        rate = between(self.ad_bits("click rate"), 0, ONE // 160, ONE * 4 // 100)[None, :]
        rate = rate * (700 + ((phase(bits, 1) * 640) >> 20)) >> 10
        return portion(self.first_impressions, rate, phase(bits))

    @functools.cached_property
    def clicks(self) -> Ints:
        """Clicks of all kinds."""
        return self.visible(self.first_clicks)

    @drawn
    def first_link_clicks(self) -> Ints:
        """Link clicks as first counted."""
        rate = between(self.ad_bits("link share"), 0, ONE * 55 // 100, ONE * 95 // 100)[None, :]
        return portion(self.first_clicks, rate, phase(self.bits("links")))

    @functools.cached_property
    def inline_link_clicks(self) -> Ints:
        """Link clicks."""
        return self.visible(self.first_link_clicks)

    @functools.cached_property
    def outbound_clicks(self) -> Ints:
        """Link clicks that leave Meta's services."""
        return self.visible(self._portion("outbound", self.first_link_clicks, ONE * 88 // 100, ("links", 1)))

    @drawn
    def first_page_views(self) -> Ints:
        """Landing page views as first counted."""
        return portion(self.first_link_clicks, ONE * 72 // 100, phase(self.bits("links"), 2))

    @functools.cached_property
    def landing_page_views(self) -> Ints:
        """Landing page views."""
        return self.visible(self.first_page_views)

    @functools.cached_property
    def spend(self) -> Ints:
        """Money in minor units of the account's currency."""
        return np.where(self.delivering, self.visible(self._first_spend), 0)

    @drawn
    def _first_spend(self) -> Ints:
        bits = self.bits("spend")
        mille = price_level(self.currency, between(self.ad_bits("price"), 0, 350, 1900))[None, :]
        mille = mille * (800 + ((phase(bits) * 450) >> 20)) >> 10
        first: Ints = (self.first_impressions * mille + ((phase(bits, 1) * 1000) >> 20)) // 1000
        return first

    # ---- video ----

    @drawn
    def _first_plays(self) -> Ints:
        rate = between(self.ad_bits("plays"), 0, ONE * 30 // 100, ONE * 70 // 100)
        rate = np.where(self.graph.video[self.ads], rate, 0)[None, :]
        return portion(self.first_impressions, rate, phase(self.bits("plays")))

    @drawn
    def _first_marks(self) -> list[Ints]:
        """Plays as first counted that reached p25, p50, p75, p95 and p100; each is a portion of the one before."""
        early, late = self.bits("marks"), self.bits("late marks")
        carries = (phase(early), phase(early, 1), phase(early, 2), phase(late), phase(late, 1))
        marks, reached = [], self._first_plays
        for keep, carry in zip((46, 64, 72, 80, 88), carries, strict=True):
            reached = portion(reached, ONE * keep // 100, carry)
            marks.append(reached)
        return marks

    def mark(self, which: int) -> Ints:
        """Return plays that reached p25, p50, p75, p95 or p100 (0 to 4)."""
        return self.visible(self._first_marks[which])

    @functools.cached_property
    def video_plays(self) -> Ints:
        """Plays of a video."""
        return self.visible(self._first_plays)

    @drawn
    def _first_views(self) -> Ints:
        return portion(self._first_plays, ONE * 52 // 100, phase(self.bits("plays"), 1))

    @functools.cached_property
    def video_views(self) -> Ints:
        """Plays of at least three seconds."""
        return self.visible(self._first_views)

    @functools.cached_property
    def thruplays(self) -> Ints:
        """Plays to the end or for 15 seconds."""
        return self.visible(self._portion("thruplays", self._first_views, ONE * 45 // 100, ("plays", 2)))

    @functools.cached_property
    def long_views(self) -> Ints:
        """Plays of at least 30 seconds."""
        return self.visible(self._portion("long views", self._first_views, ONE * 25 // 100, ("late marks", 2)))

    # ---- engagement ----

    def _engagement(self, purpose: str, which: int, rate: int) -> Ints:
        """Return engagement of a kind; `rate` is per ten thousand impressions."""
        first = self._portion((purpose, which), self.first_impressions, ONE * rate // 10_000, (purpose, which))
        return self.visible(first)

    @functools.cached_property
    def reactions(self) -> Ints:
        """Reactions to a post."""
        return self._engagement("engagement", 0, 40)

    @functools.cached_property
    def comments(self) -> Ints:
        """Comments on a post."""
        return self._engagement("engagement", 1, 4)

    @functools.cached_property
    def saves(self) -> Ints:
        """Posts saved."""
        return self._engagement("engagement", 2, 5)

    @functools.cached_property
    def shares(self) -> Ints:
        """Posts shared."""
        return self._engagement("rare engagement", 0, 3)

    @functools.cached_property
    def likes(self) -> Ints:
        """Likes of the page."""
        return self._engagement("rare engagement", 1, 2)

    @functools.cached_property
    def post_engagement(self) -> Ints:
        """Everything people do with a post."""
        parts = (self.inline_link_clicks, self.video_views, self.reactions, self.comments, self.saves, self.shares)
        return sum(parts[1:], start=parts[0])

    @functools.cached_property
    def page_engagement(self) -> Ints:
        """Engagement with posts, and likes of the page."""
        return self.post_engagement + self.likes

    # ---- shape ----

    @drawn
    def usual_impressions(self) -> Ints:
        """Impressions of each ad on a normal day: many small ads and few large ones."""
        bits, more = self.ad_bits("size"), self.ad_bits("size, more")
        draws = [phase(source, which).astype(np.float64) / ONE for source in (bits, more) for which in range(3)]
        normal = (np.sum(draws, axis=0) - 3.0) * np.sqrt(2.0)
        size: Ints = np.clip(np.exp(5.6 + 1.35 * normal), 3, _LARGEST).astype(np.int64)
        return size

    @drawn
    def _season(self) -> Ints:
        """Factor of each day for the day of the week and the month."""
        weekday = (self.days - 1) % 7
        dates = (self.days - _EPOCH_DAY).astype("datetime64[D]")
        month = dates.astype("datetime64[M]").astype(np.int64) % 12
        factors: Ints = _WEEKDAYS[weekday] * _MONTHS[month] // _UNITY
        return factors

    @drawn
    def _ramp(self) -> Ints:
        """Factor for the first days of an ad, while it is still being learnt."""
        age = self.days[:, None] - self.graph.ads.start_day[self.ads][None, :]
        ramp: Ints = np.clip(360 + age * 170, 0, _UNITY)
        return ramp

    @drawn
    def _trickle(self) -> Mask:
        """Days on which an ad shows only a handful of impressions."""
        trickle: Mask = phase(self.bits("trickle")) < ONE * 35 // 1000
        return trickle

    @drawn
    def _invalid(self) -> Ints:
        """Share of a day's traffic that is invalid: up to two percent, or all of a tiny day, whose row vanishes."""
        bits = self.bits("invalid")
        share = (phase(bits) * (ONE * 2 // 100)) >> 20
        if self.graph.spec.always_on:
            return share
        tiny = (self.first_impressions <= 4) & (phase(bits, 1) < ONE * 35 // 100)
        return np.where(tiny, ONE, share)
