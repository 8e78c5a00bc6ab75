"""The insights fields: what each is, in which unit, from which level on, and whether it may be summed.

The list is `data/insights_fields.csv`: Meta's SDK 26.0.3 and reference page, with kind, unit and additivity worked out.
Ratios of additive fields are computed here and never bought from Meta.
"""

import csv
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from meta_insights_pipeline.catalog.levels import Level


class Kind(StrEnum):
    """The shape of a field's value in Meta's answer."""

    TEXT = "text"
    NUMBER = "number"  # a decimal string such as "12.4"
    ACTIONS = "actions"  # a list of {action_type, value, <window>...}
    HISTOGRAM = "histogram"
    RESULTS = "results"
    OBJECT = "object"


class Unit(StrEnum):
    """What a number counts."""

    COUNT = "count"
    MONEY = "money"  # major units of the account's currency
    RATIO = "ratio"
    DATE = "date"
    NONE = ""


class Field(BaseModel):
    """One field of Meta's AdsInsights object."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    unit: Unit
    group: str
    additive: bool
    """May be summed over days and over disjoint entities (for actions: per action type and window)."""
    level: Level
    """The highest level at which Meta gives it."""
    listed: str
    """`sdk`, or `reference` for names that only the reference page has and that Meta may refuse."""
    description: str


class Ratio(BaseModel):
    """A metric computed from others: `scale * numerator / denominator`, NULL where the denominator is 0 or NULL."""

    model_config = ConfigDict(frozen=True)

    name: str
    numerator: str
    denominator: str
    scale: int
    description: str


@cache
def insights_fields() -> Mapping[str, Field]:
    """Every known field by name."""
    text = files("meta_insights_pipeline.catalog").joinpath("data/insights_fields.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType({row["name"]: Field.model_validate(row) for row in rows})


def insights_field(name: str) -> Field:
    """One field by name.

    Raises:
        KeyError: Meta has no such field.
    """
    return insights_fields()[name]


# Formulas: Meta, "Insights API" reference, where ctr is a percentage and cpm and cpp are per thousand.
_RATIOS = (
    ("ctr", "clicks", "impressions", 100),
    ("cpc", "spend", "clicks", 1),
    ("cpm", "spend", "impressions", 1000),
    ("cpp", "spend", "reach", 1000),
    ("frequency", "impressions", "reach", 1),
)


@cache
def ratios() -> tuple[Ratio, ...]:
    """The metrics that every fact table offers without buying them."""
    fields = insights_fields()
    return tuple(
        Ratio(name=name, numerator=top, denominator=bottom, scale=scale, description=fields[name].description)
        for name, top, bottom, scale in _RATIOS
    )
