"""The same work when every call takes 150 ms and every report 5 s."""

import json
import tempfile
from pathlib import Path

from benchmarks.measuring import against, median, simulator, table
from benchmarks.throughput import bare_loop, sync

LIMIT = 15.0
LEVELS = ("campaign", "adset", "ad")


def run() -> str:
    """Measure the bare loop and the whole command."""
    world = (
        "--accounts",
        "1",
        "--campaigns",
        "40",
        "--adsets-per-campaign",
        "10",
        "--ads-per-adset",
        "5",
        "--always-on",
    )
    with (
        simulator(*world, "--latency", "0.15", "--report-seconds", "5") as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        bare, command, calls = [], [], []
        for number in range(3):
            loop = bare_loop(url, 28, Path(folder), LEVELS)
            done = sync(url, 28, Path(folder), LEVELS)
            if number:
                bare.append(json.loads(loop.output)["seconds"])
                command.append(done.seconds)
                calls.append(json.loads(done.output)["calls_total"])
    row = (
        f"{median(bare):.1f} s",
        f"{median(command):.1f} s",
        against(median(command), LIMIT),
        str(max(calls)),
    )
    return table(
        "28 days, 3 levels, 2,000 ads; 150 ms a call, 5 s a report",
        ("bare loop", "whole command", "limit (s)", "calls"),
        [row],
        ("The bare loop asks for one report a level and reads the three side by side, each page after the other.",),
    )
