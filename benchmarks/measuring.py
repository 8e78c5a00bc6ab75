"""Running a command once and taking its time and its memory."""

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

BINARIES = Path(sys.executable).parent
COMMAND = str(BINARIES / "meta-insights")


@dataclass(frozen=True)
class Measured:
    """A command that has ended."""

    seconds: float
    peak_mb: float
    output: str


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end; its peak memory is what the operating system accounts for it."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    texts: dict[str, str] = {}
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=lambda name=name, pipe=pipe: texts.update({name: pipe.read()}))
        for name, pipe in (("out", process.stdout), ("err", process.stderr))
    ]
    for reader in readers:
        reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    for reader in readers:
        reader.join()
    process.stdout.close()
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {texts['err'][-2000:]}")
    return Measured(seconds, _megabytes(usage), texts["out"])


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a user with nothing set but these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("META_", "DAGSTER_"))}
    return {**kept, "META_INSIGHTS_HOME": str(home), **variables}


@contextmanager
def simulator(*arguments: str) -> Iterator[str]:
    """`meta-insights simulate` in a process of its own, its clock frozen at yesterday's noon; gives its URL."""
    noon = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=7, second=0, microsecond=0)
    process = subprocess.Popen(
        [COMMAND, "simulate", "--port", "0", "--now", noon.isoformat(), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http"))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A Markdown table under a title."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [f"### {title}", ""]
    lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)) + " |")
    lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([*lines, "", *notes, ""])


def against(value: float, limit: float, *, at_most: bool = True) -> str:
    """A limit and whether the value keeps it."""
    kept = value <= limit if at_most else value >= limit
    return f"{'≤' if at_most else '≥'} {limit:g} {'kept' if kept else 'MISSED'}"
