"""A collector against a simulated Graph API over HTTP, with a clock that skips."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import orjson

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.accounts import AdAccount, find_accounts
from meta_insights_pipeline.collector.collect import Collected, Collector, Missed
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.plan import Request, plan
from meta_insights_pipeline.collector.report_book import ReportBook
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.simulator.truth import truth
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.live import Live


@dataclass
class Desk:
    """What a collection works with, and what it has brought."""

    live: Live
    api: GraphApi
    state: State
    book: ReportBook
    lessons: Lessons
    collector: Collector
    clock: SkippingClock
    accounts: tuple[AdAccount, ...]
    collected: list[Collected] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)

    def days(self, count: int = 3) -> DayRange:
        """The last days."""
        today = self.live.at.date()
        return DayRange(today - timedelta(days=count - 1), today)

    def requests(self, levels: Sequence[Level] | None = None, days: int = 3, *, direct: bool = False) -> list[Request]:
        """One report a level and account over the last days."""
        reports: tuple[Report, ...] = reports_of_levels(levels) if levels else builtin_reports()
        rate = 1.0 if direct else 530.0
        expected = {(account.id, report.name): rate for account in self.accounts for report in reports}
        return plan(self.accounts, reports, self.days(days), self.live.at, expected)

    def collect(self, requests: Sequence[Request]) -> "Desk":
        """Make requests and keep what comes."""
        with closing(self.collector.collect(requests)) as events:
            for event in events:
                if isinstance(event, Collected):
                    self.collected.append(event)
                else:
                    self.missed.append(event)
        return self

    def assert_is_truth(self, level: Level, days: int = 3) -> None:
        """Every row of a level came once, with the impressions and the reach that it has, and no other row."""
        found: dict[tuple[str, str, str], dict[str, str]] = {}
        pieces = [event for event in self.collected if event.request.report.level is level]
        for event in pieces:
            seen: dict[tuple[str, str, str], set[tuple[str, ...] | None]] = {}
            for part in event.parts:
                for page in part.pages:
                    for row in orjson.loads(page.read_bytes()):
                        key = (row["account_id"], row[level.id_field], row["date_start"])
                        assert part.fields not in seen.setdefault(key, set()), f"{key} came twice"
                        seen[key].add(part.fields)
                        found.setdefault(key, {}).update(row)
        range_ = self.days(days)
        expected = {
            (row["account_id"], row[level.id_field], str(row["date_start"])): (
                str(row["impressions"]),
                str(row["reach"]),
            )
            for account in self.accounts
            for row in truth(self.live.world, level.value, account.id, range_.since, range_.until, self.live.at).rows
        }
        assert {key: (row["impressions"], row["reach"]) for key, row in found.items()} == expected


@contextmanager
def desk(home: Live, folder: Path, *, owner: str = "run", clock: SkippingClock | None = None) -> Iterator[Desk]:
    """A collector of a process of its own, with its state in a folder."""
    clock = clock or SkippingClock()
    with State(folder / "state.sqlite") as state:
        budget = Budget(state, clock, namespace="test")
        with open_graph_api(home.settings, budget=budget, clock=clock) as api:
            book = ReportBook(state, folder / "pages", clock, owner=owner, is_alive=lambda other: other == owner)
            lessons = Lessons(state, clock)
            collector = Collector(api, book, lessons, clock)
            accounts = find_accounts(api, ()).accounts
            try:
                yield Desk(home, api, state, book, lessons, collector, clock, accounts)
            finally:
                book.release()
