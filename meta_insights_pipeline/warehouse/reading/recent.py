"""The newest rows of one entity, page by page, the newest day first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from meta_insights_pipeline.warehouse.reading import entity
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Reference
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, Readable

_FIRST_DAYS, _MORE_DAYS = 60, 200
"""Days that are looked through first, unless more rows are wanted, and then; after these come all others at once."""


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
    snapshot: Readable, view: View, reference: Reference, chosen: Chosen, *, before: date | None, limit: int
) -> list[dict[str, Any]]:
    """The newest rows before a day, at most `limit` of them.

    Days are looked through from the newest on, some at first and then more and more: the rows of an entity that delivers are
    found without reading years.
    """
    rows: list[dict[str, Any]] = []
    for part in _parts(_before(chosen.period, before), limit):
        query = newest_rows(view, reference, replace(chosen, period=part), limit=limit - len(rows))
        rows += query.records(snapshot)
        if len(rows) == limit:
            break
    return rows


def _before(period: Period, day: date | None) -> Period:
    return period if day is None else Period(period.since, min(period.until, day - timedelta(days=1)))


def _parts(period: Period, limit: int) -> Iterator[Period]:
    until = period.until
    # As many days as rows: an entity that delivers every day is answered by one query.
    for days in (max(_FIRST_DAYS, limit), _MORE_DAYS, period.days):
        if until < period.since:
            return
        since = max(period.since, until - timedelta(days=days - 1))
        yield Period(since, until)
        until = since - timedelta(days=1)
