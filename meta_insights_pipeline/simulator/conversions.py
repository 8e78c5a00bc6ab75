"""Conversions of ads: how many follow from a day's delivery, when they arrive, and to which window they count.

Belongs here: the events, their delay buckets and the attribution rule. Does not belong here: action types (`metrics`).
"""

from dataclasses import dataclass

import numpy as np

from meta_insights_pipeline.simulator.delivery import AdDays, price_level
from meta_insights_pipeline.simulator.randomness import ONE, Ints, Mask, between, phase, portion
from meta_insights_pipeline.simulator.structure import ATTRIBUTIONS

WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
"""The attribution windows that ever carry a number."""

EVENTS = ("view_content", "add_to_cart", "initiate_checkout", "purchase", "lead", "contact", "schedule")
PRICED_EVENTS = ("purchase", "schedule")
"""Events that carry a value in money."""

# Events a link click leads to, per thousand, by objective. Only every other leads campaign takes contacts or bookings.
_RATES: dict[str, dict[str, int]] = {
    "view_content": {"OUTCOME_SALES": 420, "OUTCOME_TRAFFIC": 120},
    "add_to_cart": {"OUTCOME_SALES": 95},
    "initiate_checkout": {"OUTCOME_SALES": 60},
    "purchase": {"OUTCOME_SALES": 36},
    "lead": {"OUTCOME_LEADS": 75},
    "contact": {"OUTCOME_LEADS": 30, "OUTCOME_ENGAGEMENT": 12},
    "schedule": {"OUTCOME_LEADS": 18},
}
_OPTIONAL = {"contact": 0, "schedule": 1}


@dataclass(frozen=True)
class Windowed:
    """One amount by attribution: under the ad set's own setting, and for each window."""

    value: Ints
    windows: dict[str, Ints]


class Conversions:
    """Conversions of the ads and days of `AdDays`, each event computed when first asked for."""

    def __init__(self, cells: AdDays) -> None:
        self._cells = cells
        self._counts: dict[str, Windowed] = {}
        self._values: dict[str, Windowed] = {}

    def count(self, event: str) -> Windowed:
        """Return how often an event happened."""
        if event not in self._counts:
            self._counts[event] = self._attribute(self._arrived(event))
        return self._counts[event]

    def value(self, event: str) -> Windowed:
        """Return the money of a priced event, in minor units."""
        if event not in self._values:
            count, price = self.count(event), self._price
            self._values[event] = Windowed(
                count.value * price, {window: amount * price for window, amount in count.windows.items()}
            )
        return self._values[event]

    def _arrived(self, event: str) -> dict[str, Ints]:
        """Return what has arrived of each delay bucket; a jitter gives every ad-day its own times."""
        cells = self._cells
        delivering = cells.delivering
        buckets = cells.once(("final", event), lambda: self._final(event))
        carries = cells.once(("carries", event), lambda: self._carries(event))
        return {
            bucket: portion(final, cells.progress.arrived[bucket][:, None], carry) * delivering
            for (bucket, final), carry in zip(buckets.items(), carries, strict=True)
        }

    def _carries(self, event: str) -> tuple[Ints, ...]:
        """Return for each delay bucket what decides how a part of a conversion is rounded."""
        bits, more = self._cells.bits(f"arrival/{event}"), self._cells.bits(f"later arrival/{event}")
        return phase(bits), phase(bits, 1), phase(bits, 2), phase(more), phase(more, 1)

    def _final(self, event: str) -> dict[str, Ints]:
        """Return the final number of each delay bucket."""
        cells = self._cells
        bits, splits = cells.bits(f"event/{event}"), cells.bits(f"split/{event}")
        rate = self._rate(event)[None, :] * (600 + ((phase(bits, 2) * 860) >> 20)) >> 10
        clicked = np.where(cells.convincing, portion(cells.first_link_clicks, rate, phase(bits)), 0)
        # About one view-through conversion for each eight that follow a click, at a click rate of two percent.
        viewed = np.where(cells.convincing, portion(cells.first_impressions, rate // 400, phase(bits, 1)), 0)
        at_once = portion(clicked, ONE * 62 // 100, phase(splits))
        in_a_week = portion(clicked - at_once, ONE * 68 // 100, phase(splits, 1))
        engaged = np.where(cells.graph.video[cells.ads][None, :], portion(viewed, ONE * 45 // 100, phase(splits, 2)), 0)
        return {
            "click_1d": at_once,
            "click_7d": in_a_week,
            "click_28d": clicked - at_once - in_a_week,
            "view_1d": viewed - engaged,
            "engaged_1d": engaged,
        }

    def _rate(self, event: str) -> Ints:
        """Return conversions per link click of each ad, in units of 1/ONE; 0 for ads that do not lead to the event."""
        cells, graph = self._cells, self._cells.graph
        by_objective = np.array([_RATES[event].get(name, 0) for name in graph.objectives], dtype=np.int64)
        campaign = graph.campaign_of_ad[cells.ads]
        rate = by_objective[campaign] * ONE // 1000
        if event in _OPTIONAL:
            rate = np.where(campaign % 2 == _OPTIONAL[event], rate, 0)
        return rate * (500 + between(cells.ad_bits("quality"), 0, 0, 1000)) // 1000

    @property
    def _price(self) -> Ints:
        """Money of one conversion in minor units, by ad and day."""
        return self._cells.once("price", self._drawn_price)

    def _drawn_price(self) -> Ints:
        cells = self._cells
        cents = between(cells.ad_bits("basket"), 0, 1500, 11_000)[None, :]
        cents = cents * (850 + ((phase(cells.bits("basket")) * 300) >> 20)) // 1000
        return price_level(cells.currency, cents)

    def _settings(self) -> tuple[Mask, Mask]:
        """Return which ads count clicks of a day only, and which count views, too."""
        graph = self._cells.graph
        setting = graph.attribution[graph.ads.parent[self._cells.ads]][None, :]
        return setting == ATTRIBUTIONS.index("1d_click"), setting == ATTRIBUTIONS.index("7d_click_1d_view")

    def _attribute(self, arrived: dict[str, Ints]) -> Windowed:
        """Return amounts by window, and under each ad set's own attribution setting."""
        day = arrived["click_1d"]
        week = day + arrived["click_7d"]
        view = arrived["view_1d"]
        one_day, with_view = self._cells.once("settings", self._settings)
        value = np.where(one_day, day, week) + view * with_view
        windows = (day, week, week + arrived["click_28d"], view, arrived["engaged_1d"])
        return Windowed(value, dict(zip(WINDOWS, windows, strict=True)))
