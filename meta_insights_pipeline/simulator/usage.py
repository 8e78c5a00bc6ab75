"""Rate limits: how much of its hourly budgets an account has used, and the headers that tell.

Belongs here: counting and budgets by business use case and tier. Does not belong here: other limits, which are faults.
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from meta_insights_pipeline.simulator.errors import too_many_calls

INSIGHTS, MANAGEMENT = "ads_insights", "ads_management"
_HOUR = 3600.0
_SCORE_SECONDS = 300
_APP_BUDGET = 200_000
# use case: (calls an hour with limited access, with full access, more calls for each active ad, error code)
_BUDGETS = {INSIGHTS: (600, 190_000, 400, 80000), MANAGEMENT: (300, 100_000, 40, 80004)}
_SCORES = {"development_access": 60, "standard_access": 9000}


@dataclass(frozen=True)
class Level:
    """How much of a budget is used."""

    calls: int
    rows: int
    budget: int
    minutes_to_regain: int

    @property
    def percent(self) -> float:
        """Share of the budget in percent; may pass 100."""
        return 100.0 * self.calls / self.budget


@dataclass
class _Second:
    """What happened in one second; calls of a benchmark under a clock that stands still share one."""

    at: int
    calls: int = 0
    rows: int = 0


class UsageMeter:
    """Counts calls by account and use case over a rolling hour of the simulated clock; safe for threads."""

    def __init__(self, tier: str, budgets: Mapping[str, int] | None = None) -> None:
        self.tier = tier
        self._fixed = dict(budgets or {})
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], deque[_Second]] = {}

    def budget(self, use_case: str, active_ads: int) -> int:
        """Return the calls an hour that an account may make."""
        if use_case in self._fixed:
            return self._fixed[use_case]
        limited, full, each, _ = _BUDGETS[use_case]
        return (full if self.tier == "standard_access" else limited) + each * active_ads

    def count(self, account_id: str, use_case: str, now: float) -> None:
        """Note a call; calls made while blocked count, too, and so prolong the block."""
        with self._lock:
            seconds = self._recent(account_id, use_case, now)
            if not seconds or seconds[-1].at != int(now):
                seconds.append(_Second(int(now)))
            seconds[-1].calls += 1

    def add_rows(self, account_id: str, use_case: str, now: float, rows: int) -> None:
        """Note the work that the last call caused."""
        with self._lock:
            seconds = self._recent(account_id, use_case, now)
            if seconds:
                seconds[-1].rows += rows

    def level(self, account_id: str, use_case: str, active_ads: int, now: float) -> Level:
        """Return how much is used."""
        budget = self.budget(use_case, active_ads)
        with self._lock:
            seconds = self._recent(account_id, use_case, now)
            calls = sum(second.calls for second in seconds)
            # Not only what is over has to leave the hour, but room for one more call, too.
            wait = _until_gone(seconds, calls - budget + 1, now) if calls > budget else 0.0
            return Level(calls, sum(second.rows for second in seconds), budget, -int(-wait // 60))

    def check(self, account_id: str, use_case: str, active_ads: int, now: float) -> None:
        """Raise the error of a spent budget."""
        level = self.level(account_id, use_case, active_ads, now)
        if level.calls > level.budget:
            raise too_many_calls(_BUDGETS[use_case][3], self.headers(account_id, use_case, active_ads, now))

    def headers(self, account_id: str, use_case: str, active_ads: int, now: float) -> dict[str, str]:
        """Return the usage headers of an answer about an account."""
        level = self.level(account_id, use_case, active_ads, now)
        percent = int(level.percent)
        case = {
            "type": use_case,
            "call_count": percent,
            "total_cputime": min(100, level.rows // 100_000),
            "total_time": min(100, level.rows // 80_000),
            "estimated_time_to_regain_access": level.minutes_to_regain,
            "ads_api_access_tier": self.tier,
        }
        headers = {
            "x-app-usage": _json(self._app_usage(now)),
            "x-business-use-case-usage": _json({account_id: [case]}),
            "x-ad-account-usage": _json(self._account_usage(account_id, now)),
        }
        if use_case == INSIGHTS:
            headers["x-fb-ads-insights-throttle"] = _json(
                {
                    "app_id_util_pct": round(self._app_share(now), 2),
                    "acc_id_util_pct": round(level.percent, 2),
                    "ads_api_access_tier": self.tier,
                }
            )
        return headers

    def _account_usage(self, account_id: str, now: float) -> dict[str, object]:
        """Return the account score: reads of the last five minutes against the largest score of the tier."""
        with self._lock:
            recent = [
                sum(
                    second.calls
                    for second in self._recent(account_id, use_case, now)
                    if second.at > now - _SCORE_SECONDS
                )
                for use_case in _BUDGETS
            ]
        share = round(100.0 * sum(recent) / _SCORES.get(self.tier, 9000), 2)
        return {"acc_id_util_pct": share, "reset_time_duration": _SCORE_SECONDS, "ads_api_access_tier": self.tier}

    def _app_usage(self, now: float) -> dict[str, int]:
        percent = int(self._app_share(now))
        return {"call_count": percent, "total_time": percent, "total_cputime": percent}

    def _app_share(self, now: float) -> float:
        with self._lock:
            calls = sum(
                second.calls
                for account, use_case in list(self._calls)
                for second in self._recent(account, use_case, now)
            )
        return 100.0 * calls / _APP_BUDGET

    def _recent(self, account_id: str, use_case: str, now: float) -> "deque[_Second]":
        seconds = self._calls.setdefault((account_id, use_case), deque())
        while seconds and seconds[0].at <= now - _HOUR:
            seconds.popleft()
        return seconds


def _until_gone(seconds: "deque[_Second]", calls: int, now: float) -> float:
    """Return how long it takes until so many of the oldest calls have left the hour."""
    for second in seconds:
        calls -= second.calls
        if calls <= 0:
            return second.at + _HOUR - now
    return 0.0


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
