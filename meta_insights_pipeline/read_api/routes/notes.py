"""The notes of answers: why something in them is null, and what else must be known to read them, by what it is about."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from meta_insights_pipeline.read_api.models.shared import NOTES
from meta_insights_pipeline.warehouse.reading.period import Period

Row = Mapping[str, Any]

_AS_OF = (
    "collected_at, is_final, collected_days and what lacks are known as they are now: of a day that was collected again since "
    "the moment of as_of they are null, false or not there, so that nothing delivered may be null and not 0."
)
_LEDGER_AS_OF = (
    "The ledger holds the last comparison of each line: one that was compared again since the moment of as_of "
    "is not there."
)
_WITHHELD = "Meta would not give these fields for a part of the rows, so that sums of them are null: {fields}."
_NO_REACH = (
    "Where one day of one of them has none, Meta left it out or withheld it, or nothing was delivered or "
    "collected on the day."
)
_PERIOD = (
    "The days are each ad account's own: where it is not {until} yet, they end with the day that it is there, so that every "
    "account has {days}."
)
_CHANGE = (
    "Today is not over, so change compares the days of the period that are over ({compared}) with those that stand in their "
    "place in the previous period."
)
_NOTHING_IS_OVER = "There is no change to tell of: no day of the period is over."
_NOT_COLLECTED = (
    "There is no change for {currencies}: it is told only when all days that it compares were collected, in both periods, of "
    "every ad account of which any were; collected_days and account_days of totals and previous tell how many were."
)


def about_period(period: Period) -> dict[str, str]:
    """That days differ between accounts, if they do."""
    if not period.lags:
        return {}
    return {"period": _PERIOD.format(until=period.until, days=period.days)}


def about_figures(
    period: Period, *, rows: Iterable[Row], single: Iterable[Row], as_of: datetime | None, is_summed: bool
) -> dict[str, str]:
    """Why figures of an answer are null.

    Args:
        period: Its days.
        rows: Those that tell which fields were withheld.
        single: Those that are about one day of one entity, of which Meta counts the reach.
        as_of: The earlier moment that it is about; None for the present.
        is_summed: Whether it has sums over several days or accounts.
    """
    found = about_period(period)
    reach = [*(NOTES.values() if is_summed else ()), *([_NO_REACH] if _lacks_reach(single) else ())]
    if reach:
        found["reach"] = " ".join(reach)
    withheld = {field for row in rows for field in (row["withheld_fields"] or "").split(",") if field}
    if withheld:
        found["withheld_fields"] = _WITHHELD.format(fields=", ".join(sorted(withheld)))
    if as_of is not None:
        found["as_of"] = _AS_OF
    return found


def about_ledger(period: Period, as_of: datetime | None) -> dict[str, str]:
    """What the lines of the ledger do not show."""
    return about_period(period) | ({} if as_of is None else {"as_of": _LEDGER_AS_OF})


def about_change(period: Period, compared_days: int, unknown: Iterable[str | None]) -> dict[str, str]:
    """What the change from the previous period is made of, and why it is null.

    Args:
        period: The days.
        compared_days: How many of them are over.
        unknown: Currencies that have no change.
    """
    if compared_days == 0:
        return {"previous": _NOTHING_IS_OVER}
    found = {} if compared_days == period.days else {"change": _CHANGE.format(compared=compared_days)}
    names = [name or "ad accounts of an unknown currency" for name in unknown]
    if names:
        found["previous"] = _NOT_COLLECTED.format(currencies=", ".join(names))
    return found


def _lacks_reach(rows: Iterable[Row]) -> bool:
    return any(row["reach"] is None for row in rows)
