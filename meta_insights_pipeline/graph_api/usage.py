"""The usage headers of an answer: how full each of Meta's budgets is, and how long until a spent one is free again.

Four headers tell (Meta, "Rate Limits" of the Graph API and of the Marketing API, "Insights API Limits and Best
Practices"), each about limits of its own that all apply at once. Reading only; what follows from it is in `pacing`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

APP = "app"
SCORE = "score"
INSIGHTS = "ads_insights"


@dataclass(frozen=True)
class UsageReading:
    """What one header says of one budget; None where it says nothing, since missing is not zero."""

    account: str | None
    """Id without `act_`; None for the app, and where the account is not known."""
    budget: str
    """`app`, `score` (the ad account in every use case), or a business use case such as `ads_insights`."""
    header: str
    percent: float | None
    """Of the budget's fullest metric; may exceed 100."""
    regain_seconds: float | None = None
    """How long until access is regained; only said once it is lost."""
    reset_seconds: float | None = None
    """How long until a score has fallen to 0; said at any level."""
    tier: str | None = None
    """Access tier, `development_access` (limited) or `standard_access` (full)."""


def read_usage(headers: Mapping[str, str], account: str | None = None) -> list[UsageReading]:
    """Read the four usage headers; what cannot be read counts as missing.

    Args:
        headers: Of an answer, with lower-case names or in any case if the mapping does not mind.
        account: The ad account that was called; two of the headers do not name it. When it is not known, it is the one
            that the others name, if they name one only.
    """
    cases = list(_use_cases(headers))
    named = {reading.account for reading in cases}
    account = account or (named.pop() if len(named) == 1 else None)
    return [*_of_the_app(headers), *cases, *_of_the_account(headers, account)]


def _of_the_app(headers: Mapping[str, str]) -> Iterator[UsageReading]:
    for header, metrics in (("x-app-usage", _METRICS), ("x-fb-ads-insights-throttle", ("app_id_util_pct",))):
        value = _object(headers, header)
        if (percent := _worst(value, metrics)) is not None:
            yield UsageReading(None, APP, header, percent)


def _use_cases(headers: Mapping[str, str]) -> Iterator[UsageReading]:
    header = "x-business-use-case-usage"
    for account, entries in _object(headers, header).items():
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
                continue
            # The one hint that is in minutes.
            minutes = _number(entry.get("estimated_time_to_regain_access"))
            yield UsageReading(
                account,
                entry["type"],
                header,
                _worst(entry, _METRICS),
                regain_seconds=60.0 * minutes if minutes and minutes > 0 else None,
                tier=_tier(entry),
            )


def _of_the_account(headers: Mapping[str, str], account: str | None) -> Iterator[UsageReading]:
    for header, budget in (("x-ad-account-usage", SCORE), ("x-fb-ads-insights-throttle", INSIGHTS)):
        value = _object(headers, header)
        percent = _worst(value, ("acc_id_util_pct",))
        if percent is not None:
            seconds = _number(value.get("reset_time_duration"))
            reset = seconds if seconds and seconds > 0 else None
            yield UsageReading(account, budget, header, percent, reset_seconds=reset, tier=_tier(value))


_METRICS = ("call_count", "total_cputime", "total_time")


def _object(headers: Mapping[str, str], name: str) -> dict[str, Any]:
    text = headers.get(name)
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _worst(value: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    numbers = [number for name in names if (number := _number(value.get(name))) is not None]
    return max(numbers, default=None)


def _number(value: object) -> float | None:
    # The bounds leave out what JSON readers take for numbers, too: NaN, the infinite, and more digits than a float holds.
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and -1e12 < value < 1e12
    return float(value) if is_number else None  # type: ignore[arg-type]


def _tier(value: Mapping[str, Any]) -> str | None:
    tier = value.get("ads_api_access_tier")
    return tier if isinstance(tier, str) else None
