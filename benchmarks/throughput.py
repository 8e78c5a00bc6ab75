"""Rows a second from HTTP page to published table, beside the bare loop, at three sizes; and memory."""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import COMMAND, Measured, against, environment, measure, median, simulator, table


@dataclass(frozen=True)
class Size:
    """A world of one account in which every ad delivers every day."""

    name: str
    campaigns: int
    adsets: int
    ads: int
    days: int
    levels: tuple[str, ...]
    runs: int


SIZES = (
    Size("500 ads, 28 days, ad level", 10, 10, 5, 28, ("ad",), 5),
    Size("2,000 ads, 28 days, 3 levels", 40, 10, 5, 28, ("campaign", "adset", "ad"), 5),
    Size("1,250 ads, 366 days, 3 levels", 25, 10, 5, 366, ("campaign", "adset", "ad"), 2),
)
COMMAND_LIMIT = 6.0
RATIO_LIMIT = 0.7
MEMORY_LIMIT = 400.0
# Stages between the first page asked for and the published file.
STAGES = ("plan", "collect_and_stage", "merge", "publish")

_NOTE = (
    "Medians. *Bare loop*: first report asked for to closed file. *Sync between*: first report asked for to published "
    "file, inside `meta-insights sync`. *Whole command*: with Python's and Dagster's start and the record of the run. "
    f"Limits: ratio {RATIO_LIMIT}, command {COMMAND_LIMIT:g} s (2,000 ads), memory {MEMORY_LIMIT:g} MB."
)


def run() -> str:
    """Measure every size."""
    rows = [_measure(size) for size in SIZES]
    return table(
        "From HTTP page to published table, no latency",
        (
            "workload",
            "rows",
            "action rows",
            "bare loop",
            "sync between",
            "rows/s bare",
            "rows/s sync",
            "ratio",
            "whole command",
            "peak memory",
        ),
        rows,
        (_NOTE,),
    )


def _measure(size: Size) -> tuple[str, ...]:
    world = (
        *("--accounts", "1", "--campaigns", str(size.campaigns), "--adsets-per-campaign", str(size.adsets)),
        *("--ads-per-adset", str(size.ads), "--always-on", "--cache-mb", "6000"),
    )
    with simulator(*world) as url, tempfile.TemporaryDirectory() as folder:
        bare: list[float] = []
        syncs: list[Measured] = []
        # The first run of each fills the simulator's cache and is not counted; then in turn, so that both meet the same machine.
        for number in range(size.runs + 1):
            loop = json.loads(bare_loop(url, size.days, Path(folder), size.levels).output)
            done = sync(url, size.days, Path(folder), size.levels)
            if number:
                bare.append(loop["seconds"])
                syncs.append(done)
    receipts = [json.loads(done.output) for done in syncs]
    between = median([sum(receipt["seconds"][stage] for stage in STAGES) for receipt in receipts])
    rows = sum(table["read"] for name, table in receipts[0]["tables"].items() if name != "insight_actions")
    ratio = (rows / between) / (loop["rows"] / median(bare))
    command, memory = median([done.seconds for done in syncs]), max(done.peak_mb for done in syncs)
    verdict = f" {against(command, COMMAND_LIMIT)}" if size.ads * size.adsets * size.campaigns == 2000 else ""
    return (
        size.name,
        f"{rows:,}",
        f"{receipts[0]['tables']['insight_actions']['read']:,}",
        f"{median(bare):.2f} s",
        f"{between:.2f} s",
        f"{loop['rows'] / median(bare):,.0f}",
        f"{rows / between:,.0f}",
        f"{ratio:.2f} {against(ratio, RATIO_LIMIT, at_most=False)}",
        f"{command:.1f} s{verdict}",
        f"{memory:.0f} MB {against(memory, MEMORY_LIMIT)}",
    )


def bare_loop(url: str, days: int, folder: Path, levels: tuple[str, ...]) -> Measured:
    """The bare loop into a new file."""
    file = folder / "bare.duckdb"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.bare_loop", url, str(days), str(file), *levels]
    return measure(command, environment(folder))


def sync(url: str, days: int, folder: Path, levels: tuple[str, ...]) -> Measured:
    """`meta-insights sync` into an empty warehouse, in a home whose Dagster databases exist already."""
    home = folder / "home"
    for left in ("warehouse.duckdb", "meta_insights.duckdb"):
        (home / left).unlink(missing_ok=True)
    shutil.rmtree(home / "receipts", ignore_errors=True)
    variables = environment(home, META_INSIGHTS_MODE="live", META_ACCESS_TOKEN="any", META_GRAPH_API_URL=url)
    # The simulated clock stands at yesterday: today's partition is asked for too, and empty.
    options = [option for level in levels for option in ("--level", level)]
    return measure([COMMAND, "sync", "--days-back", str(days), *options, "--json"], variables)
