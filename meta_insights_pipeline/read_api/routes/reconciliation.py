"""`GET /meta/insights/reconciliation`."""

from typing import Annotated

from fastapi import Query, Response

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import about, json_answer
from meta_insights_pipeline.read_api.models.ledger import LedgerModel
from meta_insights_pipeline.read_api.paging import make_cursor, read_cursor
from meta_insights_pipeline.read_api.parameters import (
    DEFAULT_LIMIT,
    Accounts,
    AnswerFormat,
    Cursor,
    Days,
    Format,
    Limit,
)
from meta_insights_pipeline.read_api.reader import CurrentReader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.routes.notes import about_ledger
from meta_insights_pipeline.warehouse.reading.ledger import LedgerPlace, ledger
from meta_insights_pipeline.warehouse.reading.statement import Shape
from meta_insights_pipeline.warehouse.reconciliation import Status

router = new_router()

_CURSOR = "reconciliation"
_KEY = ("date_start", "account_id", "level", "metric")
_SHAPES = (Shape.DAY, Shape.TEXT, Shape.TEXT, Shape.TEXT)


@router.get("/reconciliation", response_model=LedgerModel, responses=AS_TABLE, summary="Whether levels add up")
def get_reconciliation(
    reader: CurrentReader,
    days: Days,
    accounts: Accounts,
    form: AnswerFormat,
    status: Annotated[
        list[Status] | None, Query(description="Only lines of this status; repeatable.", examples=[["unexplained"]])
    ] = None,
    level: Annotated[
        list[Level] | None, Query(description="Only lines of this level; repeatable.", examples=[["ad"]])
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The ledger, page by page: whether the rows of each level add up to the account's total, and if not, why."""
    view = reader.view(accounts)
    period = reader.period(days, view)
    after = None if cursor is None else LedgerPlace(*read_cursor(cursor, _CURSOR, _SHAPES))
    most = limit if form is not Format.JSON else (limit or DEFAULT_LIMIT) + 1
    query = ledger(view, period, statuses=status or (), levels=level or (), after=after, limit=most)
    if form is not Format.JSON:
        return table_answer(query, reader.snapshot, form, "reconciliation")
    rows = query.records(reader.snapshot)
    shown = rows[: limit or DEFAULT_LIMIT]
    is_more = len(rows) > len(shown)
    next_cursor = make_cursor(_CURSOR, [shown[-1][name] for name in _KEY]) if is_more else None
    told = about_ledger(period, reader.as_of)
    return json_answer({**about(period, reader.as_of), "items": shown, "next_cursor": next_cursor, "notes": told})
