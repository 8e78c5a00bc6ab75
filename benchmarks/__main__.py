"""Run the benchmarks named on the command line, or all of them, and print their tables."""

import os
import platform
import sys
from importlib import import_module

NAMES = ("throughput", "latency", "backfill", "startup", "staging", "warehouse", "history", "read_api")


def main(names: list[str]) -> int:
    """Run and print; 2 for a name that is no benchmark."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n", flush=True)
    for name in names or NAMES:
        print(import_module(f"benchmarks.{name}").run(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
