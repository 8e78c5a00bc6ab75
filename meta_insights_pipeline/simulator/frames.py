"""Numbers of a level for some periods: sums of ad-days over entities and days, and people without counting twice.

Belongs here: the arrays behind rows. Does not belong here: which rows are shown (`results`) or how they are written
(`rendering`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from meta_insights_pipeline.simulator.cells import Cells, CellStore, make_cells
from meta_insights_pipeline.simulator.conversions import Conversions, Windowed
from meta_insights_pipeline.simulator.days import horizon
from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.metrics import COUNT_SOURCES, ActionSpec, Kind
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.reach import runs, union_lengths
from meta_insights_pipeline.simulator.structure import AccountGraph

BLOCK_CELLS = 40_000
"""Ad-days computed at once; bounds the memory of a request, whatever its range."""

ON_PLATFORM_WINDOWS = ("1d_click", "7d_click", "28d_click")
"""Windows that hold all of what happens on Meta's services."""

_MARKS = {"p25": 0, "p50": 1, "p75": 2, "p95": 3, "p100": 4}

Amount = tuple[Kind, str]
"""What an action type counts: its kind and source."""


@dataclass(frozen=True)
class Needs:
    """What to compute: numbers by name, and action types."""

    scalars: frozenset[str]
    specs: tuple[ActionSpec, ...] = ()

    @property
    def amounts(self) -> tuple[Amount, ...]:
        """The different amounts behind the action types."""
        return tuple(dict.fromkeys((spec.kind, spec.source) for spec in self.specs))


@dataclass(frozen=True)
class Source:
    """What the numbers come from: some ads of an account at an instant, to be summed at a level."""

    graph: AccountGraph
    currency: str
    ads: Ints
    level: str
    at: int
    store: CellStore | None = None
    """Keeps amounts for the next call; without one they are made for this call alone."""

    def groups(self, first: int, last: int) -> "_Groups":
        """Return the ads that may deliver between two days, by entity of the level."""
        return _Groups(self.graph, candidates(self.graph, self.ads, first, last), self.level)

    def cells(self, ads: Ints, days: Ints) -> Cells:
        """Return the amounts of some ads and days."""
        make = make_cells if self.store is None else self.store.get
        return make(self.graph, self.currency, ads, days, self.at)


@dataclass(frozen=True)
class Frame:
    """Arrays of periods (rows) by entities (columns)."""

    periods: list[tuple[int, int]]
    """First and last day of each period, as ordinals."""
    entities: Ints
    """Places of the entities in the table of their level."""
    scalars: dict[str, Ints]
    actions: dict[Amount, Windowed] = field(default_factory=dict)


def delivery_amount(cells: AdDays, source: str) -> Ints:
    """Return an amount of `AdDays` by its name in `metrics`."""
    amount: Ints = cells.mark(_MARKS[source]) if source in _MARKS else getattr(cells, source)
    return amount


def action_amount(cells: AdDays, conversions: Conversions, amount: Amount) -> Windowed:
    """Return the amount behind an action type by attribution window."""
    kind, source = amount
    if kind == "delivery":
        value = delivery_amount(cells, source)
        return Windowed(value, dict.fromkeys(ON_PLATFORM_WINDOWS, value))
    return conversions.count(source) if kind == "count" else conversions.value(source)


def candidates(graph: AccountGraph, ads: Ints, first: int, last: int) -> Ints:
    """Return which of some ads may deliver between two days."""
    table = graph.ads
    return ads[(table.start_day[ads] <= last) & (table.stop_day[ads] >= first)]


def daily_frame(source: Source, first: int, last: int, needs: Needs) -> Frame:
    """Return a frame with one period a day; the caller keeps the range small."""
    days = np.arange(first, last + 1, dtype=np.int64)
    groups = source.groups(first, last)
    cells, conversions = source.cells(groups.ads, days)
    scalars = {name: groups.sums(_scalar(cells, name)) for name in needs.scalars if name != "reach"}
    if "reach" in needs.scalars:
        people = groups.people(*runs(cells), np.arange(len(days)))
        scalars["reach"] = people.reshape(len(days), len(groups.entities))
    actions = {amount: _mapped(groups.sums, action_amount(cells, conversions, amount)) for amount in needs.amounts}
    return Frame([(day, day) for day in days.tolist()], groups.entities, scalars, actions)


def period_frame(source: Source, first: int, last: int, needs: Needs) -> Frame:
    """Return a frame with one period from `first` to `last`, computed block by block."""
    groups = source.groups(first, last)
    scalars = {name: np.zeros((1, len(groups.entities)), dtype=np.int64) for name in needs.scalars}
    actions: dict[Amount, Windowed] = {}
    people: list[tuple[Ints, Ints]] = []
    for days in blocks(first, min(last, horizon(source.at)), len(groups.ads)):
        cells, conversions = source.cells(groups.ads, days)
        for name in needs.scalars - {"reach"}:
            scalars[name] += groups.totals(_scalar(cells, name))
        if "reach" in needs.scalars:
            people.append(runs(cells))
        for amount in needs.amounts:
            part = _mapped(groups.totals, action_amount(cells, conversions, amount))
            actions[amount] = _added(actions.get(amount), part)
    if "reach" in needs.scalars and people:
        starts, lengths = (np.concatenate([pair[side] for pair in people]) for side in (0, 1))
        scalars["reach"] = groups.people(starts, lengths, np.zeros(len(starts), dtype=np.int64))[None, :]
    return Frame([(first, last)], groups.entities, scalars, actions)


def blocks(first: int, last: int, ads: int, cells: int = BLOCK_CELLS) -> Iterable[Ints]:
    """Yield the days of a range in portions that hold about `cells` ad-days."""
    size = max(1, cells // max(1, ads))
    for start in range(first, last + 1, size):
        yield np.arange(start, min(start + size, last + 1), dtype=np.int64)


class _Groups:
    """Ads in the order of the entities they belong to, and sums over them."""

    def __init__(self, graph: AccountGraph, ads: Ints, level: str) -> None:
        self.ads = ads
        member = graph.member_of(level)[ads]
        changes = np.flatnonzero(np.diff(member)) + 1
        self._starts = np.concatenate([np.zeros(min(1, len(ads)), dtype=np.int64), changes])
        self.entities: Ints = member[self._starts]
        self._group = np.searchsorted(self.entities, member).astype(np.int64)
        self._single = len(self.entities) == len(ads)

    def sums(self, amounts: Ints) -> Ints:
        """Return the sums over the ads of each entity, day by day."""
        if self._single:
            return amounts
        return np.add.reduceat(amounts, self._starts, axis=1)

    def totals(self, amounts: Ints) -> Ints:
        """Return the sums over the ads of each entity and all days, as one row."""
        return self.sums(amounts.sum(axis=0, keepdims=True))

    def people(self, starts: Ints, lengths: Ints, period: Ints) -> Ints:
        """Return different people by period and entity, flat; `period` numbers the period of each day."""
        if self._single and len(np.unique(period)) == len(starts):
            return lengths.ravel()
        width = len(self.entities)
        group = (period[:, None] * width + self._group[None, :]).ravel()
        periods = int(period.max(initial=0)) + 1
        return union_lengths(group, starts.ravel(), lengths.ravel(), periods * width)


def _scalar(cells: AdDays, name: str) -> Ints:
    return delivery_amount(cells, COUNT_SOURCES.get(name, name))


def _mapped(change: Callable[[Ints], Ints], amounts: Windowed) -> Windowed:
    """Apply a sum to an amount and its windows; windows that share an array with the value keep sharing it."""
    known: dict[int, Ints] = {}

    def once(array: Ints) -> Ints:
        if id(array) not in known:
            known[id(array)] = change(array)
        return known[id(array)]

    return Windowed(once(amounts.value), {name: once(array) for name, array in amounts.windows.items()})


def _added(total: Windowed | None, part: Windowed) -> Windowed:
    if total is None:
        return part
    windows = {name: total.windows[name] + array for name, array in part.windows.items()}
    return Windowed(total.value + part.value, windows)
