"""The doctor's checks of the ad accounts: which there are, whether their insights can be read, how full their budgets are."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from meta_insights_pipeline.collector.accounts import (
    ACTIVE,
    AccountRules,
    AdAccount,
    NoAccountError,
    find_accounts,
    gone_accounts,
)
from meta_insights_pipeline.findings import Finding, fail, not_checked, ok, warn
from meta_insights_pipeline.graph_api.budget import Budget, BudgetLevel
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError, RetryableError
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.knowledge import collected_accounts
from meta_insights_pipeline.warehouse.state import read_only

FULL_PERCENT = 80.0
"""Of a budget, from which calls are slowed down."""
# As a sync would ask, so that it is charged to the same budget.
_KIND = "insights_page"
_THREADS = 8


def check_accounts(
    settings: Settings, api: GraphApi, budget: Budget, refusal: GraphApiError | None, now: datetime
) -> list[Finding]:
    """A finding for each ad account and one for the app's calls, or one for all when accounts cannot be listed.

    Args:
        settings: Which accounts.
        api: The session.
        budget: What the session's answers say about calls.
        refusal: What was wrong with a call that every token may make, if anything.
        now: For the accounts' own days.
    """
    if isinstance(refusal, AuthError):
        return not_checked(["accounts"], "Meta does not accept the token or its proof")
    rules = AccountRules(settings.allow_accounts, settings.deny_accounts)
    try:
        found = find_accounts(api, settings.ad_account_ids, rules)
    except NoAccountError as error:
        return [fail("accounts", str(error))]
    except RetryableError as error:
        return not_checked(["accounts"], f"they cannot be listed for now, {str(error).rstrip('.')}")
    except GraphApiError as error:
        return [fail("accounts", str(error))]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="doctor") as pool:
        problems = list(pool.map(lambda account: _problem(api, account, now), found.accounts))
    levels = budget.levels()
    findings = [
        problem or _account(account, _Usage.of(account.id, levels), now)
        for account, problem in zip(found.accounts, problems, strict=True)
    ]
    refused = [*found.refused, *gone_accounts(found, _collected(settings), rules)]
    return [*findings, *(fail(f"act_{one.id}", one.reason) for one in refused), _app(_Usage.of(None, levels))]


def _collected(settings: Settings) -> Mapping[str, str]:
    """Names, by id, of the accounts of which the warehouse has something; none when it cannot be read, which has its own line."""
    if not settings.warehouse_path.exists():
        return {}
    try:
        with read_only(settings.warehouse_path) as connection:
            return collected_accounts(connection, settings.mode)
    except WarehouseError:
        return {}


def _problem(api: GraphApi, account: AdAccount, now: datetime) -> Finding | None:
    """What keeps an account's insights from being read, if anything."""
    today = account.today(now)
    parameters = {
        "level": "account",
        "fields": "impressions",
        "time_range": f'{{"since":"{today}","until":"{today}"}}',
        "limit": "1",
    }
    try:
        api.get(f"{account.node}/insights", parameters, kind=_KIND, read=read_object, account=account.id)
    except RetryableError as error:
        return warn(account.node, f"{_described(account, now)}; its insights are not given for now: {error}")
    except GraphApiError as error:
        return fail(account.node, f"{_described(account, now)}; its insights cannot be read: {error}")
    return None


def _app(usage: "_Usage") -> Finding:
    if usage.is_full:
        return warn(
            "app budget", f"The app's calls, {usage}; syncs slow down until that falls, so let its users call less."
        )
    return ok("app budget", f"The app's calls, {usage}.")


def _account(account: AdAccount, usage: "_Usage", now: datetime) -> Finding:
    shown = f"{_described(account, now)}; {usage.tier}, {usage}"
    if account.status != ACTIVE:
        return warn(
            account.node,
            f"{shown}; it is {account.status_text}: see Ads Manager, or leave it out with META_INSIGHTS_DENY_ACCOUNTS.",
        )
    if usage.is_full:
        return warn(account.node, f"{shown}; syncs slow down until that falls, so let other programs call less.")
    return ok(account.node, f"{shown}.")


def _described(account: AdAccount, now: datetime) -> str:
    place = f"{account.currency}, {account.timezone_name}, where it is {account.today(now)}"
    return f"{account.name}, {account.status_text}, {place}"


_TIERS = {"standard_access": "full access", "development_access": "limited access"}


@dataclass(frozen=True)
class _Usage:
    """How full the budgets of an account, or of the app, are."""

    levels: tuple[BudgetLevel, ...]
    """Those of which an answer told."""

    @classmethod
    def of(cls, account_id: str | None, levels: Sequence[BudgetLevel]) -> "_Usage":
        """From the headers of the answers; None for the app."""
        return cls(tuple(level for level in levels if level.account == account_id and level.percent is not None))

    @property
    def is_full(self) -> bool:
        """Whether calls are slowed down."""
        return any((level.percent or 0.0) >= FULL_PERCENT for level in self.levels)

    @property
    def tier(self) -> str:
        """The access tier in words."""
        told = next((level.tier for level in self.levels if level.tier), None)
        return "access tier not told" if told is None else _TIERS.get(told, told)

    def __str__(self) -> str:
        used = ", ".join(f"{level.budget} {level.percent:.0f} %" for level in self.levels)
        return f"used: {used}" if used else "no budget told"
