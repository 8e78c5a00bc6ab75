"""A soak: many small accounts, many syncs, faults at random, all in simulated time.

    python -m meta_insights_pipeline_tests.soak --accounts 200 --days 10

Syncs every half hour as the schedule would, and whenever the resume sensor would, against a simulator behind HTTP whose
budgets and blocks are in force. At the end every table must equal the truth, and no call may have been made into an account
that had already refused one.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange, refresh_range
from meta_insights_pipeline.defs.sensors import resume_request
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.home_files import AccountBook, MissingBook
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import NothingToCollectError, SyncRequest, run_sync
from meta_insights_pipeline_tests.comparison import assert_equals_truth

TOKEN = "soak-token"
TICK = timedelta(minutes=30)
ENTITY_MINUTES = 55
# A call that another thread has sent when a refusal arrives cannot be called back. On a busy machine it may take so long.
IN_FLIGHT_SECONDS = 0.25
# The sensor looks every minute; so often is enough to be between the ticks.
SENSOR_MINUTES = (10, 20)
# Real time stands still for the pipeline; what it waits passes for the simulator, too.
_FAULTS = (
    {"action": "block", "code": 80000, "subcode": 2446079, "kind": "insights", "seconds": 2400.0},
    {"action": "block", "code": 17, "subcode": 2446079, "kind": "insights", "seconds": 300.0},
    {"action": "block", "code": 80004, "kind": "structure", "seconds": 1200.0},
    {"action": "graph_error", "code": 2, "status": 500, "times": 7},
    {"action": "graph_error", "code": 1, "status": 500, "times": 2},
    {"action": "graph_error", "code": 100, "subcode": 1487534, "kind": "insights", "times": 1},
    {"action": "html", "status": 503, "times": 6},
    {"action": "text", "status": 200, "body": "Service Unavailable", "times": 3},
    {"action": "truncate", "times": 3},
    {"action": "cut", "times": 2},
    {"action": "reset", "times": 6},
    {"action": "short_page", "times": 3},
    {"action": "empty_page", "times": 3},
    {"action": "duplicate_row", "times": 3},
    {"action": "job_failed", "code": -2, "subcode": 2490547},
    {"action": "job_skipped"},
    {"action": "completed_below_100"},
    {"action": "fresh_run_not_found", "seconds": 0.01},
)


class SoakClock:
    """The simulator's clock for the pipeline: waiting moves it."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        """The simulated present."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        if seconds > 0:
            self._clock.advance(timedelta(seconds=seconds))


@dataclass
class Tally:
    """What a soak came to."""

    syncs: int = 0
    resumed: int = 0
    states: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    faults: int = 0
    rows: int = 0
    into_blocks: int = 0
    seconds: float = 0.0


def soak(home: Path, *, accounts: int, days: int, seed: int, faults_a_tick: float) -> Tally:
    """Run one, and check it.

    Args:
        home: An empty folder.
        accounts: How many small accounts.
        days: Simulated days.
        seed: Of the world and of the faults.
        faults_a_tick: How many faults begin every half hour, on average.

    Raises:
        AssertionError: A table differs from the truth, or a call was made into a block.
    """
    begin = datetime(2026, 11, 1, 12, 7, tzinfo=UTC)
    spec = WorldSpec(seed=seed, accounts=accounts, campaigns=2, adsets_per_campaign=1, ads_per_adset=2)
    clock = SimulatedClock(begin)
    simulator = Simulator(
        World(spec),
        clock,
        access_token=TOKEN,
        budgets={"ads_insights": 600, "ads_management": 300},
        in_flight_seconds=IN_FLIGHT_SECONDS,
    )
    dice, tally, began = random.Random(seed), Tally(), time.monotonic()
    with SimulatorServer(simulator) as server:
        settings = Settings(
            _env_file=None,
            META_INSIGHTS_MODE="live",
            META_ACCESS_TOKEN=TOKEN,
            META_GRAPH_API_URL=server.url,
            META_INSIGHTS_HOME=home,
        )
        for tick in range(int(timedelta(days=days) / TICK)):
            due = begin + tick * TICK
            if clock.now() < due:
                clock.advance(due - clock.now())
            tally.faults += _disturb(simulator, dice, faults_a_tick)
            _refresh(settings, SoakClock(clock), tally)
            for minutes in SENSOR_MINUTES:
                at = due + timedelta(minutes=minutes)
                if clock.now() < at:
                    clock.advance(at - clock.now())
                _resume(settings, SoakClock(clock), tally)
        simulator.faults.clear()
        clock.advance(timedelta(hours=2))
        last = refresh_range(clock.now(), AccountBook(home).zones())
        whole = DayRange(begin.date() - timedelta(days=1), last.until)
        outcome = run_sync(
            settings,
            SyncRequest("last", whole, builtin_reports(), entities_every=timedelta()),
            clock=SoakClock(clock),
        )
        assert outcome.complete, outcome.receipt.missing_text()
        tally.rows = assert_equals_truth(
            settings.snapshot_path, simulator.world, whole.since, whole.until, clock.now(), tuple(Level)
        )
        tally.into_blocks = sum(simulator.calls_while_blocked.values())
        assert not tally.into_blocks, simulator.calls_while_blocked
    tally.seconds = time.monotonic() - began
    return tally


def _disturb(simulator: Simulator, dice: random.Random, faults_a_tick: float) -> int:
    """Let some things go wrong from now on; what has not hit anything by the next time is forgotten."""
    simulator.faults.clear()
    count = int(faults_a_tick) + (dice.random() < faults_a_tick % 1)
    for _ in range(count):
        rule = dict(dice.choice(_FAULTS))
        account = dice.choice(simulator.world.accounts)
        simulator.faults.add(str(rule.pop("action")), account=account.id, skip=dice.randrange(3), **rule)
    return count


def _refresh(settings: Settings, clock: SoakClock, tally: Tally) -> None:
    """What the schedule does."""
    days = refresh_range(clock.now(), AccountBook(settings.home).zones())
    request = SyncRequest(
        f"tick-{tally.syncs}", days, builtin_reports(), entities_every=timedelta(minutes=ENTITY_MINUTES)
    )
    _run(settings, request, clock, tally)


def _resume(settings: Settings, clock: SoakClock, tally: Tally) -> None:
    """What the sensor does."""
    due = MissingBook(settings.home).due(clock.now())
    if not due:
        return
    request = resume_request(due)
    first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    accounts = request.run_config["ops"]["insights"]["config"]["accounts"]
    days = DayRange(date.fromisoformat(first), date.fromisoformat(last))
    tally.resumed += 1
    again = SyncRequest(f"resume-{tally.syncs}", days, builtin_reports(), tuple(accounts), only_missing=True)
    _run(settings, again, clock, tally)


def _run(settings: Settings, request: SyncRequest, clock: SoakClock, tally: Tally) -> None:
    tally.syncs += 1
    try:
        receipt = run_sync(settings, request, clock=clock).receipt
    except (GraphApiError, NothingToCollectError) as error:
        tally.states[type(error).__name__] += 1
        return
    tally.states[receipt.state] += 1
    tally.calls += receipt.calls_total


def main() -> None:
    """Run one with the sizes of the command line and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults-a-tick", type=float, default=6.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = soak(
            Path(folder) / "home",
            accounts=options.accounts,
            days=options.days,
            seed=options.seed,
            faults_a_tick=options.faults_a_tick,
        )
    sys.stdout.write(f"{tally}\n")


if __name__ == "__main__":
    main()
