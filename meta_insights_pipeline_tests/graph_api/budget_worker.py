"""A process of its own that calls as fast as it may: `python -m ... URL STATE ACCOUNT THREADS CALLS`.

For each line on stdin it makes up to CALLS calls and prints how many were made and how many were blocked.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import requests

from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import BlockedError
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.graph_api.support import TOKEN, VERSION, daily


class DoorClock:
    """The simulator's time, asked over its control door; the simulator's clock runs by itself."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/_simulator/clock"

    def now(self) -> datetime:
        return datetime.fromisoformat(requests.get(self._url, timeout=30).json()["now"])

    def sleep(self, seconds: float) -> None:
        end = self.now().timestamp() + seconds
        while self.now().timestamp() < end:
            time.sleep(0.005)


def main(url: str, file: Path, account: str, threads: int, calls: int) -> None:
    clock = DoorClock(url)
    with State(file) as state, ThreadPoolExecutor(threads) as pool:
        budget = Budget(state, clock, namespace=url)
        with GraphApi(base_url=url, version=VERSION, access_token=TOKEN, budget=budget, clock=clock) as api:

            def ask(_: int) -> bool:
                try:
                    path = f"act_{account}/insights"
                    api.get(path, daily(limit="100"), kind="insights_page", account=account, read=read_object)
                except BlockedError:
                    return False
                return True

            for _ in sys.stdin:
                made = list(pool.map(ask, range(calls)))
                sys.stdout.write(json.dumps({"made": made.count(True), "blocked": made.count(False)}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
