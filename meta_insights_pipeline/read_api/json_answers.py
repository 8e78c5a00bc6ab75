"""Answers as JSON, written at once: they are made by our own queries, and tests hold each against its model."""

from datetime import datetime
from typing import Any

import orjson
from fastapi import Response

from meta_insights_pipeline.warehouse.reading.period import Period

# The warehouse's moments are in UTC without saying so.
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def json_answer(content: dict[str, Any]) -> Response:
    """An answer with this content."""
    return Response(orjson.dumps(content, option=_OPTIONS), media_type="application/json")


def about(period: Period, as_of: datetime | None) -> dict[str, Any]:
    """What an answer says of its days and its moment."""
    return {
        "period": {"date_from": period.first, "date_to": period.until, "days": period.days},
        "as_of": as_of,
    }
