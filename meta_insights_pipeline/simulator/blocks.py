"""Blocks: what is closed to callers for a while, what they are told, and who calls none the less.

Belongs here: which calls a code closes, until when, the error and the usage headers of a refusal, and counting calls
that were made although the caller knew. Does not belong here: when a block begins (`faults`, `usage`).
"""

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meta_insights_pipeline.simulator.errors import GraphError, too_many_calls
from meta_insights_pipeline.simulator.usage import (
    ACCOUNT_USAGE,
    APP_USAGE,
    CASE_USAGE,
    INSIGHTS,
    MANAGEMENT,
    THROTTLE,
    Figures,
)

APP = "app"
ACCOUNT = "account"
AREAS: dict[int, str] = {
    4: APP,
    17: ACCOUNT,
    32: ACCOUNT,
    613: ACCOUNT,
    80000: INSIGHTS,
    80003: ACCOUNT,
    80004: MANAGEMENT,
    341: APP,
}
"""What a code closes: the app, an account, or one use case of an account."""

_MESSAGES = {
    4: "(#4) Application request limit reached",
    17: "(#17) User request limit reached",
    32: "(#32) Page request limit reached",
    341: "(#341) Application limit reached",
    613: "(#613) Calls to this api have exceeded the rate limit.",
}
_SCORE_SUBCODE = 2446079
_CASES = {80000: INSIGHTS, 80003: "custom_audience", 80004: MANAGEMENT}


@dataclass(frozen=True)
class Block:
    """What is closed, until when, and the error that says so; without a message it is worded as Meta does."""

    scope: str
    code: int
    until: float
    """Unix second of the simulated clock."""
    subcode: int | None = None
    message: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a refusal says beside its usage headers."""

    def error(self) -> GraphError:
        """Return the error of every call into the scope."""
        subcode = self.subcode
        if subcode is None and (self.code == 17 or self.code in _CASES):
            subcode = _SCORE_SUBCODE
        if self.code in _CASES or (self.code, subcode) == (17, _SCORE_SUBCODE):
            error = too_many_calls(self.code, {}, subcode)
        else:
            error = GraphError(_MESSAGES[self.code], self.code, subcode, is_transient=False)
        error.message = self.message or error.message
        error.status = self.status or (403 if self.code == 4 else 400)
        return error

    def mark(self, figures: Figures, account_id: str, now: float) -> None:
        """Write into usage headers what Meta tells about a block: minutes in one header, seconds in another."""
        left = max(0.0, self.until - now)
        if self.code == 4:
            figures[APP_USAGE] = dict.fromkeys(("call_count", "total_time", "total_cputime"), 100)
            if THROTTLE in figures:
                figures[THROTTLE]["app_id_util_pct"] = 100.0
        if self.code in {17, 613} and ACCOUNT_USAGE in figures:
            figures[ACCOUNT_USAGE] |= {"acc_id_util_pct": 100.0, "reset_time_duration": math.ceil(left)}
        if (self.code == 17 or self.code in _CASES) and CASE_USAGE in figures:
            self._mark_case(figures, account_id, math.ceil(left / 60))

    def _mark_case(self, figures: Figures, account_id: str, minutes: int) -> None:
        cases = figures[CASE_USAGE][account_id]
        use_case = _CASES.get(self.code)
        if use_case is None:
            cases[0]["estimated_time_to_regain_access"] = minutes
            return
        full = {"type": use_case, "call_count": 100, "estimated_time_to_regain_access": minutes}
        others = [case for case in cases if case["type"] != use_case]
        figures[CASE_USAGE][account_id] = [{**cases[0], **full}, *others]
        if use_case == INSIGHTS and THROTTLE in figures:
            figures[THROTTLE]["acc_id_util_pct"] = 100.0


@dataclass
class Serving:
    """One request on its way through the simulator, with the entries of a batch; times are real seconds."""

    begun: float
    refused: list[str] = field(default_factory=list)
    """Scopes that were refused to it."""


def scopes_of(account_id: str, use_case: str | None) -> list[str]:
    """Return the scopes into which a call is made; those of an account only if the call is about a known one."""
    return [APP, *(scope_of(area, account_id) for area in (ACCOUNT, use_case) if use_case and area)]


def scope_of(area: str, account_id: str) -> str:
    """Return the name of a scope."""
    return APP if area == APP else f"{area}/{account_id}"


class Blocks:
    """The blocks in force, and calls made into what was refused before; safe for threads.

    A call is held against its caller if it began after an answer had left that refused the same scope. What was under
    way at that moment is not, nor is the second entry of a batch whose first was refused.
    """

    def __init__(self, in_flight_seconds: float = 0.0) -> None:
        self._in_flight = in_flight_seconds
        self._lock = threading.Lock()
        self._blocks: dict[str, Block] = {}
        self._told: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._under_way = 0
        self._latest = 0.0

    def begin(self, block: Block) -> None:
        """Close a scope; a block that ends later stays."""
        with self._lock:
            standing = self._blocks.get(block.scope)
            if standing is None:
                # What was told about an earlier block says nothing about this one.
                self._told.pop(block.scope, None)
            if standing is None or standing.until < block.until:
                self._blocks[block.scope] = block

    def standing(self, scopes: Iterable[str], now: float) -> Block | None:
        """Return the first block in the way of a call."""
        if not self._blocks:
            return None
        with self._lock:
            for scope in scopes:
                block = self._blocks.get(scope)
                if block is not None and now < block.until:
                    return block
                if block is not None:
                    del self._blocks[scope]
                    self._told.pop(scope, None)
        return None

    def refuse(self, scope: str, account_id: str, serving: Serving) -> None:
        """Note that a call is refused, and count it if its caller knew."""
        with self._lock:
            late = serving.begun - self._told.get(scope, math.inf)
            if late >= self._in_flight:
                self._counts[account_id or APP] += 1
            elif late >= 0:
                self._under_way += 1
                self._latest = max(self._latest, late)
        serving.refused.append(scope)

    def tell(self, serving: Serving, left: float) -> None:
        """Note when the answer to a request leaves, from which on its caller knows what is closed."""
        if serving.refused:
            with self._lock:
                for scope in serving.refused:
                    self._told[scope] = min(left, self._told.get(scope, math.inf))

    def reopen(self, scope: str) -> None:
        """Note that a scope takes calls again."""
        if scope in self._told:
            with self._lock:
                self._told.pop(scope, None)

    def counts(self) -> Counter[str]:
        """Return the calls made into what was known to be closed, by account id; `app` for calls about no account."""
        with self._lock:
            return Counter(self._counts)

    def under_way(self) -> tuple[int, float]:
        """Return how many calls were excused as under way, and how many seconds after the refusal the latest began."""
        with self._lock:
            return self._under_way, self._latest

    def clear_counts(self) -> None:
        """Set the counts to zero; blocks stay."""
        with self._lock:
            self._counts.clear()
            self._under_way, self._latest = 0, 0.0
