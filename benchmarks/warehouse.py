"""What a large warehouse costs: refreshing three days of it, asking what was known at a moment, publishing, and bytes a row."""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.filler import ADS, READ_AT, fill, restate
from benchmarks.measuring import against, median, table
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.warehouse.database import Warehouse, open_memory
from meta_insights_pipeline.warehouse.publication import publish
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging
from meta_insights_pipeline.warehouse.writing import Written, write

SIZES = (1_000_000, 10_000_000, 50_000_000)
PUBLISHED = 10_000_000
DAYS = 3
REFRESHES = 5
RATIO_LIMIT = 1.3
AS_OF_LIMIT = 1.0
# The newest 80 days have been restated four times.
RESTATED_DAYS, VERSIONS = 80, 4
_BEGIN = datetime(2026, 11, 1, 9, 7, tzinfo=UTC)
_BEFORE = (_BEGIN - timedelta(days=30)).date()
_MOMENT = READ_AT + timedelta(hours=1, minutes=30)


def run() -> str:
    """Grow one warehouse through all sizes, and measure at each."""
    world = World(WorldSpec(accounts=1, campaigns=100, adsets_per_campaign=20, ads_per_adset=5, always_on=True))
    clock = SimulatedClock(_BEGIN)
    simulator = Simulator(world, clock)
    rows, notes, first = [], [], 0.0
    with (
        tempfile.TemporaryDirectory() as name,
        GraphApi(
            base_url=simulator.base_url, version="v26.0", access_token="any", adapter=SimulatorAdapter(simulator)
        ) as api,
    ):
        refresh = _Refresh(api, clock, world.accounts[0].id, Path(name))
        refresh.once()
        for size in SIZES:
            fill(refresh.warehouse, size, _BEFORE)
            seconds, changed = refresh.measured()
            first = first or seconds
            rows.append(
                (
                    f"{size:,}",
                    f"{refresh.warehouse.path.stat().st_size / 1e6:,.0f} MB",
                    f"{changed:,}",
                    f"{seconds:.2f} s",
                    f"{seconds / first:.2f} {against(seconds / first, RATIO_LIMIT)}",
                )
            )
            if size == PUBLISHED:
                notes += _at_ten_million(refresh.warehouse, Path(name) / "snapshot.duckdb")
    return table(
        f"A refresh of {DAYS} days of {ADS:,} ads, all levels, into warehouses of different sizes",
        ("ad rows", "file", "rows changed", f"refresh, median of {REFRESHES}", "ratio to the smallest"),
        rows,
        notes,
    )


class _Refresh:
    """Reads the last days of one account again and again, each time half an hour later, and merges them."""

    def __init__(self, api: GraphApi, clock: SimulatedClock, account: str, folder: Path) -> None:
        self.warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
        self._api, self._clock, self._account, self._folder = api, clock, account, folder
        self._runs = 0

    def measured(self) -> tuple[float, int]:
        """The seconds of writing, as a median, and how many rows the last one changed."""
        self.once()
        seconds, changed = [], 0
        for _ in range(REFRESHES):
            taken, written = self.once()
            seconds.append(taken)
            changed = sum(counts.written for counts in written.counts.values())
        return median(seconds), changed

    def once(self) -> tuple[float, Written]:
        """One refresh; the seconds from the locked warehouse to the checkpointed file."""
        self._clock.advance(timedelta(minutes=30))
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
        )
        return time.monotonic() - began, written

    def _staged(self, folder: Path) -> list[Staged]:
        now = self._clock.now()
        until = now.date()
        since = until - timedelta(days=DAYS - 1)
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


def _at_ten_million(warehouse: Warehouse, snapshot: Path) -> list[str]:
    """Publishing, as-of queries and bytes, as sentences."""
    (report,) = reports_of_levels([Level.AD])
    size = warehouse.path.stat().st_size
    earlier = restate(warehouse, _BEFORE - timedelta(days=RESTATED_DAYS), VERSIONS)
    grown = warehouse.path.stat().st_size
    began = time.monotonic()
    publish(warehouse.path, snapshot)
    published = time.monotonic() - began
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        question = f"SELECT count(*), sum(spend), sum(impressions) FROM {report.name}_as_of({literal(_MOMENT)})"
        times = []
        for _ in range(3):
            began = time.monotonic()
            (count, *_) = connection.execute(question).fetchone() or (0,)
            times.append(time.monotonic() - began)
    snapshot.unlink()
    as_of = median(times)
    return [
        f"Publishing {PUBLISHED:,} ad rows with as many actions ({grown / 1e6:,.0f} MB): {published:.2f} s.",
        f"Sums over all {count:,} rows of `{report.name}_as_of(ts)`, {earlier:,} earlier versions beside them: {as_of:.2f} s "
        + against(as_of, AS_OF_LIMIT),
        f"Bytes: {size / PUBLISHED:.0f} for an ad's day with one action, {(grown - size) / earlier:.0f} for an earlier version.",
    ]
