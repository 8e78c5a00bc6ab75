"""Answers to insights queries: which rows they have, in which order, and their text, made chunk by chunk and kept.

Belongs here: selection of ads and rows, sorting, the cache. Does not belong here: notation (`rendering`) or paging.
"""

import itertools
import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from meta_insights_pipeline.simulator.cells import CellStore
from meta_insights_pipeline.simulator.days import horizon
from meta_insights_pipeline.simulator.filters import entity_mask, number_mask
from meta_insights_pipeline.simulator.frames import Frame, Needs, Source, candidates, daily_frame, period_frame
from meta_insights_pipeline.simulator.metrics import RATIO_FIELDS, SCALARS, scalars_of, specs_of
from meta_insights_pipeline.simulator.query import BY_ID, BY_PARENT, InsightsQuery, Period
from meta_insights_pipeline.simulator.randomness import Ints, Mask
from meta_insights_pipeline.simulator.rendering import RowStyle, RowWriter
from meta_insights_pipeline.simulator.structure import DELETED, AccountGraph
from meta_insights_pipeline.simulator.world import World

CHUNK_CELLS = 10_000
"""Ad-days whose rows are written at once: small, so that the first page of a large report comes soon."""

CACHE_BYTES = 384_000_000
PLANS_KEPT = 512
_SMALL_ACCOUNT = 200
"""Ads of an account whose attributes, as written, are kept from step to step."""

_PARENTS = {"campaign": "account", "adset": "campaign", "ad": "adset"}

_SECONDS_KEPT = 3600
"""Answers of earlier steps are forgotten that are older than the newest one by more: only reports still need them."""


@dataclass(frozen=True)
class _Chunk:
    """A part of an answer: some days of a daily query, or one period of another."""

    period: Period
    rows: int


@dataclass(frozen=True)
class Plan:
    """How an answer falls into chunks."""

    query: InsightsQuery
    style: RowStyle
    chunks: tuple[_Chunk, ...]
    ends: tuple[int, ...]
    """Number of rows up to the end of each chunk."""

    @property
    def total(self) -> int:
        """Number of rows."""
        return self.ends[-1] if self.ends else 0


class Results:
    """Answers of one world; keeps the text of chunks up to a number of bytes, and is safe for threads."""

    def __init__(self, world: World, cache_bytes: int = CACHE_BYTES) -> None:
        self._world = world
        self._limit = cache_bytes
        self._lock = threading.RLock()
        self._plans: OrderedDict[InsightsQuery, Plan] = OrderedDict()
        self._texts: OrderedDict[tuple[InsightsQuery, int], list[str]] = OrderedDict()
        self._bytes = 0
        self._newest = 0
        self._names: dict[tuple[str, str], tuple[int, dict[tuple[tuple[str, ...], int], str]]] = {}
        self._cells = CellStore()

    def total(self, query: InsightsQuery) -> int:
        """Return how many rows the answer has."""
        return self._plan(query).total

    def rows(self, query: InsightsQuery, start: int, stop: int) -> list[str]:
        """Return the JSON of the rows with these zero-based numbers."""
        plan = self._plan(query)
        rows: list[str] = []
        place = bisect_right(plan.ends, start)
        while start < min(stop, plan.total):
            before = plan.ends[place - 1] if place else 0
            part = self._text(plan, place)[start - before : stop - before]
            rows += part
            start += len(part)
            place += 1
        return rows

    def summary(self, query: InsightsQuery) -> str | None:
        """Return the JSON of the totals over the object that was asked, or None if nothing was delivered.

        Explicit filters on entities apply; what a level hides by default is included, as it is in totals of a parent.
        """
        graph = self._world.graph(query.scope.account_id)
        first, last = min(period[0] for period in query.periods), max(period[1] for period in query.periods)
        ads = self._ads(query, graph, hide=False)
        fields = ("account_id", *query.summary)
        needs = Needs(scalars_of(frozenset(fields)), specs_of(frozenset(fields)))
        account = self._world.account(query.scope.account_id)
        source = Source(graph, account.currency, ads, "account", query.at, self._cells)
        frame = period_frame(source, first, last, needs)
        rows, columns = np.nonzero(frame.scalars["impressions"])
        edits = self._world.edits(account.id)
        style = RowStyle(account, graph, edits, "account", fields, query.windows, query.at)
        texts = RowWriter(style, frame, rows, columns).write()
        return texts[0] if texts else None

    # ---- plans ----

    def _plan(self, query: InsightsQuery) -> Plan:
        with self._lock:
            if query.at > self._newest:
                self._forget_before(query.at - _SECONDS_KEPT)
                self._newest = query.at
            plan = self._plans.get(query)
            if plan is None:
                plan = self._make_plan(query)
                self._plans[query] = plan
                if len(self._plans) > PLANS_KEPT:
                    self._plans.popitem(last=False)
            else:
                self._plans.move_to_end(query)
            return plan

    def _attributes(self, query: InsightsQuery, graph: AccountGraph) -> dict[tuple[tuple[str, ...], int], str]:
        """Return attributes already written: those of small accounts are the same until something is renamed."""
        if "updated_time" in query.fields or len(graph.ads) > _SMALL_ACCOUNT:
            return {}
        key, era = (query.scope.account_id, query.level), graph.name_era(query.at)
        known = self._names.get(key)
        if known is None or known[0] != era or len(known[1]) > _SMALL_ACCOUNT:
            known = self._names[key] = (era, {})
        return known[1]

    def _forget_before(self, at: int) -> None:
        for query in [query for query in self._plans if query.at < at]:
            del self._plans[query]
        for key in [key for key in self._texts if key[0].at < at]:
            self._bytes -= _size(self._texts.pop(key))

    def _make_plan(self, query: InsightsQuery) -> Plan:
        graph = self._world.graph(query.scope.account_id)
        account = self._world.account(query.scope.account_id)
        edits = self._world.edits(account.id)
        attributes = self._attributes(query, graph)
        style = RowStyle(account, graph, edits, query.level, query.fields, query.windows, query.at, attributes)
        ads = self._ads(query, graph, hide=True)
        periods = _chunk_periods(query, graph, ads)
        if query.sort is None and len(periods) == 1:
            # Writing the only chunk tells its rows, and it will be asked for next.
            rows = self._written(query, style, ads, periods[0])
            self._keep((query, 0), rows)
            return Plan(query, style, (_Chunk(periods[0], len(rows)),), (len(rows),))
        needs = Needs(self._filter_scalars(query))
        chunks = [
            _Chunk(period, int(self._selected(query, self._frame(query, graph, ads, period, needs)).sum()))
            for period in periods
        ]
        if query.sort is not None:
            chunks = [_Chunk(query.periods[0], sum(chunk.rows for chunk in chunks))]
        return Plan(query, style, tuple(chunks), tuple(itertools.accumulate(chunk.rows for chunk in chunks)))

    def _frame(self, query: InsightsQuery, graph: AccountGraph, ads: Ints, period: Period, needs: Needs) -> Frame:
        make = daily_frame if query.daily else period_frame
        currency = self._world.account(query.scope.account_id).currency
        return make(Source(graph, currency, ads, query.level, query.at, self._cells), *period, needs)

    def _ads(self, query: InsightsQuery, graph: AccountGraph, *, hide: bool) -> Ints:
        """Return the ads that count: existing, inside the scope, passing the filters, not hidden with their entity."""
        mask = graph.ads.existing(query.at)
        scope = query.scope
        if scope.level != "account":
            mask &= graph.member_of(scope.level) == graph.table(scope.level).index[scope.object_id]
        for condition in query.filters:
            if condition.level:
                edits = self._world.edits(scope.account_id)
                mask &= entity_mask(graph, edits, condition, query.at)[graph.member_of(condition.level)]
        if hide and _hides_deleted(query):
            deleted = graph.effective_status(query.level, query.at) == DELETED
            mask &= ~deleted[graph.member_of(query.level)]
        return np.flatnonzero(mask)

    def _selected(self, query: InsightsQuery, frame: Frame) -> Mask:
        """Return which entries of a frame are rows of the answer."""
        mask: Mask = frame.scalars["impressions"] > 0
        unit = 10 ** self._world.account(query.scope.account_id).decimals
        for condition in query.filters:
            if not condition.level:
                numbers = frame.scalars[condition.attribute]
                mask = mask & number_mask(condition, numbers / unit if condition.attribute == "spend" else numbers)
        return mask

    def _filter_scalars(self, query: InsightsQuery) -> frozenset[str]:
        return scalars_of(frozenset(condition.attribute for condition in query.filters if not condition.level))

    # ---- texts ----

    def _text(self, plan: Plan, place: int) -> list[str]:
        key = (plan.query, place)
        with self._lock:
            rows = self._texts.get(key)
            if rows is None:
                rows = self._write(plan, place)
                self._keep(key, rows)
            else:
                self._texts.move_to_end(key)
            return rows

    def _keep(self, key: tuple[InsightsQuery, int], rows: list[str]) -> None:
        if key in self._texts:
            self._bytes -= _size(self._texts[key])
        self._texts[key] = rows
        self._bytes += _size(rows)
        while self._bytes > self._limit and len(self._texts) > 1:
            self._bytes -= _size(self._texts.popitem(last=False)[1])

    def _write(self, plan: Plan, place: int) -> list[str]:
        query, graph = plan.query, plan.style.graph
        ads = self._ads(query, graph, hide=True)
        if query.sort is None:
            return self._written(query, plan.style, ads, plan.chunks[place].period)
        # All rows in the order asked for; equal ones stay in the usual order.
        keys: list[float] = []
        rows: list[str] = []
        for period in _chunk_periods(query, graph, ads):
            rows += self._written(query, plan.style, ads, period, keys)
        order = np.argsort(np.array(keys, dtype=np.float64) * (-1 if query.sort.descending else 1), kind="stable")
        return [rows[place] for place in order.tolist()]

    def _written(
        self, query: InsightsQuery, style: RowStyle, ads: Ints, period: Period, keys: list[float] | None = None
    ) -> list[str]:
        """Return the rows of a period, and note their keys for sorting in `keys`."""
        fields = frozenset(query.fields) | (frozenset({query.sort.field}) if query.sort else frozenset())
        needs = Needs(scalars_of(fields) | self._filter_scalars(query), specs_of(fields))
        frame = self._frame(query, style.graph, ads, period, needs)
        rows, columns = np.nonzero(self._selected(query, frame))
        if keys is not None:
            keys += _sort_keys(query, frame)[rows, columns].tolist()
        return RowWriter(style, frame, rows, columns).write()


def _hides_deleted(query: InsightsQuery) -> bool:
    """Tell whether rows of deleted entities are left out: below the object asked, unless a filter names them."""
    if query.level in {"account", query.scope.level}:
        return False
    if query.deleted_rows == BY_ID or (query.deleted_rows == BY_PARENT and query.scope.level != _PARENTS[query.level]):
        return True
    return not any(condition.names_deleted(query.level) for condition in query.filters)


def _chunk_periods(query: InsightsQuery, graph: AccountGraph, ads: Ints) -> list[Period]:
    """Return the parts of the answer; what lies in the future is left out, since it has no rows."""
    future = horizon(query.at)
    begun = [period for period in query.periods if period[0] < future]
    if not query.daily:
        return begun
    periods: list[Period] = []
    for first, last in ((first, min(last, future)) for first, last in begun):
        alive = candidates(graph, ads, first, last)
        # Ads come and go, so that the ads alive on one day are what a chunk is made of.
        mean = sum(len(candidates(graph, alive, day, day)) for day in (first, (first + last) // 2, last)) // 3
        size = max(1, CHUNK_CELLS // max(1, mean))
        periods += [(day, min(day + size - 1, last)) for day in range(first, last + 1, size)]
    return periods


def _sort_keys(query: InsightsQuery, frame: Frame) -> Ints:
    sort = query.sort
    assert sort is not None
    if sort.field in SCALARS:
        return frame.scalars[sort.field]
    if sort.field in RATIO_FIELDS:
        numerator, denominator, _, _ = RATIO_FIELDS[sort.field]
        top, bottom = frame.scalars[numerator], frame.scalars[denominator]
        # Six more digits of the quotient are enough to order rows; rows without a denominator come first.
        return np.where(bottom > 0, top * 1_000_000 // np.maximum(bottom, 1), -1)
    if sort.field == "date_start":
        days = np.array([first for first, _ in frame.periods], dtype=np.int64)
        return np.broadcast_to(days[:, None], frame.scalars["impressions"].shape)
    total = np.zeros_like(frame.scalars["impressions"])
    for spec in specs_of(frozenset({sort.field})):
        if spec.action_type == sort.action_type:
            total = frame.actions[(spec.kind, spec.source)].value
    return total


def _size(rows: list[str]) -> int:
    return sum(map(len, rows)) + 60 * len(rows)
