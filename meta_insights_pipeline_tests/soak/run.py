"""The course of a soak: a sync every half hour as the schedule makes it, and whatever the resume sensor asks for in between.

A simulator behind HTTP whose budgets and blocks are in force answers; time is simulated, and passes when somebody waits.
"""

import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.collect import CALLS_AT_ONCE
from meta_insights_pipeline.collector.days import DayRange, refresh_range
from meta_insights_pipeline.defs.sensors import resume_request
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.home_files import AccountBook, MissingBook
from meta_insights_pipeline.resuming import AskedBook, next_parts
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import NothingToCollectError, SyncRequest, run_sync
from meta_insights_pipeline_tests.soak.disturbances import TROUBLES, CountingPlan, Unrest, disturb
from meta_insights_pipeline_tests.soak.proof import AsCollected, assert_as_collected, assert_entities_equal_truth

TOKEN = "soak-token"
BEGIN = datetime(2026, 11, 1, 12, 7, tzinfo=UTC)
TICK = timedelta(minutes=30)
TICKS_A_DAY = 48
ENTITY_MINUTES = 55
# A call that another thread has sent when a refusal arrives cannot be called back, and on a busy machine a thread takes some
# time from the answer to the book: 0.07 s were seen. How many such calls there were, and how late the last one came, is told.
IN_FLIGHT_SECONDS = 0.25
# The latest that anything which failed is asked for again.
LONGEST_WAIT = timedelta(hours=6)
RESUMES_AT_MOST = 60


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

    def wait_until(self, at: datetime) -> None:
        """Let it pass up to a moment."""
        self.sleep((at - self.now()).total_seconds())


@dataclass
class Tally:
    """What a soak came to."""

    syncs: int = 0
    resumed: int = 0
    states: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    troubles: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    """Calls that something happened to, by trouble."""
    turns: Counter[str] = field(default_factory=Counter)
    """What became of accounts."""
    rows_read: int = 0
    rows: int = 0
    """Rows that equal the truth in the end, those of actions too."""
    entities: int = 0
    """Accounts, campaigns, ad sets, ads and creatives that equal the truth in the end."""
    as_collected: AsCollected = field(default_factory=AsCollected)
    into_blocks: int = 0
    under_way: int = 0
    """Calls that arrived within `IN_FLIGHT_SECONDS` of a refusal."""
    latest_under_way: float = 0.0
    """Seconds after the refusal."""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """For a person."""
        return "\n".join(f"{name}: {value}" for name, value in vars(self).items())

    def line(self, day: int, seconds: float) -> str:
        """How far it has come."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return (
            f"day {day}: {self.syncs} syncs ({self.resumed} resumed), {self.calls:,} calls, {self.hits.total():,} faults, "
            f"{self.rows_read:,} rows, {seconds:,.0f} s, {memory:,} MB at most, {dict(self.states)}"
        )


def soak(
    home: Path,
    *,
    accounts: int,
    days: float,
    seed: int,
    faults_a_tick: float,
    tell: Callable[[str], None] = lambda _line: None,
) -> Tally:
    """Run one, and check it.

    Args:
        home: An empty folder.
        accounts: How many small accounts.
        days: Simulated days.
        seed: Of the world and of what goes wrong.
        faults_a_tick: How many troubles begin every half hour, on average.
        tell: Gets a line after each simulated day.

    Raises:
        AssertionError: Something that was due is missing, a row is not what it was when it was collected, a table differs
            from the truth in the end, or a call was made into a block.
    """
    began = time.monotonic()
    clock = SimulatedClock(BEGIN)
    simulator = Simulator(
        World(WorldSpec(seed=seed, accounts=accounts, campaigns=2, adsets_per_campaign=1, ads_per_adset=2)),
        clock,
        access_token=TOKEN,
        budgets={"ads_insights": 600, "ads_management": 300},
        in_flight_seconds=IN_FLIGHT_SECONDS,
    )
    plan = simulator.faults = CountingPlan()
    dice = random.Random(seed)
    unrest = Unrest(simulator, dice)
    with SimulatorServer(simulator) as server:
        settings = Settings(
            _env_file=None,
            META_INSIGHTS_MODE="live",
            META_ACCESS_TOKEN=TOKEN,
            META_GRAPH_API_URL=server.url,
            META_INSIGHTS_HOME=home,
        )
        course = Course(settings, SoakClock(clock))
        tally, ticks = course.tally, round(days * TICKS_A_DAY)
        unrest.begin(ticks)
        for tick in range(ticks):
            course.clock.wait_until(BEGIN + tick * TICK)
            unrest.tick(tick)
            tally.troubles += disturb(simulator, plan, dice, faults_a_tick)
            course.refresh()
            # The sensor looks every minute; once, at any time before the next tick, shows as much.
            course.clock.wait_until(BEGIN + tick * TICK + dice.randrange(1, 30) * timedelta(minutes=1))
            course.resume()
            tally.hits = Counter(dict(sorted(plan.hits.items())))
            if (tick + 1) % TICKS_A_DAY == 0 or tick == ticks - 1:
                tell(tally.line((tick + 1) // TICKS_A_DAY, time.monotonic() - began))
        tally.turns = unrest.turns
        unrest.end()
        plan.clear()
        _assert_all_was_collected(course, simulator)
        tell(f"nothing is missing; {tally.as_collected}")
        _assert_it_is_the_truth_now(course, simulator)
        tally.into_blocks = sum(simulator.calls_while_blocked.values())
        tally.under_way, tally.latest_under_way = simulator.calls_under_way
        assert not tally.into_blocks, simulator.calls_while_blocked
        # Under way were at most all other calls that are made at once.
        blocks = sum(plan.hits[trouble.name] for trouble in TROUBLES if trouble.is_block)
        assert tally.under_way <= (CALLS_AT_ONCE - 1) * blocks
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


class Course:
    """The syncs of a soak, one after the other."""

    def __init__(self, settings: Settings, clock: SoakClock) -> None:
        self.settings = settings
        self.clock = clock
        self.tally = Tally()
        self.ended: dict[str, datetime] = {}
        """When each sync ended."""
        self.first_day: date | None = None
        self._asked = AskedBook()

    def refresh(self) -> None:
        """What the schedule does."""
        days = refresh_range(self.clock.now(), AccountBook(self.settings.home).zones())
        self.first_day = self.first_day or days.since
        every = timedelta(minutes=ENTITY_MINUTES)
        self._run(SyncRequest(f"tick-{self.tally.syncs}", days, builtin_reports(), entities_every=every))

    def resume(self) -> bool:
        """What the sensor does; whether there was anything to do."""
        book, now = MissingBook(self.settings.home), self.clock.now()
        parts = next_parts(book.due(now), self._asked, now)
        if not parts:
            return False
        self._asked = self._asked.after(parts, book.parts(), now)
        request = resume_request(parts)
        first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
        accounts = request.run_config["ops"]["insights"]["config"]["accounts"]
        days = DayRange(date.fromisoformat(first), date.fromisoformat(last))
        self.tally.resumed += 1
        name = f"resume-{self.tally.syncs}"
        self._run(SyncRequest(name, days, builtin_reports(), tuple(accounts), only_missing=True))
        return True

    def _run(self, request: SyncRequest) -> None:
        self.tally.syncs += 1
        try:
            receipt = run_sync(self.settings, request, clock=self.clock).receipt
        except (GraphApiError, NoAccountError, NothingToCollectError) as error:
            self.tally.states[type(error).__name__] += 1
            return
        finally:
            self.ended[request.run_id] = self.clock.now()
        self.tally.states[receipt.state] += 1
        self.tally.calls += receipt.calls_total
        self.tally.rows_read += receipt.rows_read


def _assert_all_was_collected(course: Course, simulator: Simulator) -> None:
    """Once nothing goes wrong any more, a usual sync and the sensor bring all that was ever missed; nothing was read wrongly.

    No sync reads the ten days again: what the tables hold of a day is what they got when it was collected.
    """
    clock, book = course.clock, MissingBook(course.settings.home)
    clock.sleep(timedelta(hours=2).total_seconds())
    course.refresh()
    last_sync = clock.now()
    for _ in range(RESUMES_AT_MOST):
        if not course.resume():
            due = [part.retry_at for part in book.parts() if part.retry_at is not None]
            if not due:
                break
            assert min(due) - clock.now() <= LONGEST_WAIT
            clock.wait_until(max(min(due), clock.now() + timedelta(minutes=1)))
    assert not book.parts(), book.parts()
    assert course.first_day is not None
    course.tally.as_collected = assert_as_collected(
        course.settings.snapshot_path, simulator.world, course.first_day, last_sync, course.ended
    )


def _assert_it_is_the_truth_now(course: Course, simulator: Simulator) -> None:
    """A sync of the whole time on another day of all accounts, so that everything is listed, too."""
    clock, settings = course.clock, course.settings
    clock.wait_until((clock.now() + timedelta(hours=26)).replace(minute=2, second=0, microsecond=0))
    assert course.first_day is not None
    last = refresh_range(clock.now(), AccountBook(settings.home).zones())
    whole = DayRange(course.first_day, last.until)
    request = SyncRequest("last", whole, builtin_reports(), entities_every=timedelta())
    outcome = run_sync(settings, request, clock=clock)
    assert outcome.complete, outcome.receipt.missing_text()
    assert not outcome.receipt.warnings, outcome.receipt.warnings
    now = clock.now()
    # All of it was collected by this sync: no other one is known here.
    proven = assert_as_collected(settings.snapshot_path, simulator.world, whole.since, now, {request.run_id: now})
    assert not proven.later, "no answer was late"
    course.tally.rows = proven.rows
    course.tally.entities = assert_entities_equal_truth(settings.snapshot_path, simulator, now)
