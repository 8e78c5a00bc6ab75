"""Which requests to make: pure decisions, before a call is spent.

A report is a range of days, not a day. A range that should fit on one page is asked for directly; more is left to an
asynchronous report, and a range that would take many pages is cut, so that its parts are read side by side.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange

PAGE_ROWS = 500
# Once a report is ready, reading its pages one after the other is what takes time. Up to thirty pages are read so, since each
# further report costs calls; what is larger is cut into parts of twenty, which are read side by side.
WHOLE_ROWS = 30 * PAGE_ROWS
PART_ROWS = 20 * PAGE_ROWS
# Longer than this, an account whose size is not known is asked for the number of its ads first, which is one call.
UNSEEN_DAYS = 7

RowsADay = Mapping[tuple[str, str], float]
"""Rows a day to expect, by account id and report name."""


@dataclass(frozen=True)
class Task:
    """One report to ask Meta for."""

    account: AdAccount
    report: Report
    days: DayRange
    direct: bool
    """Ask synchronously, for one page; otherwise as an asynchronous report."""

    def __str__(self) -> str:
        return f"{self.report.name} of {self.account.node}, {self.days}"


def unseen_accounts(
    accounts: Iterable[AdAccount], reports: Iterable[Report], days: DayRange, known: RowsADay
) -> list[AdAccount]:
    """The accounts whose size is worth a call before planning."""
    deep = [report for report in reports if report.level is Level.AD]
    if days.count <= UNSEEN_DAYS or not deep:
        return []
    return [account for account in accounts if any((account.id, report.name) not in known for report in deep)]


def plan(
    accounts: Iterable[AdAccount], reports: Iterable[Report], days: DayRange, now: datetime, expected: RowsADay
) -> list[Task]:
    """The requests for a range of days, the largest first.

    Args:
        accounts: Whose insights.
        reports: Which.
        days: Account days; each account is asked up to its own today.
        now: The moment of planning.
        expected: Rows a day; what is missing is unknown, and asked for asynchronously.
    """
    tasks: list[tuple[float, Task]] = []
    wanted = list(reports)
    for account in accounts:
        mine = days.until_at_most(account.today(now))
        if mine is None:
            continue
        for report in wanted:
            rate = 1.0 if report.level is Level.ACCOUNT else expected.get((account.id, report.name), math.nan)
            tasks += [
                (0.0 if math.isnan(rate) else rate * part.count, Task(account, report, part, _is_direct(rate, part)))
                for part in mine.parts(_days_a_part(rate, mine))
            ]
    return [task for _, task in sorted(tasks, key=lambda item: (-item[1].report.level.depth, -item[0]))]


def _is_direct(rate: float, days: DayRange) -> bool:
    # A tenth in hand, since today's account may have grown since its rows were counted.
    return not math.isnan(rate) and rate * days.count * 1.1 <= PAGE_ROWS


def _days_a_part(rate: float, days: DayRange) -> int:
    if math.isnan(rate) or rate * days.count <= WHOLE_ROWS:
        return days.count
    parts = math.ceil(rate * days.count / PART_ROWS)
    return max(1, math.ceil(days.count / parts))
