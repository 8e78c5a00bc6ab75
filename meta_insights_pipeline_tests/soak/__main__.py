"""Run a soak with the sizes of the command line, tell of each simulated day, and print what it came to."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from meta_insights_pipeline_tests.soak import __doc__ as description
from meta_insights_pipeline_tests.soak.run import soak


def main() -> None:
    """Run one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--days", type=float, default=10.0, help="simulated days; a fraction is as good")
    parser.add_argument("--seed", type=int, default=1, help="of the world and of what goes wrong")
    parser.add_argument("--faults-a-tick", type=float, default=6.0, help="how many begin in half an hour, on average")
    options = parser.parse_args()
    # Thousands of warnings are what a soak is for; what it came to is told at the end.
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        tally = soak(
            Path(folder) / "home",
            accounts=options.accounts,
            days=options.days,
            seed=options.seed,
            faults_a_tick=options.faults_a_tick,
            tell=_print,
        )
    _print(tally.text)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
