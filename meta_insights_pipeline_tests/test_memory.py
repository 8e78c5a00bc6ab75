"""A backfill takes no more memory for four times as many days; `make bench` measures the whole 37 months."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline_tests.live import yesterday_noon
from meta_insights_pipeline_tests.processes import COMMAND, environment, simulator_process

LEVELS = ("campaign", "adset", "ad")
WORLD = ("--accounts", "1", "--campaigns", "5", "--adsets-per-campaign", "4", "--ads-per-adset", "3", "--always-on")
# Rows of 180 days that stayed in memory would be more.
MOST_TIMES = 1.2


def peak_of_a_backfill(url: str, days: int, home: Path) -> int:
    """What the operating system says that a sync of so many days took at most, in KiB; it runs in a process of its own."""
    home.mkdir()
    end = yesterday_noon().date()
    levels = [word for level in LEVELS for word in ("--level", level)]
    arguments = [COMMAND, "sync", "--json", "--start", str(end - timedelta(days=days - 1)), "--end", str(end), *levels]
    variables = environment(
        home, META_INSIGHTS_MODE="live", META_ACCESS_TOKEN="token-of-a-backfill", META_GRAPH_API_URL=url
    )
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(arguments, env=variables, cwd=home, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (home / "output.txt").read_text("utf-8")[-2000:]
    return usage.ru_maxrss


@pytest.mark.slow
def test_four_times_as_many_days_take_no_more_memory(tmp_path: Path) -> None:
    with simulator_process(["--now", yesterday_noon().isoformat(), *WORLD], tmp_path) as url:
        short, long = (peak_of_a_backfill(url, days, tmp_path / f"{days}") for days in (45, 180))
    assert long <= MOST_TIMES * short, f"{long // 1024} MB for 180 days, {short // 1024} MB for 45"
