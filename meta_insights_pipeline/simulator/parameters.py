"""How Graph reads the text of single parameters.

Belongs here: JSON, lists, whole numbers, booleans, dates. Does not belong here: what a parameter means.
"""

import functools
import json
from datetime import date
from typing import Any

from meta_insights_pipeline.simulator.errors import GraphError, invalid_parameter

MAX_LIMIT = 10_000


def parse_json(text: str, name: str) -> Any:
    """Read the JSON of a parameter."""
    try:
        return json.loads(text)
    except ValueError:
        raise invalid_parameter(f"Param {name} must be valid JSON.", name) from None


def parse_list(text: str | None, name: str) -> list[str]:
    """Read a list given as JSON or as text with commas."""
    if not text:
        return []
    if text.lstrip().startswith("["):
        items = parse_json(text, name)
        return [str(item) for item in items]
    return [item.strip().strip('"') for item in split_fields(text) if item.strip()]


@functools.lru_cache(maxsize=1024)
def split_fields(text: str) -> tuple[str, ...]:
    """Split at commas that stand outside braces, as in `id,creative{id,name}`."""
    if "{" not in text and "}" not in text:
        return tuple(text.split(","))
    parts, depth, part = [], 0, ""
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    if depth:
        raise GraphError("Syntax error in fields: expected matching braces", 2500)
    return (*parts, part)


def parse_limit(text: str | None, default: int = 25) -> int:
    """Read `limit`."""
    if text is None or text == "":
        return default
    limit = parse_int(text, "limit")
    if limit < 1:
        raise invalid_parameter("Param limit must be greater than or equal to 1", "limit")
    return min(limit, MAX_LIMIT)


def parse_int(text: str, name: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise invalid_parameter(f"Param {name} must be an integer", name) from None


def parse_bool(text: str | None) -> bool:
    """Read a boolean; whatever is not true is false."""
    return (text or "").strip().lower() in {"true", "1"}


def parse_date(value: Any, name: str) -> date:
    """Read a date of the form YYYY-MM-DD."""
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise invalid_parameter(f"{name} is not a valid date (expected YYYY-MM-DD)", "time_range") from None
