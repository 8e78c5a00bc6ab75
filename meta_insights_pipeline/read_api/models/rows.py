"""Models made from the columns of queries, so that what is described is what is asked for."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from meta_insights_pipeline.warehouse.reading.statement import ResultColumn, Shape

DECIMAL_PATTERN: Final = r"^-?[0-9]+(\.[0-9]+)?$"
DecimalText = Annotated[str, Field(pattern=DECIMAL_PATTERN)]
"""An exact number in as few digits as it takes: a double would not hold every amount."""

_TYPES: Mapping[Shape, Any] = {
    Shape.TEXT: str,
    Shape.NAME: str,
    Shape.INTEGER: int,
    Shape.DECIMAL: DecimalText,
    Shape.NUMBER: float,
    Shape.DAY: date,
    Shape.MOMENT: datetime,
    Shape.FLAG: bool,
}
_UNITS = {
    "money": "In major units of the account's currency.",
    "percent": "In percent.",
    "UTC": "UTC.",
}
_EXAMPLES_OF_SHAPES: Mapping[Shape, Any] = {
    Shape.TEXT: "ACTIVE",
    Shape.NAME: "Summer sale",
    Shape.INTEGER: 1204,
    Shape.DECIMAL: "12.4",
    Shape.NUMBER: 1.5,
    Shape.DAY: "2026-11-01",
    Shape.MOMENT: "2026-11-02T06:30:00Z",
    Shape.FLAG: False,
}
_EXAMPLES: Mapping[str, Any] = {
    "account_id": "1010101010",
    "id": "120210000000000001",
    "campaign_id": "120210000000000001",
    "adset_id": "120210000000000011",
    "creative_id": "120210000000000111",
    "level": "campaign",
    "account_currency": "EUR",
    "currency": "EUR",
    "timezone_name": "Europe/Berlin",
    "accounts": 2,
    "days": 7,
    "collected_days": 30,
    "impressions": 48210,
    "clicks": 731,
    "spend": "312.4",
    "reach": 30122,
    "purchases": "18",
    "purchase_value": "902.15",
    "ctr": 1.516,
    "cpc": 0.427,
    "cpm": 6.48,
    "cpp": 10.37,
    "frequency": 1.6,
    "roas": 2.888,
    "cpa": 17.36,
    "withheld_fields": "action_values",
    "event": "purchase",
    "action_type": "omni_purchase",
    "counted_within": "7d_click",
    "objective": "OUTCOME_SALES",
    "metric": "spend",
    "status": "ACTIVE",
    "report": "ad_insights",
    "kind": "deferred",
}


def row_model(
    name: str,
    columns: Sequence[ResultColumn],
    text: str,
    *,
    required: Collection[str] = (),
    examples: Mapping[str, Any] | None = None,
    more: Mapping[str, tuple[Any, Any]] | None = None,
) -> Any:
    """The model of a row.

    Args:
        name: What it is called.
        columns: Those of the query.
        text: What a row is.
        required: Columns that are never null.
        examples: For columns whose usual example does not fit.
        more: Further fields, each a type and a `Field`.
    """
    fields: dict[str, Any] = {
        column.name: _field(column, column.name in required, examples or {}) for column in columns
    } | dict(more or {})
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=text, **fields)


def answer_model(name: str, text: str, /, **fields: tuple[Any, ...]) -> Any:
    """The model of an object: of each field the type, what it is, an example, and its unit if it has one."""
    made: dict[str, Any] = {
        key: (kind, Field(description=about, examples=[example], json_schema_extra={"x-unit": unit[0]} if unit else {}))
        for key, (kind, about, example, *unit) in fields.items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=text, **made)


def list_of(model: Any) -> Any:
    """A list of models."""
    return list[model]


def or_null(model: Any) -> Any:
    """A model or null."""
    return model | None


def example_of(model: type[BaseModel]) -> dict[str, Any]:
    """An example of a model, from those of its fields."""
    return {name: field.examples[0] if field.examples else None for name, field in model.model_fields.items()}


def _field(column: ResultColumn, is_required: bool, examples: Mapping[str, Any]) -> tuple[Any, Any]:
    kind = _TYPES[column.shape]
    unit = _UNITS.get(column.unit, "")
    text = column.description if unit in ("", column.description[-len(unit) :]) else f"{column.description} {unit}"
    example = examples.get(column.name, _EXAMPLES.get(column.name, _EXAMPLES_OF_SHAPES[column.shape]))
    extra: dict[str, Any] = {"x-unit": column.unit} if column.unit else {}
    field = Field(description=text, examples=[example], json_schema_extra=extra)
    return (kind if is_required else kind | None), field
