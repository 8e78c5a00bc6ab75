"""The newest rows of one entity, page by page, the newest day first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from math import ceil
from typing import Any

from meta_insights_pipeline.warehouse.reading import entity
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshot
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query

_FEW_DAYS, _MORE_DAYS = 60, 200
"""Days that are looked through for a few rows, and days after the first ones; after these come all others at once."""
_SHARE = 0.8
"""For more rows two parts of so many days a row are looked through at the same time: entities deliver on most days."""


def newest_rows(
    view: View, reference: Reference, chosen: Chosen, *, before: date | None = None, limit: int | None = None
) -> Query:
    """One row for each day of the period, before a day if there is one, on which one entity delivered; the newest first."""
    bind = Binder()
    chosen = replace(chosen, period=_before(chosen.period, before))
    body = entity.day_rows(bind, view, reference, chosen)
    end = "" if limit is None else f" LIMIT {bind(limit)}"
    return Query(entity.DAY_COLUMNS, body, bind.parameters, f"ORDER BY q.date_start DESC{end}")


def read_newest(
    snapshot: Snapshot, view: View, reference: Reference, chosen: Chosen, *, before: date | None, limit: int
) -> list[dict[str, Any]]:
    """The newest rows before a day, at most `limit` of them.

    Days are looked through from the newest on, some at first and then more and more: the rows of an entity that delivers are
    found without reading years.
    """
    rows: list[dict[str, Any]] = []
    for parts in _parts(_before(chosen.period, before), limit):
        queries = [
            newest_rows(view, reference, replace(chosen, period=part), limit=limit - len(rows)) for part in parts
        ]
        for found in snapshot.together(*(partial(query.records, snapshot) for query in queries)):
            rows += found
        if len(rows) >= limit:
            break
    return rows[:limit]


def _before(period: Period, day: date | None) -> Period:
    return period if day is None else Period(period.since, min(period.until, day - timedelta(days=1)))


def _parts(period: Period, limit: int) -> Iterator[list[Period]]:
    """Parts of a period that are looked through together, the newest first."""
    first = [_FEW_DAYS] if limit <= _FEW_DAYS / 2 else [max(_FEW_DAYS, ceil(limit * _SHARE))] * 2
    until = period.until
    for lengths in (first, [_MORE_DAYS], [period.days]):
        parts = []
        for days in lengths:
            since = max(period.since, until - timedelta(days=days - 1))
            if since <= until:
                parts.append(Period(since, until))
            until = since - timedelta(days=1)
        if parts:
            yield parts
