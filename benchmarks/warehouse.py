"""What a large warehouse costs: refreshing three days of it, asking what was known at a moment, publishing, and bytes a row."""

import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.filler import ADS, READ_AT, fill, restate
from benchmarks.measuring import against, median, table
from benchmarks.refreshing import Refresh, Refreshed, refreshing
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
REFRESHES = 9
RATIO_LIMIT = 1.3
AS_OF_LIMIT = 1.0
# The newest 80 days have been restated four times.
RESTATED_DAYS, VERSIONS = 80, 4
_BEGIN = datetime(2026, 11, 1, 9, 7, tzinfo=UTC)
_BEFORE = (_BEGIN - timedelta(days=30)).date()
_MOMENT = READ_AT + timedelta(hours=1, minutes=30)


def run() -> str:
    """Fill one warehouse for each size, and refresh all of them at the same moments."""
    spec = WorldSpec(accounts=1, campaigns=100, adsets_per_campaign=20, ads_per_adset=5, always_on=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        snapshot = Path(name) / "snapshot.duckdb"
        refreshes = {
            size: stack.enter_context(refreshing(spec, _BEGIN, _new_folder(Path(name), size), days=DAYS))
            for size in SIZES
        }
        for size, refresh in refreshes.items():
            refresh.once(_BEGIN)
            fill(refresh.warehouse, size, _BEFORE)
        done: dict[int, list[Refreshed]] = {size: [] for size in SIZES}
        # Each moment has as many changes as Meta's numbers move until then, so all warehouses are refreshed at the same ones,
        # and in turn, so that whatever else goes on falls on all of them. The first moment is not counted.
        for number in range(1, REFRESHES + 2):
            for size, refresh in refreshes.items():
                done[size].append(refresh.once(_BEGIN + number * timedelta(minutes=30)))
        seconds = {size: median([each.seconds for each in done[size][1:]]) for size in SIZES}
        rows = [
            (
                f"{size:,}",
                f"{refresh.warehouse.path.stat().st_size / 1e6:,.0f} MB",
                f"{median([each.changed for each in done[size][1:]]):,.0f}",
                f"{seconds[size]:.2f} s",
                f"{seconds[size] / seconds[SIZES[0]]:.2f} {against(seconds[size] / seconds[SIZES[0]], RATIO_LIMIT)}",
                f"{_published(refresh, snapshot):.2f} s",
            )
            for size, refresh in refreshes.items()
        ]
        notes = _as_of_and_bytes(refreshes[PUBLISHED].warehouse, snapshot)
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


def _new_folder(home: Path, size: int) -> Path:
    folder = home / str(size)
    folder.mkdir()
    return folder


def _published(refresh: Refresh, snapshot: Path) -> float:
    """Seconds; the copy is removed again."""
    began = time.monotonic()
    publish(refresh.warehouse.path, snapshot)
    seconds = time.monotonic() - began
    snapshot.unlink()
    return seconds


def _as_of_and_bytes(warehouse: Warehouse, snapshot: Path) -> list[str]:
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
