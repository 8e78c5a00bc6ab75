"""`GET /meta/insights/recent-insights/{entity_id}`."""

from typing import Annotated

from fastapi import Path, Response

from meta_insights_pipeline.read_api.access.confinement import seen_by
from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import json_answer
from meta_insights_pipeline.read_api.models.entities import RecentModel
from meta_insights_pipeline.read_api.paging import make_cursor, read_cursor
from meta_insights_pipeline.read_api.parameters import DEFAULT_LIMIT, AnswerFormat, Cursor, Days, Format, Limit
from meta_insights_pipeline.read_api.reader import CurrentReader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.routes.notes import about_figures
from meta_insights_pipeline.warehouse.reading import entity, recent
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.statement import Shape

router = new_router(404)

_CURSOR = "recent"


@router.get("/recent-insights/{entity_id}", response_model=RecentModel, responses=AS_TABLE, summary="Newest rows")
def get_recent_insights(
    entity_id: Annotated[
        str,
        Path(
            max_length=64,
            description="Id of an ad account (with or without `act_`), campaign, ad set or ad.",
            examples=["120210000000000101"],
        ),
    ],
    reader: CurrentReader,
    days: Days,
    form: AnswerFormat,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The newest rows of an entity of any level, the newest day first, page by page; of all days when none are named."""
    view = reader.view()
    own_id = entity_id.removeprefix("act_")
    place = entity.locate(reader.snapshot, view, own_id)
    level, account_id = seen_by(
        reader.principal, place, lambda one: [one[1]], what="ad account, campaign, ad set or ad", identifier=entity_id
    )
    period = days.resolve_open(reader.today_of(account_id))
    before = None if cursor is None else read_cursor(cursor, _CURSOR, [Shape.DAY])[0]
    chosen = Chosen(level, period, account_id=account_id, entity_id=own_id)
    if form is not Format.JSON:
        query = recent.newest_rows(view, reader.reference, chosen, before=before, limit=limit)
        return table_answer(query, reader.snapshot, form, f"recent-{level.value}")
    most = limit or DEFAULT_LIMIT
    rows = recent.read_newest(reader.snapshot, view, reader.reference, chosen, before=before, limit=most + 1)
    account = reader.reference.accounts.get(account_id)
    return json_answer(
        {
            "level": level.value,
            "id": own_id,
            "account_id": account_id,
            "account_currency": (account and account.currency) or (rows[0]["account_currency"] if rows else None),
            "as_of": reader.as_of,
            "items": rows[:most],
            "next_cursor": make_cursor(_CURSOR, [rows[most - 1]["date_start"]]) if len(rows) > most else None,
            "notes": about_figures(period, rows=rows[:most], single=rows[:most], as_of=reader.as_of, is_summed=False),
        }
    )
