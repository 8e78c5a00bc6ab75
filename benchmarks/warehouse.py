"""What a large warehouse costs: refreshing three days of it, asking what was known at a moment, publishing, and bytes a row."""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.filler import ADS, READ_AT, fill, restate
from benchmarks.measuring import against, median, table
from benchmarks.refreshing import Refresh, refreshing
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.publication import publish
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE
from meta_insights_pipeline.warehouse.sql import literal

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
    spec = WorldSpec(accounts=1, campaigns=100, adsets_per_campaign=20, ads_per_adset=5, always_on=True)
    rows, notes, first = [], [], 0.0
    with tempfile.TemporaryDirectory() as name, refreshing(spec, _BEGIN, Path(name), days=DAYS) as refresh:
        moment = _BEGIN
        for size in (0, *SIZES):
            fill(refresh.warehouse, size, _BEFORE)
            # The first one at a size is not counted.
            done = [refresh.once(moment := moment + timedelta(minutes=30)) for _ in range(REFRESHES + 1 if size else 1)]
            if not size:
                continue
            seconds = median([each.seconds for each in done[1:]])
            first = first or seconds
            rows.append(
                (
                    f"{size:,}",
                    f"{refresh.warehouse.path.stat().st_size / 1e6:,.0f} MB",
                    f"{done[-1].changed:,}",
                    f"{seconds:.2f} s",
                    f"{seconds / first:.2f} {against(seconds / first, RATIO_LIMIT)}",
                    f"{_published(refresh, Path(name) / 'snapshot.duckdb'):.2f} s",
                )
            )
            if size == PUBLISHED:
                notes += _at_ten_million(refresh.warehouse, Path(name) / "snapshot.duckdb")
    return table(
        f"A refresh of {DAYS} days of {ADS:,} ads, all levels, into warehouses of different sizes",
        ("ad rows", "file", "rows changed", f"refresh, median of {REFRESHES}", "ratio to the smallest", "publishing"),
        rows,
        [
            (
                "*Refresh*: merging, the ledger and the checks, from the locked warehouse to the checkpointed file. "
                "*Publishing*: the whole file copied and written through to disk, which a sync does once at its end."
            ),
            *notes,
        ],
    )


def _published(refresh: Refresh, snapshot: Path) -> float:
    """Seconds; the copy is removed again."""
    began = time.monotonic()
    publish(refresh.warehouse.path, snapshot)
    seconds = time.monotonic() - began
    snapshot.unlink()
    return seconds


def _at_ten_million(warehouse: Warehouse, snapshot: Path) -> list[str]:
    """As-of queries and bytes, as sentences."""
    (report,) = reports_of_levels([Level.AD])
    size = warehouse.path.stat().st_size
    since = _BEFORE - timedelta(days=RESTATED_DAYS)
    earlier = restate(warehouse, since, VERSIONS)
    grown = warehouse.path.stat().st_size
    publish(warehouse.path, snapshot)
    notes = []
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        for name, sums in (
            (report.name, "sum(spend), sum(impressions)"),
            (ACTIONS_TABLE, "sum(value), sum(value_7d_click)"),
        ):
            question = f"SELECT count(*), {sums} FROM {name}_as_of({literal(_MOMENT)})"
            times = []
            for _ in range(3):
                began = time.monotonic()
                (count, *_) = connection.execute(question).fetchone() or (0,)
                times.append(time.monotonic() - began)
            (versions,) = connection.execute(f"SELECT count(*) FROM {name}_history").fetchone() or (0,)
            as_of = median(times)
            notes.append(
                f"Sums over all {count:,} rows of `{name}_as_of(ts)`, {versions:,} earlier versions beside them: {as_of:.2f} s "
                + against(as_of, AS_OF_LIMIT)
            )
    snapshot.unlink()
    return [
        *notes,
        (
            f"Bytes: {size / PUBLISHED:.0f} for an ad's day with one action, {(grown - size) / earlier:.0f} for an earlier "
            "version of both."
        ),
    ]
