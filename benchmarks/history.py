"""How a warehouse grows in a year of half-hourly syncs: rows, earlier versions, bytes.

Of days that are thinned only what their ends show is kept, so one refresh late on such a day leaves what 48 would. The last
days, of which every version is kept, are refreshed every half hour.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from benchmarks.measuring import table
from benchmarks.refreshing import Refresh, refreshing
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS

ADS = 200
DAYS = (30, 90, 365)
_BEGIN = datetime(2025, 11, 1, 23, 30, tzinfo=UTC)
_EVERY = timedelta(minutes=30)
_ONE_DAY = timedelta(days=1)


def run() -> str:
    """Follow one account for a year, and look at it on the way."""
    spec = WorldSpec(accounts=1, campaigns=4, adsets_per_campaign=5, ads_per_adset=ADS // 20, always_on=True)
    rows = []
    with tempfile.TemporaryDirectory() as name, refreshing(spec, _BEGIN, Path(name), days=2) as refresh:
        refresh.once(_BEGIN)
        empty = _bytes(refresh)
        for since, until in pairwise((0, *DAYS)):
            for day in range(since + 1, until + 1):
                end = _BEGIN + day * _ONE_DAY
                is_kept_whole = day >= until - KEEP_ALL_DAYS
                for number in range(1, 49) if is_kept_whole else (48,):
                    refresh.once(end - _ONE_DAY + number * _EVERY)
            rows.append(_row(refresh, until, empty))
    return table(
        f"History of {ADS} ads that all deliver, today and yesterday refreshed 48 times a day, all levels",
        ("days", "ad rows", "earlier versions", "action rows", "earlier versions", "in use", "an ad's day"),
        rows,
        [
            (
                "*In use*: bytes of the warehouse's blocks that hold something, all levels and actions. The last "
                f"{KEEP_ALL_DAYS} days keep every version; *an ad's day* is all of it divided by the ad rows."
            )
        ],
    )


def _row(refresh: Refresh, days: int, empty: int) -> tuple[str, ...]:
    counts = []
    with refresh.warehouse.connect() as connection:
        for name in ("ad_insights", "ad_insights_history", "insight_actions", "insight_actions_history"):
            (count,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
            counts.append(int(count))
    used = _bytes(refresh) - empty
    return (str(days), *(f"{count:,}" for count in counts), f"{used / 1e6:.1f} MB", f"{used / counts[0]:,.0f} bytes")


def _bytes(refresh: Refresh) -> int:
    with refresh.warehouse.connect() as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute(
            "SELECT block_size * used_blocks FROM pragma_database_size() WHERE database_name = 'warehouse'"
        ).fetchone()
    assert row is not None
    return int(row[0])
