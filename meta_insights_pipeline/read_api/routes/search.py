"""`GET /meta/insights/search`."""

from typing import Annotated

from fastapi import Query, Response

from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import json_answer
from meta_insights_pipeline.read_api.models.entities import SearchModel
from meta_insights_pipeline.read_api.parameters import Accounts, AnswerFormat, Format
from meta_insights_pipeline.read_api.reader import CurrentReader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.warehouse.reading.search import search

router = new_router()

_LONGEST_TEXT = 200


@router.get("/search", response_model=SearchModel, responses=AS_TABLE, summary="By name or id")
def get_search(
    reader: CurrentReader,
    accounts: Accounts,
    form: AnswerFormat,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=_LONGEST_TEXT,
            description="A part of the name, whatever its case, or the beginning of the id.",
            examples=["summer"],
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=100, description="The most that is found.", examples=[20])] = 20,
) -> Response:
    """Ad accounts, campaigns, ad sets and ads, deleted ones too: the same id first, then names, the best match first."""
    query = search(reader.view(accounts), q, limit=limit)
    if form is not Format.JSON:
        return table_answer(query, reader.snapshot, form, "search")
    return json_answer({"as_of": reader.as_of, "items": query.records(reader.snapshot)})
