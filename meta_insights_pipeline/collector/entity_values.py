"""From Meta's JSON of one entity to a row: ids as text, money in major units, times in UTC, objects as comparable text."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from meta_insights_pipeline.catalog.entities import ACCOUNT_STATUSES, Attribute, EntityKind, Type, minor_units
from meta_insights_pipeline.catalog.entity_batches import EntityRow, Recovered, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of these, Meta's 0 means that there is none; other amounts can be 0.
_UNSET_WHEN_ZERO = frozenset({"daily_budget", "lifetime_budget"})


class UnreadableValueError(ValueError):
    """Meta's value is not of its field's form; the message names the field."""


def entity_row(
    kind: EntityKind,
    answer: Mapping[str, Any],
    *,
    account_id: str,
    currency: str,
    recovered: Recovered | None = None,
) -> EntityRow:
    """The row of an entity.

    Args:
        kind: Of the entity.
        answer: Meta's object.
        account_id: Without the prefix `act_`.
        currency: Of the account, ISO 4217.
        recovered: How it was had, when no list showed it.

    Raises:
        UnreadableValueError: A value is not of its field's form.
    """
    row: dict[str, Value] = {
        attribute.column: _value(attribute, _field(answer, attribute.field), currency) for attribute in kind.attributes
    }
    row["account_id"] = account_id
    row["is_deleted"] = row[kind.status_column] == "DELETED"
    row["recovered"] = recovered
    return row


def _field(answer: Mapping[str, Any], path: str) -> Any:
    value: Any = answer
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _value(attribute: Attribute, raw: Any, currency: str) -> Value:
    if raw is None or raw == "":
        return None
    try:
        value = _read(attribute, raw, currency)
    except (ValueError, TypeError, LookupError, InvalidOperation):
        raise UnreadableValueError(f"Meta's value of {attribute.field} is {str(raw)[:80]!r}") from None
    return None if attribute.column in _UNSET_WHEN_ZERO and value == 0 else value


def _read(attribute: Attribute, raw: Any, currency: str) -> Value:
    if attribute.type is Type.MONEY:
        return Decimal(str(raw)) / minor_units(currency)
    return _READERS[attribute.type](raw)


def _text(raw: Any) -> str:
    if isinstance(raw, Mapping | list):
        raise TypeError(raw)
    return str(raw)


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool | int):
        return bool(raw)
    return {"true": True, "false": False}[str(raw).lower()]


def _time(text: str) -> datetime | None:
    """A moment such as `2026-11-01T09:15:00+0100`, in UTC.

    Where none was set Meta may give the second before the Unix epoch, seen in the examples of its Java and Ruby SDKs
    (`1969-12-31T15:59:59-0800`).
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC) if moment > _EPOCH else None


def _json(raw: Any) -> str:
    """Sorted, so that the same object compares equal however Meta orders its keys."""
    return json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=float)


_READERS: dict[Type, Callable[[Any], Value]] = {
    Type.TEXT: _text,
    Type.INTEGER: int,
    Type.HOURS: lambda raw: Decimal(str(raw)),
    Type.BOOLEAN: _boolean,
    Type.TIME: lambda raw: _time(str(raw)),
    Type.JSON: _json,
    Type.ACCOUNT_STATUS: lambda raw: ACCOUNT_STATUSES.get(int(raw), str(raw)),
}
