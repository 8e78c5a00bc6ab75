"""Rate limits: how much of its hourly budgets an account has used, and the headers that tell.

Belongs here: counting and budgets by business use case and tier. Does not belong here: what is closed for a while
whatever was counted (`blocks`).
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from meta_insights_pipeline.simulator.errors import too_many_calls

INSIGHTS, MANAGEMENT = "ads_insights", "ads_management"
APP_USAGE, ACCOUNT_USAGE = "x-app-usage", "x-ad-account-usage"
CASE_USAGE, THROTTLE = "x-business-use-case-usage", "x-fb-ads-insights-throttle"
_HOUR = 3600
_SCORE_SECONDS = 300
_APP_BUDGET = 200_000
# use case: (calls an hour with limited access, with full access, more calls for each active ad, error code)
_BUDGETS = {INSIGHTS: (600, 190_000, 400, 80000), MANAGEMENT: (300, 100_000, 40, 80004)}
# tier: (largest score, seconds for which an account is blocked that passes it)
_SCORES = {"development_access": (60, 300), "standard_access": (9000, 60)}

Figures = dict[str, dict[str, Any]]
"""Values of the usage headers, by header."""


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


class _Window:
    """What happened in a rolling time, with its sums at hand: an answer must not cost more the more accounts there are."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._seconds: deque[_Second] = deque()
        self.calls = 0
        self.rows = 0

    def settle(self, now: float) -> None:
        """Drop what is too long ago."""
        seconds = self._seconds
        while seconds and seconds[0].at <= now - self._length:
            gone = seconds.popleft()
            self.calls -= gone.calls
            self.rows -= gone.rows

    def add(self, now: float, *, calls: int = 0, rows: int = 0) -> None:
        """Note calls and rows of this second."""
        self.settle(now)
        if not self._seconds or self._seconds[-1].at != int(now):
            self._seconds.append(_Second(int(now)))
        self._seconds[-1].calls += calls
        self._seconds[-1].rows += rows
        self.calls += calls
        self.rows += rows

    def until_gone(self, calls: int, now: float) -> float:
        """Return how long it takes until so many of the oldest calls are too long ago."""
        for second in self._seconds:
            calls -= second.calls
            if calls <= 0:
                return second.at + self._length - now
        return 0.0


class UsageMeter:
    """Counts calls by account and use case over a rolling hour of the simulated clock; safe for threads."""

    def __init__(self, tier: str, budgets: Mapping[str, int] | None = None) -> None:
        if tier not in _SCORES:
            msg = f"unknown tier {tier!r}; known are {', '.join(_SCORES)}"
            raise ValueError(msg)
        self.tier = tier
        self._fixed = dict(budgets or {})
        self._lock = threading.Lock()
        self._cases: dict[tuple[str, str], _Window] = {}
        self._scores: dict[str, _Window] = {}
        self._app = _Window(_HOUR)

    def budget(self, use_case: str, active_ads: int) -> int:
        """Return the calls an hour that an account may make."""
        if use_case in self._fixed:
            return self._fixed[use_case]
        limited, full, each, _ = _BUDGETS[use_case]
        return (full if self.tier == "standard_access" else limited) + each * active_ads

    def count(self, account_id: str, use_case: str, now: float) -> None:
        """Note a call; calls made while a budget is spent count, too, and so prolong the block."""
        with self._lock:
            for window in (self._case(account_id, use_case), self._score(account_id), self._app):
                window.add(now, calls=1)

    def add_rows(self, account_id: str, use_case: str, now: float, rows: int) -> None:
        """Note the work that a call caused."""
        if rows:
            with self._lock:
                self._case(account_id, use_case).add(now, rows=rows)

    def level(self, account_id: str, use_case: str, active_ads: int, now: float) -> Level:
        """Return how much is used."""
        budget = self.budget(use_case, active_ads)
        with self._lock:
            window = self._case(account_id, use_case)
            window.settle(now)
            # Not only what is over has to leave the hour, but room for one more call, too.
            wait = window.until_gone(window.calls - budget + 1, now) if window.calls > budget else 0.0
            return Level(window.calls, window.rows, budget, -int(-wait // 60))

    def check(self, account_id: str, use_case: str, active_ads: int, now: float) -> None:
        """Raise the error of a spent budget."""
        level = self.level(account_id, use_case, active_ads, now)
        if level.calls > level.budget:
            raise too_many_calls(_BUDGETS[use_case][3], written(self.figures(account_id, use_case, active_ads, now)))

    def block_by_score(self, account_id: str, now: float) -> int:
        """Return for how many seconds the account's score blocks it, or 0; a read is one point.

        The limits are those of Meta's "Rate Limiting" page of the Marketing API: 60 points in 300 seconds and a block
        of 300 seconds with limited access, 9,000 points and 60 seconds with full access.
        """
        largest, seconds = _SCORES[self.tier]
        with self._lock:
            window = self._score(account_id)
            window.settle(now)
            return seconds if window.calls > largest else 0

    def figures(self, account_id: str, use_case: str, active_ads: int, now: float) -> Figures:
        """Return the usage headers of an answer about an account, not yet as text."""
        level = self.level(account_id, use_case, active_ads, now)
        case = {
            "type": use_case,
            "call_count": int(level.percent),
            "total_cputime": min(100, level.rows // 100_000),
            "total_time": min(100, level.rows // 80_000),
            "estimated_time_to_regain_access": level.minutes_to_regain,
            "ads_api_access_tier": self.tier,
        }
        share = self._app_share(now)
        figures: Figures = {
            APP_USAGE: dict.fromkeys(("call_count", "total_time", "total_cputime"), int(share)),
            CASE_USAGE: {account_id: [case]},
            ACCOUNT_USAGE: self._account_usage(account_id, now),
        }
        if use_case == INSIGHTS:
            figures[THROTTLE] = {
                "app_id_util_pct": round(share, 2),
                "acc_id_util_pct": round(level.percent, 2),
                "ads_api_access_tier": self.tier,
            }
        return figures

    def _account_usage(self, account_id: str, now: float) -> dict[str, object]:
        """Return the account score: reads of the last five minutes against the largest score of the tier."""
        with self._lock:
            window = self._score(account_id)
            window.settle(now)
            share = round(100.0 * window.calls / _SCORES[self.tier][0], 2)
        return {"acc_id_util_pct": share, "reset_time_duration": _SCORE_SECONDS, "ads_api_access_tier": self.tier}

    def _app_share(self, now: float) -> float:
        with self._lock:
            self._app.settle(now)
            return 100.0 * self._app.calls / _APP_BUDGET

    def _case(self, account_id: str, use_case: str) -> _Window:
        window = self._cases.get((account_id, use_case))
        if window is None:
            window = self._cases[account_id, use_case] = _Window(_HOUR)
        return window

    def _score(self, account_id: str) -> _Window:
        window = self._scores.get(account_id)
        if window is None:
            window = self._scores[account_id] = _Window(_SCORE_SECONDS)
        return window


def written(figures: Figures) -> dict[str, str]:
    """Return usage headers as they are sent."""
    return {name: orjson.dumps(value).decode() for name, value in figures.items()}
