"""The `filtering` parameter: what it may hold, and which ads or rows pass.

Belongs here: conditions on entities and on numbers. Does not belong here: which entities are hidden by default
(`results`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meta_insights_pipeline.simulator.edits import AccountEdits
from meta_insights_pipeline.simulator.errors import invalid_parameter, not_one_of
from meta_insights_pipeline.simulator.metrics import SCALARS
from meta_insights_pipeline.simulator.parameters import parse_json
from meta_insights_pipeline.simulator.randomness import Ints, Mask
from meta_insights_pipeline.simulator.structure import LEVELS, STATUS_NAMES, AccountGraph

Scalar = str | int | float

_TEXT: dict[str, Callable[[str, str], bool]] = {
    "EQUAL": lambda text, wanted: text == wanted,
    "CONTAIN": lambda text, wanted: wanted in text,
    "STARTS_WITH": lambda text, wanted: text.startswith(wanted),
    "ENDS_WITH": lambda text, wanted: text.endswith(wanted),
}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "EQUAL": lambda number, wanted: number == wanted,
    "NOT_EQUAL": lambda number, wanted: number != wanted,
    "GREATER_THAN": lambda number, wanted: number > wanted,
    "GREATER_THAN_OR_EQUAL": lambda number, wanted: number >= wanted,
    "LESS_THAN": lambda number, wanted: number < wanted,
    "LESS_THAN_OR_EQUAL": lambda number, wanted: number <= wanted,
}
_TEXT_OPERATORS = (
    "EQUAL",
    "NOT_EQUAL",
    "IN",
    "NOT_IN",
    "CONTAIN",
    "NOT_CONTAIN",
    "CONTAINS_ANY",
    "NOT_CONTAINS_ANY",
    "STARTS_WITH",
    "ENDS_WITH",
)
_NUMBER_OPERATORS = (*_ORDER, "IN_RANGE", "NOT_IN_RANGE")
_TEXT_ATTRIBUTES = ("id", "name", "effective_status", "status", "configured_status", "delivery_info")
_TIME_ATTRIBUTES = ("updated_time", "created_time")
_DELIVERY_WORDS = {"inactive": ("PAUSED",), "off": ("PAUSED", "ADSET_PAUSED", "CAMPAIGN_PAUSED")}


@dataclass(frozen=True)
class Filter:
    """One condition; `level` is empty for conditions on numbers."""

    level: str
    attribute: str
    operator: str
    values: tuple[Scalar, ...]

    def names_deleted(self, level: str) -> bool:
        """Tell whether the condition asks for deleted entities of a level by their status."""
        asked = {str(value).upper() for value in self.values}
        return (
            self.level == level
            and self.attribute.endswith("status")
            and self.operator in {"IN", "EQUAL"}
            and bool(asked & {"DELETED"})
        )


def parse_filters(text: str | None, default_level: str = "") -> tuple[Filter, ...]:
    """Read the parameter; names without a level mean `default_level`."""
    if not text:
        return ()
    conditions = parse_json(text, "filtering")
    if isinstance(conditions, dict):
        conditions = [conditions]
    if not isinstance(conditions, list):
        raise invalid_parameter("Param filtering must be an array.", "filtering")
    return tuple(_parse(condition, place, default_level) for place, condition in enumerate(conditions))


def _parse(condition: Any, place: int, default_level: str) -> Filter:
    if not isinstance(condition, dict) or not {"field", "operator"} <= condition.keys():
        raise invalid_parameter(
            f"Param filtering[{place}] must be an object with field, operator and value", "filtering"
        )
    name, operator = str(condition["field"]), str(condition["operator"]).upper()
    value = condition.get("value", [])
    values = tuple(value) if isinstance(value, list) else (value,)
    level, _, attribute = name.rpartition(".")
    level = level or default_level
    if attribute in SCALARS:
        level, allowed = "", _NUMBER_OPERATORS
    elif level in LEVELS and attribute in _TEXT_ATTRIBUTES:
        allowed = _TEXT_OPERATORS
    elif level in LEVELS and attribute in _TIME_ATTRIBUTES:
        allowed = _NUMBER_OPERATORS
    else:
        raise invalid_parameter(
            f"Filtering field '{name}' with operation '{operator.lower()}' is not supported", "filtering"
        )
    if operator not in allowed:
        raise not_one_of(f"filtering[{place}][operator]", allowed)
    if allowed is _NUMBER_OPERATORS:
        return Filter(level, attribute, operator, tuple(_number(item, place) for item in values))
    return Filter(level, attribute, operator, tuple(str(item) for item in values))


def _number(value: Any, place: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise invalid_parameter(f"filtering[{place}][value] must be a number", "filtering") from None


def entity_mask(graph: AccountGraph, edits: AccountEdits, condition: Filter, at: int) -> Mask:
    """Return which entities of the condition's level pass."""
    table = graph.table(condition.level)
    if condition.attribute in _TIME_ATTRIBUTES:
        if condition.attribute == "created_time":
            return number_mask(condition, table.created)
        return number_mask(condition, edits.updated(condition.level, at))
    if condition.attribute == "id":
        return _texts_pass(condition, table.ids)
    if condition.attribute == "name":
        return _texts_pass(condition, [table.name(place, at) for place in range(len(table))])
    return _statuses_pass(graph, condition, at)


def _statuses_pass(graph: AccountGraph, condition: Filter, at: int) -> Mask:
    own = condition.attribute in {"status", "configured_status"}
    status = graph.table(condition.level).own_status(at) if own else graph.effective_status(condition.level, at)
    wanted: list[Scalar] = []
    for value in condition.values:
        wanted += _DELIVERY_WORDS.get(str(value).lower(), (str(value).upper(),))
    passing = _texts_pass(Filter(condition.level, "status", condition.operator, tuple(wanted)), list(STATUS_NAMES))
    return passing[status]


def _texts_pass(condition: Filter, texts: list[str]) -> Mask:
    wanted = tuple(str(value).casefold() for value in condition.values)
    name = condition.operator
    negated = name.startswith("NOT_")
    if name in {"IN", "NOT_IN", "EQUAL", "NOT_EQUAL"}:
        known = frozenset(wanted)
        hits = [text.casefold() in known for text in texts]
    else:
        test = _TEXT["CONTAIN" if "CONTAIN" in name else name]
        hits = [any(test(text.casefold(), value) for value in wanted) for text in texts]
    return np.array(hits, dtype=np.bool_) ^ negated


def number_mask(condition: Filter, numbers: Ints | npt.NDArray[np.float64]) -> Mask:
    """Return which numbers pass."""
    values = [float(value) for value in condition.values]
    if condition.operator.endswith("IN_RANGE"):
        if len(values) != 2:
            raise invalid_parameter("A range needs two values", "filtering")
        inside = (numbers >= values[0]) & (numbers <= values[1])
        return inside if condition.operator == "IN_RANGE" else ~inside
    if len(values) != 1:
        raise invalid_parameter(f"Operator {condition.operator} needs one value", "filtering")
    mask: Mask = _ORDER[condition.operator](numbers, values[0])
    return mask
