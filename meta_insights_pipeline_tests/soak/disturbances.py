"""What goes wrong in a soak: troubles that are drawn at random, and accounts that join, refuse, close, vanish and come back.

Belongs here: what may happen and how it is let loose on a simulator. Does not belong here: when, and what must hold then.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meta_insights_pipeline.simulator.faults import CallInfo, FaultPlan, FaultRule
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.states import STATES

_Rule = Mapping[str, Any]

# An asynchronous report is asked for where a direct answer is too large.
_TOO_LARGE: _Rule = {"action": "graph_error", "code": 100, "subcode": 1487534, "kind": "insights", "times": 1}
_LISTS: _Rule = {"action": "graph_error", "kind": "structure"}


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong with the calls about one account, or with all."""

    name: str
    rules: tuple[_Rule, ...]
    of_all: bool = False
    """Whether it is about no account in particular."""

    @property
    def is_block(self) -> bool:
        """Whether it closes something to calls for a while."""
        return any(rule["action"] == "block" for rule in self.rules)


def _one(name: str, **rule: Any) -> Trouble:
    return Trouble(name, (rule,))


def _report(name: str, **rule: Any) -> Trouble:
    """Trouble with a report, which small accounts have only when a direct answer is refused."""
    return Trouble(name, (_TOO_LARGE, rule))


TROUBLES = (
    _one("80000", action="block", code=80000, subcode=2446079, kind="insights", seconds=2400.0),
    _one("17", action="block", code=17, subcode=2446079, kind="insights", seconds=300.0),
    _one("613", action="block", code=613, kind="insights", seconds=600.0),
    _one("80004", action="block", code=80004, kind="structure", seconds=1200.0),
    _one("2", action="graph_error", code=2, status=500, times=7),
    _one("1", action="graph_error", code=1, status=500, times=2),
    _one("2 of lists", **_LISTS, code=2, times=7),
    _one("too large", **_TOO_LARGE),
    _one("html", action="html", status=503, times=6),
    _one("html with a time", action="html", status=503, headers={"retry-after": "400"}),
    _one("text", action="text", status=200, body="Service Unavailable", times=3),
    _one("truncate", action="truncate", times=3),
    _one("cut", action="cut", times=2),
    _one("reset", action="reset", times=6),
    # These two take real seconds.
    _one("hang", action="hang", seconds=0.1, times=2),
    _one("slow body", action="slow_body", seconds=0.2, times=2),
    _one("short page", action="short_page", times=3),
    _one("empty page", action="empty_page", times=3),
    _one("duplicate row", action="duplicate_row", times=3),
    _one("looping cursor", action="looping_cursor", times=4),
    Trouble(
        "2642",
        (
            {"action": "graph_error", "code": 2642, "query": "after=", "times": 2},
            {"action": "short_page", "times": 3, "without_query": "after="},
        ),
    ),
    _one("null batch item", action="null_batch_element", kind="object", times=2),
    _report("Job Failed", action="job_failed", code=-2, subcode=2490547),
    _report("Job Skipped", action="job_skipped"),
    _report("completed below 100", action="completed_below_100"),
    _report("stuck at 100", action="stuck_at_100_running"),
    _report("fresh run not found", action="fresh_run_not_found", seconds=0.01),
    _report("limit while pages are read", action="block", code=80000, kind="run_insights", seconds=900.0),
    # Without the header nothing would say how long it lasts, and the pipeline would have to try.
    Trouble("4", ({"action": "block", "code": 4, "seconds": 600.0, "headers": {"retry-after": "600"}},), of_all=True),
    # Until it is renewed: `disturb` is called again.
    Trouble("190", ({"action": "graph_error", "code": 190, "subcode": 463, "times": None},), of_all=True),
)
_SELDOM = frozenset({"4", "190", "stuck at 100"})
"""Each of these is as good as the end of a sync, or takes a quarter of an hour."""
_LIKELY = tuple(1 if trouble.name in _SELDOM else 4 for trouble in TROUBLES)


class CountingPlan(FaultPlan):
    """Rules that know of which trouble they are, and count what they hit."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: Counter[str] = Counter()
        """Calls by trouble."""
        self._names: dict[int, str] = {}

    def begin(self, trouble: Trouble, account_id: str, skip: int) -> None:
        """Let something go wrong with the calls about an account, after some went well."""
        for rule in trouble.rules:
            first = rule is trouble.rules[0]
            added = self.add(FaultRule(**rule, account=account_id, skip=skip if first else 0))
            self._names[id(added)] = trouble.name

    def clear(self) -> None:
        """Forget every rule; what was counted stays."""
        super().clear()
        self._names.clear()

    def take(self, call: CallInfo) -> FaultRule | None:
        """Return the first rule that hits a request, and count it."""
        rule = super().take(call)
        if rule is not None:
            self.hits[self._names.get(id(rule), rule.action)] += 1
        return rule


def disturb(simulator: Simulator, plan: CountingPlan, dice: random.Random, troubles: float) -> int:
    """Let some things go wrong from now on; what has not hit anything by the next time is forgotten.

    Args:
        simulator: Where.
        plan: The simulator's faults.
        dice: Draws them.
        troubles: How many, on average.

    Returns:
        How many began.
    """
    plan.clear()
    count = int(troubles) + (dice.random() < troubles % 1)
    for trouble in dice.choices(TROUBLES, _LIKELY, k=count):
        account = "" if trouble.of_all else dice.choice(simulator.world.accounts).id
        calls = 4 * len(simulator.world.accounts)
        plan.begin(trouble, account, dice.randrange(calls if trouble.of_all else 3))
    return count


_AWAY = "away"
_TURNS = (*(state for state in STATES if state != "active"), _AWAY)
_LONGEST_TICKS = 30


@dataclass
class Unrest:
    """Accounts that are not there yet, refuse, are closed or gone, each for some half hours."""

    simulator: Simulator
    dice: random.Random
    turns: Counter[str] = field(default_factory=Counter)
    """How often an account took each turn."""
    _until: dict[str, int] = field(default_factory=dict)
    """The tick at which an account is again what it was."""

    def begin(self, ticks: int) -> None:
        """Some accounts join only later."""
        accounts = self.simulator.world.accounts
        for account in self.dice.sample(accounts, max(1, len(accounts) // 20)):
            self.simulator.hide_account(account.id)
            self._until[account.id] = self.dice.randrange(1, max(2, ticks * 2 // 3))
            self.turns["joined"] += 1

    def tick(self, number: int) -> None:
        """Bring back whose time is over; let something become of another account."""
        for account_id in [one for one, until in self._until.items() if until <= number]:
            self._bring_back(account_id)
        calm = [one.id for one in self.simulator.world.accounts if one.id not in self._until]
        # At least nine in ten accounts are well.
        if self.dice.random() < 0.4 and len(self._until) <= len(self.simulator.world.accounts) // 10:
            account_id, turn = self.dice.choice(calm), self.dice.choice(_TURNS)
            if turn == _AWAY:
                self.simulator.hide_account(account_id)
            else:
                self.simulator.set_account_state(account_id, turn)
            self._until[account_id] = number + self.dice.randrange(1, _LONGEST_TICKS)
            self.turns[turn] += 1

    def end(self) -> None:
        """Everything is as it was."""
        for account_id in list(self._until):
            self._bring_back(account_id)

    def _bring_back(self, account_id: str) -> None:
        self.simulator.show_account(account_id)
        self.simulator.set_account_state(account_id, "active")
        del self._until[account_id]
