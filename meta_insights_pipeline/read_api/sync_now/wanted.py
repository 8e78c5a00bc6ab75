"""What a request for a sync comes to: which days, levels and ad accounts, or why not. No I/O.

Dagster takes any range and any account, so whatever must not be asked for is refused here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.days import DayRange, days_back_range, refresh_range
from meta_insights_pipeline.read_api.access.errors import ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.errors import ApiError, NotFoundError
from meta_insights_pipeline.read_api.sync_now.models import SyncNowRequest
from meta_insights_pipeline.settings import account_id
from meta_insights_pipeline.warehouse.reading.period import MAX_DAYS


class UnusableSyncError(ApiError):
    """422: the request is well-formed, but no such sync can be."""

    status: ClassVar[int] = 422


@dataclass(frozen=True)
class SyncWanted:
    """One sync."""

    days: DayRange
    levels: tuple[Level, ...]
    """Insights of these alone; empty for every level, and the entities too."""
    accounts: tuple[str, ...]
    """Ids without `act_`, sorted; empty for every one."""


def sync_wanted(
    request: SyncNowRequest,
    principal: Principal,
    *,
    now: datetime,
    first_day: date,
    zones: Mapping[str, str],
    named_accounts: Collection[str],
) -> SyncWanted:
    """Decide.

    Args:
        request: What is asked for.
        principal: Who asks.
        now: The moment.
        first_day: First day partition.
        zones: Time zones of the accounts that are known, by id; empty when no sync has been.
        named_accounts: The accounts that META_AD_ACCOUNT_IDS names; empty for all.

    Raises:
        UnusableSyncError: 422, such days cannot be collected.
        NotFoundError: 404, an account that does not exist or that the principal does not see.
        ForbiddenError: 403, the principal sees no account at all.
    """
    accounts = _accounts(request, principal, frozenset(zones) | frozenset(named_accounts))
    levels = tuple(level for level in Level if level in request.levels)
    its_zones = tuple(sorted({zone for each, zone in zones.items() if not accounts or each in accounts}))
    return SyncWanted(_days(request, now, first_day, its_zones), levels, accounts)


def _accounts(request: SyncNowRequest, principal: Principal, known: frozenset[str]) -> tuple[str, ...]:
    asked = {account_id(text) for text in request.accounts}
    for each in sorted(asked):
        # Before the first sync no account is known, and whoever sees all may name any.
        if not principal.sees(each) or (known and each not in known):
            raise NotFoundError("ad account", each)
    if principal.accounts is None:
        return tuple(sorted(asked))
    own = asked or (principal.accounts & known if known else principal.accounts)
    if not own:
        # An empty list would mean every account.
        raise ForbiddenError("You may see no ad account, so there is nothing to sync for you.")
    return tuple(sorted(own))


def _days(request: SyncNowRequest, now: datetime, first_day: date, zones: tuple[str, ...]) -> DayRange:
    newest = refresh_range(now, zones).until
    if request.days_back is not None and (request.date_from or request.date_to):
        raise UnusableSyncError("days_back cannot be used together with date_from or date_to; leave one of them out.")
    if request.date_to is not None and request.date_from is None:
        raise UnusableSyncError("date_to needs date_from; give both, or use days_back.")
    if request.date_from is None:
        if request.days_back is None:
            return refresh_range(now, zones)
        days = days_back_range(now, request.days_back, zones)
    else:
        days = _named_days(request.date_from, request.date_to, newest)
    if days.since < first_day:
        raise UnusableSyncError(
            f"The range begins on {days.since}, before the first day that is collected, {first_day}; choose a later day."
        )
    if days.count > MAX_DAYS:
        raise UnusableSyncError(f"The range has {days.count} days; ask for {MAX_DAYS} at most.")
    return days


def _named_days(since: date, until: date | None, newest: date) -> DayRange:
    if since > newest:
        raise UnusableSyncError(f"date_from {since} is in the future; the newest day that has begun is {newest}.")
    if until is not None and until < since:
        raise UnusableSyncError(f"date_to {until} is before date_from {since}; swap them.")
    return DayRange(since, min(until or newest, newest))
