"""Days that the warehouse lacks, beside those a sync itself could not get: of accounts that joined, came back, or stood still.

Belongs here: pure decisions on which days are missing, and when they are asked for. Does not belong here: what a sync's own
requests came to (`harvest`), and the book of what is missing (`warehouse.merge`).
"""

from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.warehouse.merge import Gap

DEFERRED, FAILED, REFUSED, UNAVAILABLE = "deferred", "failed", "refused", "unavailable"

LONGEST_STANDSTILL_DAYS = 28
"""A longer hole is somebody's choice, such as a backfill of one month of last year, and is told instead of filled."""


def gaps_of_new_accounts(
    account_ids: Sequence[str], reports: Sequence[Report], earliest: date | None, days: DayRange, now: datetime
) -> list[Gap]:
    """The days that accounts which have just joined lack in comparison with the others; they are due at once.

    Args:
        account_ids: The new ones.
        reports: Which they should have.
        earliest: The first day that any other account has.
        days: What this sync collects anyway.
        now: The moment of the sync.
    """
    last = days.since - timedelta(days=1)
    if earliest is None or earliest > last:
        return []
    reason = "The account has joined since the last sync, and its earlier days have not been asked for yet."
    return [
        Gap(report.name, account_id, earliest, last, reason, retry_at=now, kind=DEFERRED)
        for account_id in account_ids
        for report in reports
    ]


def gaps_of_refusals(
    missing: Sequence[Gap],
    refused: Mapping[str, str],
    answered: Ids[str],
    reports: Ids[str],
    days: DayRange,
    now: datetime,
) -> list[Gap]:
    """What becomes of earlier gaps: those of accounts that refuse have no time any more, those of accounts that are back are due.

    Args:
        missing: The gaps of earlier syncs.
        refused: Accounts that this sync could not read, with the reason.
        answered: Accounts that it read.
        reports: Names of the reports that it asked for.
        days: The days that it asked for; what is missing of them it has said itself.
        now: The moment of the sync.
    """
    changed = []
    for gap in missing:
        if gap.account_id in refused and gap.retry_at is not None:
            changed.append(replace(gap, reason=refused[gap.account_id], retry_at=None, kind=REFUSED))
        elif gap.account_id in answered and gap.kind == REFUSED:
            reason = "The account can be read again, and these days of its absence have not been asked for yet."
            changed.append(replace(gap, reason=reason, retry_at=now, kind=DEFERRED))
    return [
        replace(gap, since=left.since, until=left.until)
        for gap in changed
        for whole in [DayRange(gap.since, gap.until)]
        for left in (whole.without(days) if gap.report in reports else [whole])
    ]


@dataclass(frozen=True)
class Standstill:
    """Days between what was collected last and a sync that reaches the present, of which nothing is known as missing."""

    report: str
    account_id: str
    days: DayRange

    @property
    def is_short(self) -> bool:
        """Whether these days are filled without being asked for."""
        return self.days.count <= LONGEST_STANDSTILL_DAYS


def standstills(
    lacking_from: Mapping[tuple[str, str], date],
    missing: Sequence[Gap],
    answered: Ids[str],
    todays: Mapping[str, date],
    reports: Sequence[Report],
    days: DayRange,
) -> list[Standstill]:
    """The days in which nothing was collected, because no sync ran or each one failed as a whole.

    A sync of past days alone says nothing of those between: whoever loads a month of last year wants that month.

    Args:
        lacking_from: By account id and report, the first day behind the last one that was collected once it was over.
        missing: The gaps of earlier syncs, which are asked for anyway.
        answered: Accounts that this sync could read.
        todays: The present day of each account.
        reports: What this sync asked for.
        days: The days that it asked for.
    """
    last = days.since - timedelta(days=1)
    present = [each for each in sorted(answered) if each in todays and todays[each] <= days.until]
    found = []
    for account_id in present:
        for report in reports:
            first = lacking_from.get((account_id, report.name))
            if first is not None and first <= last:
                known = [gap for gap in missing if (gap.account_id, gap.report) == (account_id, report.name)]
                unknown = _without(DayRange(first, last), known)
                found += [Standstill(report.name, account_id, each) for each in unknown]
    return found


def gaps_of_standstills(found: Sequence[Standstill], now: datetime) -> list[Gap]:
    """The days of short standstills; they are due at once.

    Args:
        found: What stood still.
        now: The moment of the sync.
    """
    reason = (
        "No sync asked for these days, or none succeeded, while they were going on; they have not been asked for since."
    )
    return [
        Gap(one.report, one.account_id, one.days.since, one.days.until, reason, retry_at=now, kind=DEFERRED)
        for one in found
        if one.is_short
    ]


def hole_sentences(found: Sequence[Standstill]) -> tuple[str, ...]:
    """A sentence for each range of days that are too many to be filled without being asked for."""
    holes: dict[DayRange, set[str]] = {}
    for one in found:
        if not one.is_short:
            holes.setdefault(one.days, set()).add(one.account_id)
    return tuple(
        f"Nothing was collected of {len(ids)} ad accounts ({', '.join(f'act_{each}' for each in sorted(ids)[:3])}"
        f"{', ...' if len(ids) > 3 else ''}) from {days.since} to {days.until}, which is more than "
        f"{LONGEST_STANDSTILL_DAYS} days and therefore not asked for by itself; "
        f"meta-insights sync --start {days.since} --end {days.until} brings it."
        for days, ids in holes.items()
    )


def _without(whole: DayRange, gaps: Sequence[Gap]) -> list[DayRange]:
    days = [whole]
    for gap in gaps:
        days = [left for each in days for left in each.without(DayRange(gap.since, gap.until))]
    return days
