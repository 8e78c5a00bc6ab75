"""Memory of a backfill: the longest that Meta gives, beside a year."""

import json
import tempfile
from pathlib import Path

from benchmarks.measuring import against, simulator, table
from benchmarks.throughput import sync

# Both are past the point at which DuckDB's share of the memory is full; whatever is more would grow with the days.
LIMIT = 1.15
LEVELS = ("campaign", "adset", "ad")
DAYS = (366, 1100)


def run() -> str:
    """Measure both."""
    rows = []
    peaks = []
    world = (
        "--accounts",
        "2",
        "--campaigns",
        "10",
        "--adsets-per-campaign",
        "5",
        "--ads-per-adset",
        "3",
        "--always-on",
    )
    with simulator(*world, "--cache-mb", "4000") as url, tempfile.TemporaryDirectory() as folder:
        for days in DAYS:
            done = sync(url, days, Path(folder), LEVELS)
            receipt = json.loads(done.output)
            peaks.append(done.peak_mb)
            count = sum(table_["read"] for table_ in receipt["tables"].values())
            rows.append(
                (
                    f"{days} days",
                    f"{count:,}",
                    str(receipt["calls_total"]),
                    f"{done.seconds:.1f} s",
                    f"{done.peak_mb:.0f} MB",
                    against(done.peak_mb / peaks[0], LIMIT) if len(peaks) > 1 else "",
                )
            )
    return table(
        "A backfill of 37 months, 2 accounts of 150 ads, 3 levels",
        ("range", "rows, actions included", "calls", "whole command", "peak memory", "limit (times)"),
        rows,
    )
