"""What the routes that read have in common."""

from enum import Enum
from typing import Any, Final

from fastapi import APIRouter

from meta_insights_pipeline.read_api.models.shared import NOTES
from meta_insights_pipeline.read_api.parameters import MEDIA_TYPES, Format
from meta_insights_pipeline.read_api.problems import problem_responses
from meta_insights_pipeline.warehouse.reading.period import Period

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
_AS_OF = (
    "collected_at, is_final and what lacks are known as they are now: of a day that was collected again since the moment of "
    "as_of they are null, false or not there."
)
_WITHHELD = "Meta would not give these fields for a part of the rows, so that sums of them are null: {fields}."


def new_router(*statuses: int) -> APIRouter:
    """A router below /meta/insights.

    Args:
        statuses: Which errors its routes answer beside those of access.
    """
    tags: list[str | Enum] = ["insights"]
    return APIRouter(prefix=PREFIX, tags=tags, responses=problem_responses(401, 403, 422, 429, 503, *statuses))


def notes(period: Period, withheld: str | None, *, is_past: bool, is_one_row: bool) -> dict[str, str]:
    """Why figures of an answer are null.

    Args:
        period: Its days.
        withheld: Fields that Meta would not give, separated by commas.
        is_past: Whether it is about an earlier moment.
        is_one_row: Whether sums are made of one entity alone.
    """
    found: dict[str, str] = {}
    if not (period.is_one_day and is_one_row):
        found |= NOTES
    if withheld:
        found["withheld_fields"] = _WITHHELD.format(fields=", ".join(sorted(set(withheld.split(",")))))
    if is_past:
        found["as_of"] = _AS_OF
    return found
