"""A live configuration against a simulator whose totals and rows can be brought apart, and what the ledger says of it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.calls import read_call
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.errors import invalid_parameter
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import SyncOutcome, SyncRequest, run_sync
from meta_insights_pipeline_tests.comparison import Row, read_rows
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN

NOW = datetime(2026, 11, 20, 12, 7, tzinfo=UTC)
SPEC = WorldSpec(seed=3, accounts=2, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True)


class Bent(Simulator):
    """A simulator that may refuse a field at a level, and whose rows may be changed on their way out."""

    withheld: tuple[str, str] | None = None
    """A level, and a field that is refused there."""
    change: Callable[[str, list[dict[str, Any]]], None] | None = None
    """Gets the level that was asked for and the rows, which it may change."""

    def handle(self, request: SimRequest) -> SimResponse:
        call = read_call(request, self.world, self.base_url)
        level, fields = call.params.get("level", ""), call.params.get("fields", "").split(",")
        if self.withheld and level == self.withheld[0] and self.withheld[1] in fields:
            error = invalid_parameter("(#100) This field is not available", "fields")
            return SimResponse(error.status, {"content-type": "application/json"}, error.body("trace"))
        response = super().handle(request)
        if self.change is None or call.kind != "insights" or response.status != 200:
            return response
        answer = json.loads(response.body)
        self.change(level, answer["data"])
        return replace(response, body=json.dumps(answer).encode())


@dataclass
class Bench:
    """A running simulator, a home, and one clock for both."""

    simulator: Bent
    settings: Settings
    clock: SharedClock
    runs: int = 0

    @property
    def world(self) -> World:
        """The simulated world, for its truth."""
        return self.simulator.world

    def account(self, place: int = 0) -> str:
        """The id of an account."""
        return self.world.accounts[place].id

    def now(self) -> datetime:
        """The simulated time."""
        return self.clock.now()

    def pass_time(self, step: timedelta) -> None:
        """Move the clock of both."""
        self.clock.sleep(step.total_seconds())

    def days(self, ago: int, count: int) -> DayRange:
        """Some days, the last of which was so many days ago."""
        until = NOW.date() - timedelta(days=ago)
        return DayRange(until - timedelta(days=count - 1), until)

    def sync(self, days: DayRange, *levels: Level, **options: Any) -> SyncOutcome:
        """Sync some days of all levels, or of some."""
        self.runs += 1
        reports = reports_of_levels(levels) if levels else builtin_reports()
        return run_sync(self.settings, SyncRequest(f"run-{self.runs}", days, reports, **options), clock=self.clock)

    def rows(self, statement: str) -> list[Row]:
        """Rows of the published file."""
        return read_rows(self.settings.snapshot_path, statement)

    def explanations(self) -> dict[tuple[str, str], set[str | None]]:
        """What the ledger says, by account and level."""
        found: dict[tuple[str, str], set[str | None]] = {}
        for row in self.rows("SELECT DISTINCT account_id, level, explanation FROM reconciliation"):
            found.setdefault((row["account_id"], row["level"]), set()).add(row["explanation"])
        return found

    def calls(self, outcome: SyncOutcome) -> dict[str, int]:
        """Calls of a sync, by kind."""
        return dict(outcome.receipt.calls)

    def delete(self, level: str, place: int, at: datetime, account: int = 0) -> str:
        """Delete an entity at a moment; before anything is asked of its account, since states are drawn once."""
        table = self.world.graph(self.account(account)).table(level)
        table.deleted[place] = int(at.timestamp())
        return table.ids[place]


@contextmanager
def bench(home: Path, empty_warehouse: Path, spec: WorldSpec = SPEC, **variables: Any) -> Iterator[Bench]:
    """Serve a world over HTTP at a fixed time and point settings at it; the home gets a copy of an empty warehouse."""
    shutil.copy(empty_warehouse, home / "warehouse.duckdb")
    clock = SimulatedClock(NOW)
    simulator = Bent(World(spec), clock, access_token=TOKEN, monotonic=lambda: clock.now().timestamp())
    with SimulatorServer(simulator) as server:
        values = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": server.url,
            "META_INSIGHTS_HOME": home,
            **variables,
        }
        yield Bench(simulator, Settings(_env_file=None, **values), SharedClock(clock))
