"""A plan as a person and a program want to see it: the sum first, then what it takes of each account's budgets, then the reports.

Shares of budgets are by Meta's formulas ("Rate Limits", Marketing API): the access tier and the number of running ads decide how
many calls an account has in an hour.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meta_insights_pipeline.collection import Plan, Unavailable
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import Request, estimate
from meta_insights_pipeline.graph_api.budget import BudgetLevel

MANY_ACCOUNTS = 10
"""With more, the accounts that take most stand for all of them, unless every line is wanted."""
_LIMITED, _FULL = "development_access", "standard_access"
TIERS = {_FULL: "full", _LIMITED: "limited"}
# Calls an hour by tier, and more for each running ad: of insights, and of the structure.
_INSIGHTS_HOUR, _INSIGHTS_AD = {_LIMITED: 600, _FULL: 190_000}, 400
_STRUCTURE_HOUR, _STRUCTURE_AD = {_LIMITED: 300, _FULL: 100_000}, 40
# Points that may be held at a time, a call being one; they fade within five minutes.
_SCORE = {_LIMITED: 60, _FULL: 9_000}


@dataclass(frozen=True)
class AccountCost:
    """What a sync takes of one account."""

    account: AdAccount
    reports: int
    insights_calls: int
    entity_calls: int
    tier: str | None
    """As Meta's headers name it; None when no answer told it yet."""
    insights_share: float | None
    """Percent of the calls for insights that Meta gives the account in an hour; None when the tier is not known."""
    structure_share: float | None
    """The same for its campaigns, ad sets and ads."""
    score_share: float | None
    """All calls, in percent of the points that the account may hold at a time: above 100 the sync takes over five minutes."""

    @property
    def calls(self) -> int:
        """All together."""
        return self.insights_calls + self.entity_calls


@dataclass(frozen=True)
class PlanReport:
    """A plan with what is known of the budgets."""

    days: DayRange
    plan: Plan
    accounts: Sequence[AdAccount]
    spent: int
    """Calls that planning itself has made; they are part of the plan's cost."""
    budgets: Sequence[BudgetLevel]
    entities: Mapping[str, int] = field(default_factory=dict)
    """Calls for campaigns, ad sets and ads, by account id."""
    polls: float = 1.0
    """How often the status of a report is asked for."""
    alarm: str | None = None
    """What is wrong with the version of the API that is asked for."""

    def calls_of(self, request: Request) -> int:
        """The calls of one report."""
        return sum(estimate([request], self.polls).values())

    def costs(self) -> list[AccountCost]:
        """What each account takes, those that take most first."""
        requests = defaultdict(list)
        for request in self.plan.requests:
            requests[request.account.id].append(request)
        tiers = {level.account: level.tier for level in self.budgets if level.tier}
        costs = [self._cost(account, requests[account.id], tiers.get(account.id)) for account in self.accounts]
        return sorted(costs, key=lambda cost: -cost.calls)

    def _cost(self, account: AdAccount, requests: Sequence[Request], tier: str | None) -> AccountCost:
        insights = sum(estimate(requests, self.polls).values())
        entities = self.entities.get(account.id, 0)
        ads = self.plan.rows_a_day.get((account.id, "ad_insights"), 0.0)
        return AccountCost(
            account,
            len(requests),
            insights,
            entities,
            tier,
            _share(insights, _INSIGHTS_HOUR, tier, _INSIGHTS_AD * ads),
            _share(entities, _STRUCTURE_HOUR, tier, _STRUCTURE_AD * ads),
            _share(insights + entities, _SCORE, tier),
        )

    def as_text(self, *, everything: bool = False) -> str:
        """For a person.

        Args:
            everything: Every account and every report, however many there are.
        """
        plan = self.plan
        lines = [f"{self.days}: {len(self.accounts)} accounts, {len(plan.requests)} reports, {plan.calls_text}"]
        lines += [f"error: {self.alarm}"] if self.alarm else []
        lines += [f"warning: {note}" for note in plan.notes]
        lines += [
            f"left out: {one.report} of act_{one.account_id}, {one.days}: {one.reason}" for one in self._left_out()
        ]
        lines += ["", f"{'calls':<20}{'number':>8}"]
        lines += [f"{kind:<20}{count:>8,}" for kind, count in sorted(plan.calls.items())]
        lines.append(f"{'in all':<20}{plan.calls_total:>8,}  ({self.spent} of them were made for this plan)")
        if plan.unlisted:
            lines.append(
                f"Not known before they are read: the lists of {len(plan.unlisted)} accounts. Each is planned as one page; more "
                "than 500 campaigns or ad sets, or 100 ads, archived ones included, take more."
            )
        costs = self.costs()
        shown = costs if everything or len(costs) <= MANY_ACCOUNTS else costs[:MANY_ACCOUNTS]
        lines += ["", *_cost_lines(shown)]
        if len(shown) < len(costs):
            lines.append(
                f"{len(costs) - len(shown)} more accounts take {shown[-1].calls} calls or fewer each; --all shows them."
            )
        lines += ["", *self._report_lines(everything or len(costs) <= MANY_ACCOUNTS)]
        budgets = [
            level for level in self.budgets if everything or len(costs) <= MANY_ACCOUNTS or _is_worth_a_line(level)
        ]
        if budgets:
            lines += ["", "budgets by Meta's last answers"]
            lines += [f"{_scope(level):<40}{_percent(level)}" for level in budgets]
        return "\n".join(lines)

    def _left_out(self) -> list[Unavailable]:
        """One of each report and reason, since hundreds of accounts lack the same days."""
        return list({(one.report, one.reason): one for one in reversed(self.plan.unavailable)}.values())

    def _report_lines(self, each: bool) -> list[str]:
        if each:
            heading = f"{'account':<22}{'report':<20}{'days':<26}{'rows':>9}{'calls':>7}  how"
            return [heading, *map(self._report_line, self.plan.requests)]
        groups: dict[tuple[str, bool], list[Request]] = defaultdict(list)
        for request in self.plan.requests:
            groups[request.report.name, request.direct].append(request)
        lines = [f"{'report':<20}{'requests':>9}{'accounts':>9}{'rows':>13}{'calls':>9}  how"]
        for (report, direct), requests in groups.items():
            known = [request.rows for request in requests if not math.isnan(request.rows)]
            rows = _rows(sum(known)) + ("" if len(known) == len(requests) else "+?")
            lines.append(
                f"{report:<20}{len(requests):>9,}{len({one.account.id for one in requests}):>9,}{rows:>13}"
                f"{sum(map(self.calls_of, requests)):>9,}  {_how(direct)}"
            )
        return lines

    def _report_line(self, request: Request) -> str:
        return (
            f"{request.account.node:<22}{request.report.name:<20}{request.days!s:<26}{_rows(request.rows):>9}"
            f"{self.calls_of(request):>7,}  {_how(request.direct)}"
        )

    def as_json(self) -> dict[str, object]:
        """The same for programs, with every account and report."""
        return {
            "since": self.days.since.isoformat(),
            "until": self.days.until.isoformat(),
            "accounts": len(self.accounts),
            "planned_calls": dict(self.plan.calls),
            "planned_calls_total": self.plan.calls_total,
            "calls_made_for_planning": self.spent,
            "accounts_listed_for_the_first_time": list(self.plan.unlisted),
            "warnings": [*([self.alarm] if self.alarm else []), *self.plan.notes],
            "account_costs": [
                {
                    "account_id": cost.account.id,
                    "reports": cost.reports,
                    "insights_calls": cost.insights_calls,
                    "entity_calls": cost.entity_calls,
                    "tier": cost.tier,
                    "insights_hour_percent": cost.insights_share,
                    "structure_hour_percent": cost.structure_share,
                    "score_percent": cost.score_share,
                }
                for cost in self.costs()
            ],
            "reports": [
                {
                    "account_id": request.account.id,
                    "report": request.report.name,
                    "since": request.days.since.isoformat(),
                    "until": request.days.until.isoformat(),
                    "rows": None if math.isnan(request.rows) else round(request.rows),
                    "calls": self.calls_of(request),
                    "direct": request.direct,
                }
                for request in self.plan.requests
            ],
        }


def _share(calls: int, allowed: Mapping[str, int], tier: str | None, more: float = 0.0) -> float | None:
    if tier is None or tier not in allowed:
        return None
    return round(100.0 * calls / (allowed[tier] + more), 2)


def _cost_lines(costs: Sequence[AccountCost]) -> list[str]:
    columns = f"{'insights':>9}{'of hour':>9}{'entities':>10}{'of hour':>9}{'of score':>10}"
    return [f"{'account':<22}{'tier':<9}{columns}", *map(_cost_line, costs)]


def _cost_line(cost: AccountCost) -> str:
    return (
        f"{cost.account.node:<22}{TIERS.get(cost.tier or '', cost.tier or '?'):<9}{cost.insights_calls:>9,}"
        f"{_shown(cost.insights_share):>9}{cost.entity_calls:>10,}{_shown(cost.structure_share):>9}"
        f"{_shown(cost.score_share):>10}"
    )


def _shown(share: float | None) -> str:
    if share is None:
        return "?"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %"


def _rows(rows: float) -> str:
    return "?" if math.isnan(rows) else f"{rows:,.0f}"


def _how(direct: bool) -> str:
    return "directly" if direct else "as an asynchronous report"


def _is_worth_a_line(level: BudgetLevel) -> bool:
    """Of hundreds of accounts, only what holds a sync up."""
    return level.account is None or level.blocked_until is not None or (level.percent or 0.0) >= 50


def _scope(level: BudgetLevel) -> str:
    return f"act_{level.account} {level.budget}" if level.account else level.budget


def _percent(level: BudgetLevel) -> str:
    used = "unknown" if level.percent is None else f"{level.percent:.0f} % used"
    return used + (f", blocked until {level.blocked_until:%H:%M} UTC" if level.blocked_until else "")
