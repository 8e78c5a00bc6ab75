"""`GET /meta/insights/syncs`."""

from itertools import islice
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response

from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal
from meta_insights_pipeline.read_api.exports import rows_answer
from meta_insights_pipeline.read_api.json_answers import json_answer
from meta_insights_pipeline.read_api.models.syncs import SYNC_COLUMNS, SyncsModel
from meta_insights_pipeline.read_api.paging import make_cursor, read_cursor
from meta_insights_pipeline.read_api.parameters import (
    DEFAULT_LIMIT,
    Accounts,
    AnswerFormat,
    Cursor,
    Days,
    Format,
    Limit,
    Moment,
    clock_of,
)
from meta_insights_pipeline.read_api.receipts import ReceiptFiles
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.sync_history import SyncHistory, Wanted
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.reading.period import today_in
from meta_insights_pipeline.warehouse.reading.statement import Shape

router = new_router()

_CURSOR = "syncs"
# Its answers are not kept, so there is no ETag.
_AS_TABLE: Final[dict[int | str, dict[str, Any]]] = {
    200: {name: part for name, part in AS_TABLE[200].items() if name != "headers"}
}


def settings_of(request: Request) -> Settings:
    """The settings of the app that a request came to."""
    settings = request.app.state.settings
    assert isinstance(settings, Settings)
    return settings


async def history_of(request: Request) -> SyncHistory:
    """The sync history of the app that a request came to."""
    state = request.app.state
    if not hasattr(state, "sync_history"):
        state.sync_history = SyncHistory(ReceiptFiles(settings_of(request)))
    history = state.sync_history
    assert isinstance(history, SyncHistory)
    return history


# The receipts are no part of a snapshot, so this route does not read from one, and its answers are not kept.
@router.get("/syncs", response_model=SyncsModel, responses=_AS_TABLE, summary="The syncs that were")
def get_syncs(
    request: Request,
    principal: CurrentPrincipal,
    history: Annotated[SyncHistory, Depends(history_of)],
    settings: Annotated[Settings, Depends(settings_of)],
    as_of: Moment,
    days: Days,
    accounts: Accounts,
    form: AnswerFormat,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The syncs that were about an ad account that may be seen, and about one of the days if any are named.

    The one that ended last comes first. Who does not see all accounts of a sync is shown the own ones and what lacks of them, and
    no figure of the whole.
    """
    since = until = None
    if not days.is_open:
        zones = [each.timezone_name for each in AccountBook(settings.home).accounts() if principal.sees(each.id)]
        period = days.resolve(today_in(zones, as_of or clock_of(request).now()))
        since, until = period.first, period.until
    before = None
    if cursor is not None:
        moment, run_id = read_cursor(cursor, _CURSOR, [Shape.MOMENT, Shape.TEXT])
        before = (moment, run_id)
    found = history.newest(principal, Wanted(as_of, accounts, since, until, before))
    if form is not Format.JSON:
        return rows_answer(SYNC_COLUMNS, [view for _, view in islice(found, limit)], form, "syncs")
    most = limit or DEFAULT_LIMIT
    syncs = list(islice(found, most + 1))
    next_cursor = None
    if len(syncs) > most:
        last, _ = syncs[most - 1]
        next_cursor = make_cursor(_CURSOR, [last.finished_at, last.run_id])
    return json_answer({"as_of": as_of, "items": [view for _, view in syncs[:most]], "next_cursor": next_cursor})
