"""Refreshing the last days of one account again and again, from the simulator's pages to the checkpointed warehouse."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.warehouse.database import Warehouse, open_memory
from meta_insights_pipeline.warehouse.inspection import inspect_table
from meta_insights_pipeline.warehouse.schema import actions_table, fact_table
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging
from meta_insights_pipeline.warehouse.trust import Run, read_trust
from meta_insights_pipeline.warehouse.writing import Written, write


@dataclass(frozen=True)
class Refreshed:
    """What one refresh took."""

    seconds: float
    """From the locked warehouse to the checkpointed file, with the ledger and the checks of a sync."""
    changed: int
    """Rows of all tables."""


class Refresh:
    """Reads the last days of one account and merges them, whenever it is told to."""

    def __init__(self, api: GraphApi, clock: SimulatedClock, account: str, zone: str, folder: Path, days: int) -> None:
        self.warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
        self._api, self._clock, self._account, self._zone = api, clock, account, zone
        self._folder, self._days = folder, days
        self._runs = 0

    def once(self, at: datetime) -> Refreshed:
        """One refresh at a moment of the simulated time."""
        self._clock.advance(at - self._clock.now())
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        folder.mkdir()
        staged = self._staged(folder)
        began = time.monotonic()
        written = write(
            self.warehouse,
            self._folder / "unused.duckdb",
            staged,
            [],
            run_id=f"run-{self._runs}",
            source="stub",
            publish_result=False,
            now=self._clock.now(),
            read_back=self._check,
        )
        seconds = time.monotonic() - began
        shutil.rmtree(folder)
        return Refreshed(seconds, _changed(written))

    def _check(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What a sync asks of the warehouse once it has merged."""
        now = self._clock.now()
        since, until = self._range()
        reports = builtin_reports()
        for table in (*map(fact_table, reports), actions_table()):
            inspect_table(connection, table, since, until, until, f"run-{self._runs}")
        names = [report.name for report in reports]
        read_trust(connection, Run(f"run-{self._runs}", names, since, until, {self._account: self._zone}), now)

    def _range(self) -> tuple[date, date]:
        until = self._clock.now().date()
        return until - timedelta(days=self._days - 1), until

    def _staged(self, folder: Path) -> list[Staged]:
        now, (since, until) = self._clock.now(), self._range()
        with open_memory(folder / "tmp") as connection:
            staging = Staging(connection, folder)
            for report in builtin_reports():
                parameters = {**report.request_parameters(since, until), "limit": "500"}
                pages: list[PageFile] = []
                for page in follow_pages(self._api, f"act_{self._account}/insights", parameters, kind="page"):
                    file = folder / f"{report.name}-{len(pages)}.json"
                    file.write_bytes(page.rows)
                    pages.append(PageFile(file))
                staging.add(Slice(report, self._account, since, until, now), pages)
            outcomes = staging.finish()
        return [outcome for outcome in outcomes if isinstance(outcome, Staged)]


def _changed(written: Written) -> int:
    return sum(counts.written for counts in written.counts.values())


@contextmanager
def refreshing(spec: WorldSpec, begin: datetime, folder: Path, *, days: int) -> Iterator[Refresh]:
    """A simulated account in which every ad delivers every day, and its refresh.

    Args:
        spec: The world; its first account is read.
        begin: The simulated time.
        folder: An empty folder.
        days: How many days a refresh reads, the last of them today.
    """
    clock = SimulatedClock(begin)
    simulator = Simulator(World(spec), clock)
    account = simulator.world.accounts[0]
    adapter = SimulatorAdapter(simulator)
    with GraphApi(base_url=simulator.base_url, version="v26.0", access_token="any", adapter=adapter) as api:
        yield Refresh(api, clock, account.id, account.timezone_name, folder, days)
