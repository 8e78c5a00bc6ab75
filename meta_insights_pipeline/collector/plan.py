"""Which requests to make, and what they will cost: pure decisions, before a call is spent.

A report is a range of days, not a day. A range that should fit on one page is asked for directly; more is left to an
asynchronous report, and a range that would take many pages is cut, so that its parts are read side by side. What Meta
refused before is not asked for in that size again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.limits import is_async_only
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.lessons import FIRST_POLLS, Size, Split
from meta_insights_pipeline.collector.portions import Key

PAGE_ROWS = 500
# Once a report is ready, reading its pages one after the other is what takes time. Up to thirty pages are read so, since each
# further report costs calls; what is larger is cut into parts of twenty, which are read side by side.
WHOLE_ROWS = 30 * PAGE_ROWS
PART_ROWS = 20 * PAGE_ROWS
# Longer than this, an account whose size is not known is asked for the number of its entities first, a call a level. A shorter
# range of an account of unknown size is asked for directly: most fit on one page, and a second page tells the others.
UNSEEN_DAYS = 7
_ANY_DAYS = 10_000

RowsADay = Mapping[tuple[str, str], float]
"""Rows a day to expect, by account id and report name."""

Within = tuple[Level, tuple[str, ...]]
"""Entities of a level, by id."""


@dataclass(frozen=True)
class Request:
    """One report to ask Meta for."""

    account: AdAccount
    report: Report
    days: DayRange
    direct: bool
    """Ask synchronously, for one page; otherwise as an asynchronous report."""
    rows: float = math.nan
    """How many to expect; not a number when nothing is known."""
    fields: tuple[str, ...] | None = None
    """Only these of the report's fields; None asks for all."""
    within: Within | None = None
    """Only what belongs to these entities."""
    node: str = ""
    """The object to ask, when it is not the account itself."""

    def __str__(self) -> str:
        """For messages."""
        parts = [f"{self.report.name} of {self.node or self.account.node}, {self.days}"]
        if self.within is not None:
            parts.append(f"{len(self.within[1])} of its {self.within[0].value}s")
        if self.fields is not None:
            parts.append(f"{len(self.fields)} of its fields")
        return ", ".join(parts)

    @property
    def key(self) -> Key:
        """What is learned from it is learned of this: what one campaign refuses says nothing of its account."""
        return Key(self.node or self.account.id, self.report.name)

    @property
    def rate(self) -> float:
        """Rows a day to expect; not a number when nothing is known."""
        return self.rows / self.days.count

    @property
    def asked_node(self) -> str:
        """The node whose insights are asked for."""
        return self.node or self.account.node

    @property
    def asked_fields(self) -> tuple[str, ...]:
        """The report's fields that are asked for."""
        return self.report.fields if self.fields is None else self.fields

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of Meta's insights call, without paging."""
        return self.report.request_parameters(self.days.since, self.days.until, fields=self.fields, within=self.within)


def unseen_accounts(
    accounts: Iterable[AdAccount], reports: Iterable[Report], days: DayRange, known: RowsADay
) -> list[tuple[AdAccount, Level]]:
    """Which numbers of entities are worth a call before planning."""
    levels = [report for report in reports if report.level is not Level.ACCOUNT]
    if days.count <= UNSEEN_DAYS:
        return []
    return [
        (account, report.level) for account in accounts for report in levels if (account.id, report.name) not in known
    ]


def expected_rows(counts: Mapping[tuple[str, Level], int], reports: Iterable[Report]) -> dict[tuple[str, str], float]:
    """Rows a day to expect from numbers of running entities, by account id and level."""
    return {
        (account, report.name): float(counts[account, report.level])
        for account, level in counts
        for report in reports
        if report.level is level
    }


def plan(
    accounts: Iterable[AdAccount],
    reports: Iterable[Report],
    days: DayRange,
    now: datetime,
    expected: RowsADay,
    sizes: Mapping[tuple[str, str], Size] | None = None,
) -> list[Request]:
    """The requests for a range of days, the largest first.

    Args:
        accounts: Whose insights.
        reports: Which.
        days: Account days; each account is asked up to its own today.
        now: The moment of planning.
        expected: Rows a day; what is missing is unknown.
        sizes: What Meta gave at once before, by account id and report name.
    """
    requests: list[Request] = []
    wanted = list(reports)
    for account in accounts:
        mine = days.until_at_most(account.today(now))
        if mine is None:
            continue
        for report in wanted:
            rate = 1.0 if report.level is Level.ACCOUNT else expected.get((account.id, report.name), math.nan)
            size = (sizes or {}).get((account.id, report.name), Size())
            most = min(_days_a_part(rate, mine), size.days or mine.count)
            requests += [
                Request(account, report, part, is_direct(report, rate, part, size), rate * part.count)
                for part in mine.parts(most)
            ]
    return largest_first(requests)


def largest_first(requests: Iterable[Request]) -> list[Request]:
    """The order in which requests should begin: what takes longest should not come last."""
    return sorted(requests, key=lambda one: (-one.report.level.depth, -_known(one.rows)))


def estimate(
    requests: Sequence[Request],
    polls_a_report: float = FIRST_POLLS,
    sizes: Mapping[tuple[str, str], Size] | None = None,
) -> dict[str, int]:
    """The calls that requests will cost, by kind as the receipt counts them.

    Args:
        requests: The plan.
        polls_a_report: How often a report's status has to be asked for, where that is not known of the account.
        sizes: What Meta gave at once before, by account id and report name.
    """
    calls = dict.fromkeys(("insights_page", "report_submit", "report_poll", "report_page"), 0.0)
    for request in requests:
        size = (sizes or {}).get(request.key, Size())
        pages = max(1, math.ceil(_known(request.rows) / (size.page_rows or PAGE_ROWS)))
        cost = Split(0, pages, 0, 0) if request.direct else Split(0, 0, 1, pages)
        if size.by_entity and size.split is not None:
            cost = size.split
        calls["insights_page"] += cost.lists + cost.direct
        calls["report_submit"] += cost.reports
        calls["report_poll"] += cost.reports * (polls_a_report if size.polls is None else size.polls)
        calls["report_page"] += cost.pages
    return {kind: round(count) for kind, count in calls.items() if round(count)}


def is_direct(report: Report, rate: float, days: DayRange, size: Size | None = None) -> bool:
    """Whether days of a report should fit on one page, and can be asked for directly."""
    most = direct_days(report, rate)
    if size is not None and size.direct_days is not None:
        most = min(most, size.direct_days)
    return days.count <= most


def direct_days(report: Report, rate: float) -> int:
    """How many days of a report should fit on one page at so many rows a day; 0 when not even one does."""
    if is_async_only(report):
        return 0
    if math.isnan(rate):
        return UNSEEN_DAYS
    # A tenth in hand, since today's account may have grown since its rows were counted.
    return min(int(PAGE_ROWS / 1.1 / rate), _ANY_DAYS) if rate > 0 else _ANY_DAYS


def _known(rows: float) -> float:
    return 0.0 if math.isnan(rows) else rows


def _days_a_part(rate: float, days: DayRange) -> int:
    if math.isnan(rate) or rate * days.count <= WHOLE_ROWS:
        return days.count
    parts = math.ceil(rate * days.count / PART_ROWS)
    return max(1, math.ceil(days.count / parts))
