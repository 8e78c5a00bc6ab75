"""What should go wrong: rules that match requests and say how the answer differs.

Belongs here: rules and their bookkeeping. Does not belong here: how a fault looks on the wire (the two doors).
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from meta_insights_pipeline.simulator.blocks import ACCOUNT, APP, AREAS
from meta_insights_pipeline.simulator.errors import GraphError

ERROR_ACTIONS = ("graph_error", "html", "text")
"""Answers given instead of the real one; nothing is done."""

WIRE_ACTIONS = ("truncate", "cut", "reset", "hang", "slow", "slow_body")
"""The real answer, or none, harmed on its way."""

NEW_PARTS = "new_parts"
"""Rows with parts that nobody asked for: those of the JSON object in `body`."""

PAGE_ACTIONS = ("short_page", "empty_page", "looping_cursor", "duplicate_row", NEW_PARTS)
"""Pages of rows that are legal, or were seen, and that trip careless readers."""

RUN_ACTIONS = (
    "completed_below_100",
    "stuck_at_100_running",
    "job_failed",
    "job_skipped",
    "fresh_run_not_found",
    "numeric_run_id",
)
"""Peculiar report runs; the rule is applied when the run is created and stays with it."""

STALE = "stale"
"""Insights as they were `seconds` ago, by the simulated clock: reports are not always in step with one another."""

OTHER_ACTIONS = ("headers", "null_batch_element", "block", STALE)
ACTIONS = (*ERROR_ACTIONS, *WIRE_ACTIONS, *PAGE_ACTIONS, *RUN_ACTIONS, *OTHER_ACTIONS)


UNKNOWN_ERROR = "An unknown error occurred"
_ASKING_KINDS = frozenset({"insights", "create_run"})


def _no_rows() -> int:
    return 0


@dataclass(frozen=True)
class CallInfo:
    """What rules can see of a request."""

    method: str
    path: str
    kind: str
    params: Mapping[str, str]
    days: int = 0
    inner: bool = False
    """Whether the request is an entry of a batch."""
    account: str = ""
    """The ad account concerned, without `act_`; empty if none."""
    use_case: str = ""
    """The business use case whose budget the call is charged to; empty if none."""
    rows: Callable[[], int] = _no_rows
    """Tells how many rows all pages of the result hold; called only for rules that ask."""


@dataclass(frozen=True)
class FaultRule:
    """Which requests are hit, how often, and with what; an empty condition matches everything."""

    action: str
    method: str = ""
    path: str = ""
    """Regular expression, searched in the path."""
    kind: str = ""
    query: str = ""
    """Text that some `name=value` of the parameters must hold."""
    without_query: str = ""
    """Text that no `name=value` of the parameters may hold."""
    account: str = ""
    """Hits only requests about this ad account, its objects and its report runs; with or without `act_`."""
    limit_above: int | None = None
    """Hits only requests whose `limit` is larger."""
    days_above: int | None = None
    """Hits only requests for insights over more days."""
    rows_above: int | None = None
    """Hits only requests for insights, direct or as a report, whose whole result has more rows."""
    skip: int = 0
    """Matching requests that pass first."""
    times: int | None = 1
    """Matching requests that are hit then; None for all."""
    status: int | None = None
    code: int | None = None
    subcode: int | None = None
    message: str = UNKNOWN_ERROR
    type: str = "OAuthException"
    is_transient: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    body: str = ""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            msg = f"unknown fault {self.action!r}; known are {', '.join(ACTIONS)}"
            raise ValueError(msg)
        if self.action == "block" and (self.code not in AREAS or self.seconds <= 0):
            msg = f"a block needs seconds and one of the codes {', '.join(map(str, AREAS))}"
            raise ValueError(msg)
        if self.action == NEW_PARTS and not isinstance(json.loads(self.body or "null"), dict):
            msg = "new parts need a body that is a JSON object"
            raise ValueError(msg)
        re.compile(self.path)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FaultRule":
        """Return the rule in a JSON object; ValueError for unknown names."""
        unknown = value.keys() - {item.name for item in fields(cls)}
        if unknown or "action" not in value:
            msg = f"a fault rule needs an action and does not know {sorted(unknown)}"
            raise ValueError(msg)
        return cls(**value)

    def matches(self, call: CallInfo) -> bool:
        """Tell whether a request meets every condition."""
        # Counting rows is the only condition that costs time.
        return self._names(call) and self._says(call) and self._applies(call) and self._is_large(call)

    @property
    def lower_headers(self) -> dict[str, str]:
        """The headers with names in lower case, as answers have them."""
        return {name.lower(): text for name, text in self.headers.items()}

    def error(self) -> GraphError:
        """Return the error that the rule describes."""
        code = 1 if self.code is None else self.code
        status = self.status or (500 if code == 1 else 400)
        return GraphError(
            self.message,
            code,
            self.subcode,
            status=status,
            type=self.type,
            is_transient=self.is_transient,
            headers=self.lower_headers,
        )

    def _names(self, call: CallInfo) -> bool:
        """Tell whether the rule is about this kind of request, path and account."""
        if self.method and self.method.upper() != call.method:
            return False
        if self.kind and self.kind != call.kind:
            return False
        if self.account and self.account.removeprefix("act_") != call.account:
            return False
        return not self.path or re.search(self.path, call.path) is not None

    def _says(self, call: CallInfo) -> bool:
        """Tell whether the parameters hold what they must and nothing that they may not."""
        pairs = [f"{name}={value}" for name, value in call.params.items()]
        if self.query and not any(self.query in pair for pair in pairs):
            return False
        return not (self.without_query and any(self.without_query in pair for pair in pairs))

    def _is_large(self, call: CallInfo) -> bool:
        if self.limit_above is not None:
            limit = call.params.get("limit", "25")
            if not limit.isdecimal() or int(limit) <= self.limit_above:
                return False
        if self.days_above is not None and call.days <= self.days_above:
            return False
        return self.rows_above is None or (call.kind in _ASKING_KINDS and call.rows() > self.rows_above)

    def _applies(self, call: CallInfo) -> bool:
        """Tell whether the action makes sense for the kind of request at all."""
        if self.action in RUN_ACTIONS:
            return call.kind == "create_run"
        if self.action in PAGE_ACTIONS:
            return call.kind in {"insights", "run_insights"}
        if self.action == "block":
            return self._closes(call)
        if self.action == STALE:
            return call.kind in _ASKING_KINDS
        return call.inner or self.action != "null_batch_element"

    def _closes(self, call: CallInfo) -> bool:
        """Tell whether a call lies in what the code closes; entries of a batch do, the batch around them does not."""
        area = AREAS[self.code or 0]
        if area == APP:
            return call.kind != "batch"
        return call.use_case == area if area != ACCOUNT else bool(call.use_case)


class FaultPlan:
    """The rules in force, in the order in which they were added; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []
        self._seen: list[int] = []

    def add(self, action: str | FaultRule, **conditions: Any) -> FaultRule:
        """Add a rule, given as such or by its fields."""
        rule = action if isinstance(action, FaultRule) else FaultRule(action, **conditions)
        with self._lock:
            self._rules.append(rule)
            self._seen.append(0)
        return rule

    def clear(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()
            self._seen.clear()

    def take(self, call: CallInfo) -> FaultRule | None:
        """Return the first rule that hits a request; every rule that matches counts it."""
        hit: FaultRule | None = None
        with self._lock:
            for place, rule in enumerate(self._rules):
                if not rule.matches(call):
                    continue
                seen = self._seen[place]
                self._seen[place] += 1
                spent = rule.times is not None and seen >= rule.skip + rule.times
                if hit is None and seen >= rule.skip and not spent:
                    hit = rule
        return hit
