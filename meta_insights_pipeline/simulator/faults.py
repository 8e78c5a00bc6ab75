"""What should go wrong: rules that match requests and say how the answer differs.

Belongs here: rules and their bookkeeping. Does not belong here: how a fault looks on the wire (the two doors).
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from meta_insights_pipeline.simulator.errors import GraphError

ERROR_ACTIONS = ("graph_error", "html", "text")
"""Answers given instead of the real one; nothing is done."""

WIRE_ACTIONS = ("truncate", "cut", "reset", "hang", "slow", "slow_body")
"""The real answer, or none, harmed on its way."""

PAGE_ACTIONS = ("short_page", "empty_page", "looping_cursor", "duplicate_row")
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

OTHER_ACTIONS = ("headers", "null_batch_element")
ACTIONS = (*ERROR_ACTIONS, *WIRE_ACTIONS, *PAGE_ACTIONS, *RUN_ACTIONS, *OTHER_ACTIONS)


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
    limit_above: int | None = None
    """Hits only requests whose `limit` is larger."""
    days_above: int | None = None
    """Hits only requests for insights over more days."""
    skip: int = 0
    """Matching requests that pass first."""
    times: int | None = 1
    """Matching requests that are hit then; None for all."""
    status: int | None = None
    code: int | None = None
    subcode: int | None = None
    message: str = "An unknown error occurred"
    type: str = "OAuthException"
    is_transient: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    body: str = ""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            msg = f"unknown fault {self.action!r}; known are {', '.join(ACTIONS)}"
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
        if self.method and self.method.upper() != call.method:
            return False
        if self.kind and self.kind != call.kind:
            return False
        if self.path and not re.search(self.path, call.path):
            return False
        if self.query and not any(self.query in f"{name}={value}" for name, value in call.params.items()):
            return False
        return self._is_large(call) and self._applies(call)

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
            headers=dict(self.headers),
        )

    def _is_large(self, call: CallInfo) -> bool:
        if self.limit_above is not None:
            limit = call.params.get("limit", "25")
            if not limit.isdecimal() or int(limit) <= self.limit_above:
                return False
        return self.days_above is None or call.days > self.days_above

    def _applies(self, call: CallInfo) -> bool:
        """Tell whether the action makes sense for the kind of request at all."""
        if self.action in RUN_ACTIONS:
            return call.kind == "create_run"
        if self.action in PAGE_ACTIONS:
            return call.kind in {"insights", "run_insights"}
        return call.inner or self.action != "null_batch_element"


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
