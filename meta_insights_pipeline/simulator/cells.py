"""Ad-days at hand: numbers of small requests are kept from call to call, with all that does not depend on the instant.

Belongs here: what is kept, and how much of it. Does not belong here: what the numbers are (`delivery`, `conversions`).
"""

import threading
from collections import OrderedDict

from meta_insights_pipeline.simulator.conversions import Conversions
from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.structure import AccountGraph

Cells = tuple[AdDays, Conversions]

_KEPT = 65_536
"""Ad-days kept in all; each takes up to a kilobyte."""

_LARGEST = 4096
"""Ad-days of the largest request that is kept: what is larger gains little, and would push out all others."""

_LEAST = 32
"""What a request counts at least, since arrays have a size of their own."""


def make_cells(graph: AccountGraph, currency: str, ads: Ints, days: Ints, at: int) -> Cells:
    """Return the amounts of some ads and days at an instant."""
    cells = AdDays(graph, currency, ads, days, at)
    return cells, Conversions(cells)


class CellStore:
    """Amounts of the accounts of one world; the least used go first. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int, bytes], Cells] = OrderedDict()
        self._size = 0

    def get(self, graph: AccountGraph, currency: str, ads: Ints, days: Ints, at: int) -> Cells:
        """Return the amounts of some ads on successive days at an instant, made anew only as far as time has passed."""
        if not 0 < len(ads) * len(days) <= _LARGEST:
            return make_cells(graph, currency, ads, days, at)
        key = (graph.spec.account_id, int(days[0]), len(days), ads.tobytes())
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0].at == at:
                self._kept.move_to_end(key)
                return known
        cells = AdDays(graph, currency, ads, days, at, None if known is None else known[0].draws)
        made = cells, Conversions(cells)
        with self._lock:
            if key not in self._kept:
                self._size += _cost(cells)
            self._kept[key] = made
            self._kept.move_to_end(key)
            while self._size > _KEPT:
                _, (gone, _) = self._kept.popitem(last=False)
                self._size -= _cost(gone)
        return made


def _cost(cells: AdDays) -> int:
    return max(_LEAST, len(cells.ads) * len(cells.days))
