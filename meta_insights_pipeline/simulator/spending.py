"""Money that has been spent: by an account in all its time, and by its campaigns and ad sets out of their budgets.

Belongs here: sums of spend over time, kept where they no longer change. Does not belong here: insights (`results`).
"""

import threading
from collections import OrderedDict

import numpy as np

from meta_insights_pipeline.simulator.days import local_date
from meta_insights_pipeline.simulator.frames import Needs, Source, daily_frame, period_frame
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.structure import AccountGraph

_NEEDS = Needs(frozenset({"impressions", "spend"}))
_SETTLED_DAYS = 5
"""After so many days the spend of a day is final, whatever the time zone."""

_SUMS_KEPT = 1024


class Spending:
    """Sums of spend of one account in minor units; safe for threads."""

    def __init__(self, graph: AccountGraph, currency: str) -> None:
        self._graph = graph
        self._currency = currency
        self._lock = threading.Lock()
        self._all = np.arange(len(graph.ads), dtype=np.int64)
        self._before = int(graph.ads.start_day.min()) - 1
        self._settled = (self._before, 0)
        """The last day that is settled, and the sum up to it."""
        self._today: tuple[tuple[str, int], dict[int, int]] = (("", 0), {})
        self._sums: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def of_account(self, at: int) -> int:
        """Return everything that was spent up to a unix second."""
        today = self._day(at)
        settled = max(self._before, today - _SETTLED_DAYS)
        with self._lock:
            through, total = self._settled
            if settled < through:
                # The clock was put back.
                through, total = self._before, 0
            if settled > through:
                total += self._sum(self._all, through + 1, settled, at)
                through = settled
            self._settled = (through, total)
        return total + self._sum(self._all, settled + 1, today, at)

    def today(self, level: str, place: int, at: int) -> int:
        """Return what a campaign or ad set has spent of the account's own day so far."""
        known, sums = self._today
        if known != (level, at):
            source = Source(self._graph, self._currency, self._all, level, at)
            day = self._day(at)
            frame = daily_frame(source, day, day, _NEEDS)
            sums = dict(zip(frame.entities.tolist(), frame.scalars["spend"][0].tolist(), strict=True))
            self._today = ((level, at), sums)
        return sums.get(place, 0)

    def in_life(self, level: str, place: int, at: int) -> int:
        """Return what a campaign or ad set has spent since it was made."""
        table = self._graph.table(level)
        settled = self._day(at) > int(table.stop_day[place]) + _SETTLED_DAYS
        key = (level, place, 0 if settled else at)
        with self._lock:
            if key not in self._sums:
                ads = np.flatnonzero(self._graph.member_of(level) == place)
                self._sums[key] = self._sum(ads, int(table.start_day[place]), self._day(at), at)
                if len(self._sums) > _SUMS_KEPT:
                    self._sums.popitem(last=False)
            return self._sums[key]

    def _sum(self, ads: Ints, first: int, last: int, at: int) -> int:
        if first > last:
            return 0
        frame = period_frame(Source(self._graph, self._currency, ads, "account", at), first, last, _NEEDS)
        return int(frame.scalars["spend"].sum())

    def _day(self, at: int) -> int:
        return local_date(self._graph.spec.zone, at).toordinal()
