"""`meta-insights plan`: the calls that a sync would make and what they cost, without making them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collection import Plan, Wanted, accounts_of, draw_up, open_collection
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.entity_sync import entity_calls
from meta_insights_pipeline.graph_api.budget import BudgetLevel
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.knowledge import read_knowledge


@dataclass(frozen=True)
class PlanReport:
    """A plan as a person wants to see it."""

    days: DayRange
    plan: Plan
    accounts: int
    spent: int
    """Calls that planning itself has made; they are part of the plan's cost."""
    budgets: Sequence[BudgetLevel]

    def as_text(self) -> str:
        """Request by request, the cost by kind, and how full the budgets are."""
        lines = [f"{self.days}, {self.accounts} accounts, {len(self.plan.requests)} reports", ""]
        lines.append(f"{'account':<22}{'report':<20}{'days':<26}{'rows':>9}  how")
        for request in self.plan.requests:
            rows = "?" if math.isnan(request.rows) else f"{request.rows:,.0f}"
            how = "directly" if request.direct else "as an asynchronous report"
            lines.append(f"{request.account.node:<22}{request.report.name:<20}{request.days!s:<26}{rows:>9}  {how}")
        lines += ["", f"{'calls':<20}{'number':>8}"]
        lines += [f"{kind:<20}{count:>8,}" for kind, count in sorted(self.plan.calls.items())]
        lines.append(f"{'in all':<20}{self.plan.calls_total:>8,}  ({self.spent} of them were made for this plan)")
        if self.budgets:
            lines += ["", "budgets by Meta's last answers"]
            lines += [f"{_scope(level):<40}{_percent(level)}" for level in self.budgets]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "since": self.days.since.isoformat(),
            "until": self.days.until.isoformat(),
            "accounts": self.accounts,
            "planned_calls": dict(self.plan.calls),
            "planned_calls_total": self.plan.calls_total,
            "calls_made_for_planning": self.spent,
            "reports": [
                {
                    "account_id": request.account.id,
                    "report": request.report.name,
                    "since": request.days.since.isoformat(),
                    "until": request.days.until.isoformat(),
                    "rows": None if math.isnan(request.rows) else round(request.rows),
                    "direct": request.direct,
                }
                for request in self.plan.requests
            ],
        }


def plan_manual_sync(
    settings: Settings, wanted: DaysWanted, levels: Sequence[str] = (), accounts: Sequence[str] = ()
) -> PlanReport:
    """Plan what `run_manual_sync` would do; makes no call but those that planning needs.

    Raises:
        SettingsError: A setting cannot be used.
        ManualSyncError: There can be no plan.
    """
    try:
        with open_collection(settings, f"plan-{uuid4()}") as collection:
            found = accounts_of(collection, accounts)
            days = wanted.resolve(collection.clock.now(), [account.timezone_name for account in found.accounts])
            knowledge = read_knowledge(Warehouse(settings.warehouse_path, settings.home / "tmp"), settings.mode)
            reports = reports_of_levels([Level(level) for level in levels] or list(Level))
            plan = draw_up(collection, [Wanted(found.accounts, reports, days)], knowledge.rows_a_day)
            if not levels:
                plan = plan.with_calls(entity_calls(collection, found.accounts, plan.rows_a_day, timedelta()))
            spent = collection.api.meter.counts().total
            return PlanReport(days, plan, len(found.accounts), spent, tuple(collection.budget.levels()))
    except (NoAccountError, GraphApiError, WarehouseError) as error:
        raise ManualSyncError(str(error)) from None


def _scope(level: BudgetLevel) -> str:
    return f"act_{level.account} {level.budget}" if level.account else level.budget


def _percent(level: BudgetLevel) -> str:
    used = "unknown" if level.percent is None else f"{level.percent:.0f} % used"
    return used + (f", blocked until {level.blocked_until:%H:%M} UTC" if level.blocked_until else "")
