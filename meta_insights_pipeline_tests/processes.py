"""Starting the product's own commands as a user would, and ending them again."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "meta-insights")


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a user with nothing set but these variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("META_", "DAGSTER_")) and name != "PYTHONWARNINGS"
    }
    return {**kept, "META_INSIGHTS_HOME": str(home), **variables}


def run_command(
    arguments: Sequence[str], variables: Mapping[str, str], folder: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `meta-insights` to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=dict(variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def simulator_process(arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """`meta-insights simulate` on a free port, in a process of its own; gives its URL."""
    process = subprocess.Popen(
        [COMMAND, "simulate", "--port", "0", *arguments],
        env=environment(folder),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, (
            f"the simulator did not start: {line}{process.stdout.read() if process.poll() is not None else ''}"
        )
        yield found.group().rstrip(".,")
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def wait_for(condition: object, seconds: float, what: str) -> None:
    """Poll until a callable is true.

    Raises:
        AssertionError: It did not become true in time.
    """
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
