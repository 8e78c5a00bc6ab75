"""Cursors: where a page ended, as a text that clients hand back and need not understand.

A cursor names the last row by its key and by what it was sorted by, and no snapshot: the next page goes on behind that row in
whichever snapshot is the newest then. What comes in it is checked, and bound like every other value.
"""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson

from meta_insights_pipeline.read_api.parameters import FIRST_DAY, LAST_DAY, unusable
from meta_insights_pipeline.warehouse.reading.statement import Shape, Value

_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,6})?")
_LARGEST = 2**63


def make_cursor(listing: str, values: Sequence[Value]) -> str:
    """The cursor behind a row.

    Args:
        listing: What is listed and how it is sorted.
        values: What tells the place of the row, as JSON shows it.
    """
    text = base64.urlsafe_b64encode(orjson.dumps([listing, *values]))
    return text.decode("ascii").rstrip("=")


def read_cursor(cursor: str, listing: str, shapes: Sequence[Shape], *, nullable: int = -1) -> list[Any]:
    """The values of a cursor; days become dates, and moments aware ones.

    Args:
        cursor: As a client sent it.
        listing: What is listed and how it is sorted now.
        shapes: What each value must be.
        nullable: Which of them may be null.

    Raises:
        RequestValidationError: It is none of ours, or one of another listing.
    """
    try:
        made_for, *values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for != listing or len(values) != len(shapes):
            raise ValueError
        return [
            None if value is None and place == nullable else _checked(value, shape)
            for place, (value, shape) in enumerate(zip(values, shapes, strict=True))
        ]
    except (ValueError, TypeError):
        raise unusable(
            "cursor",
            "It is not the next_cursor of this listing with these parameters; leave it out for the first page.",
        ) from None


def _checked(value: object, shape: Shape) -> object:
    match shape, value:
        case ((Shape.TEXT | Shape.NAME), str()):
            return value
        case Shape.DECIMAL, str() if _DECIMAL.fullmatch(value):
            return value
        case Shape.INTEGER, int() if not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
            return value
        case Shape.NUMBER, (int() | float()) if not isinstance(value, bool):
            return float(value)
        case Shape.DAY, str():
            return _sensible(date.fromisoformat(value))
        case Shape.MOMENT, str():
            moment = datetime.fromisoformat(value)
            _sensible(moment.date())
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        case _:
            raise ValueError


def _sensible(day: date) -> date:
    """A day with room on both sides for counting days."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError
    return day
