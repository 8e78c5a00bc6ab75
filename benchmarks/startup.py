"""From `meta-insights up`, already installed, to the first page of the UI with data."""

import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import COMMAND, against, environment, median, table

LIMIT = 15.0
PORT = 39401


def run() -> str:
    """Measure on an empty home and on one that has been used."""
    fresh, used = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            fresh.append(_seconds(Path(folder)))
            used.append(_seconds(Path(folder)))
    rows = [
        ("empty home", f"{median(fresh):.1f} s", against(median(fresh), LIMIT)),
        ("used home", f"{median(used):.1f} s", against(median(used), LIMIT)),
    ]
    return table(
        "From `up` to the UI with 30 days of data (stub mode)",
        ("home", "median of 3", "limit (s)"),
        rows,
        ("Until the webserver answers with the code location loaded and the load is published.",),
    )


def _seconds(home: Path) -> float:
    began = time.monotonic()
    process = subprocess.Popen(
        [COMMAND, "up", "--dagster-port", str(PORT)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    seconds = time.monotonic() - began
    ready = process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()
    if not ready:
        raise RuntimeError("".join(said))
    return seconds
