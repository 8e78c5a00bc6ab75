"""The usage headers of an answer: how full Meta's budgets are, and how long to wait when one is spent."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """What the headers of one answer say; None where a header is missing, since missing is not zero."""

    percent: float | None
    """The fullest budget, in percent; may exceed 100."""
    wait_seconds: float | None
    """How long until access is regained, when Meta says so."""


def read_usage(headers: Mapping[str, str]) -> Usage:
    """Read the four usage headers; what cannot be read counts as missing."""
    percents: list[float] = []
    waits = [0.0]
    for entry in _entries(headers):
        percents += [float(entry[key]) for key in _PERCENTS if _is_number(entry.get(key))]
        # One header counts in minutes, the other in seconds.
        if _is_number(entry.get("estimated_time_to_regain_access")):
            waits.append(60.0 * float(entry["estimated_time_to_regain_access"]))
        if _is_number(entry.get("reset_time_duration")) and _is_number(entry.get("acc_id_util_pct")):
            waits.append(float(entry["reset_time_duration"]) if float(entry["acc_id_util_pct"]) >= 100 else 0.0)
    return Usage(percent=max(percents, default=None), wait_seconds=max(waits) or None)


_PERCENTS = ("call_count", "total_cputime", "total_time", "acc_id_util_pct", "app_id_util_pct")
_FLAT_HEADERS = ("x-app-usage", "x-ad-account-usage", "x-fb-ads-insights-throttle")


def _entries(headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name in _FLAT_HEADERS:
        value = _json(headers.get(name))
        if isinstance(value, dict):
            yield value
    cases = _json(headers.get("x-business-use-case-usage"))
    for entries in cases.values() if isinstance(cases, dict) else ():
        if isinstance(entries, list):
            yield from (entry for entry in entries if isinstance(entry, dict))


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _is_number(value: object) -> bool:
    # The bounds leave out what JSON readers take for numbers, too: NaN, the infinite, and more digits than a float holds.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e12 < value < 1e12
