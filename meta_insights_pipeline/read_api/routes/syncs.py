"""`GET /meta/insights/syncs`."""

from typing import Annotated

from fastapi import Depends, Request, Response

from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal
from meta_insights_pipeline.read_api.json_answers import json_answer
from meta_insights_pipeline.read_api.models.syncs import SyncsModel
from meta_insights_pipeline.read_api.paging import make_cursor, read_cursor
from meta_insights_pipeline.read_api.parameters import DEFAULT_LIMIT, Accounts, Cursor, Limit, Moment
from meta_insights_pipeline.read_api.routes.common import new_router
from meta_insights_pipeline.read_api.sync_history import SyncHistory, seen_syncs
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.reading.statement import Shape

router = new_router()

_CURSOR = "syncs"


async def history_of(request: Request) -> SyncHistory:
    """The sync history of the app that a request came to."""
    state = request.app.state
    if not hasattr(state, "sync_history"):
        settings = state.settings
        assert isinstance(settings, Settings)
        state.sync_history = SyncHistory(settings.home / "receipts")
    history = state.sync_history
    assert isinstance(history, SyncHistory)
    return history


# The receipts are no part of a snapshot, so this route does not read from one, and its answers are not kept.
@router.get("/syncs", response_model=SyncsModel, summary="The syncs that were")
def get_syncs(
    principal: CurrentPrincipal,
    history: Annotated[SyncHistory, Depends(history_of)],
    as_of: Moment,
    accounts: Accounts,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The syncs that were about an ad account that may be seen, the newest first, page by page.

    Who does not see all accounts of a sync is shown the own ones and what lacks of them, and no figure of the whole.
    """
    syncs = seen_syncs(history, principal, as_of=as_of, accounts=accounts)
    if cursor is not None:
        place = tuple(read_cursor(cursor, _CURSOR, [Shape.MOMENT, Shape.TEXT]))
        syncs = [each for each in syncs if (each[0].started_at, each[0].run_id) < place]
    shown = syncs[: limit or DEFAULT_LIMIT]
    next_cursor = None
    if len(syncs) > len(shown):
        last = shown[-1][0]
        next_cursor = make_cursor(_CURSOR, [last.started_at, last.run_id])
    return json_answer({"as_of": as_of, "items": [view for _, view in shown], "next_cursor": next_cursor})
