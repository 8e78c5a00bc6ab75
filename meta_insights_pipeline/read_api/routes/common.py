"""What the routes that read have in common."""

from enum import Enum
from typing import Any, Final

from fastapi import APIRouter

from meta_insights_pipeline.read_api.parameters import MEDIA_TYPES, Format
from meta_insights_pipeline.read_api.problems import problem_responses

PREFIX: Final = "/meta/insights"
AS_TABLE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The answer; as CSV, Parquet or an Arrow stream one table of it.",
        "content": {
            MEDIA_TYPES[form]: {
                "schema": {"type": "string"} if form is Format.CSV else {"type": "string", "format": "binary"}
            }
            for form in Format
            if form is not Format.JSON
        },
        "headers": {
            "ETag": {
                "description": "Names this answer; it changes when what the answer says may have changed.",
                "schema": {"type": "string"},
            }
        },
    },
    304: {"description": "The answer that `If-None-Match` names by its ETag is still right; without a body."},
}


def new_router(*statuses: int) -> APIRouter:
    """A router below /meta/insights.

    Args:
        statuses: Which errors its routes answer beside those of access.
    """
    tags: list[str | Enum] = ["insights"]
    return APIRouter(prefix=PREFIX, tags=tags, responses=problem_responses(401, 403, 422, 429, 503, *statuses))
