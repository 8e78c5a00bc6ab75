"""Any sequence of syncs: restated days, deleted ads, repeats, overlaps, stale answers, trouble, kills, replays.

At the end every table is the simulator's truth. Of each moment at which a sync ended, the as-of macros show what Meta said of
each account day when it was last asked before that moment.

META_INSIGHTS_PROOF=long searches for as long as META_INSIGHTS_PROOF_EXAMPLES (1,000) examples take, at random.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.report_book import FRESH_ANSWER
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.replay import run_replay
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.sync import NothingToCollectError
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS
from meta_insights_pipeline_tests.comparison import assert_equals_truth
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN
from meta_insights_pipeline_tests.proofs.children import Child, Job
from meta_insights_pipeline_tests.proofs.fault_points import Death
from meta_insights_pipeline_tests.proofs.known import Known, read_as_of, read_warehouse
from meta_insights_pipeline_tests.reconciling import NOW, Bench, bench

LONG = os.environ.get("META_INSIGHTS_PROOF") == "long"
EXAMPLES = int(os.environ.get("META_INSIGHTS_PROOF_EXAMPLES", "1000")) if LONG else 1
SPEC = WorldSpec(seed=3, accounts=2, campaigns=1, adsets_per_campaign=2, ads_per_adset=1, always_on=True)
# Somewhere among these is every step of a sync of this world.
MOST_POINTS = 900
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TICK, AFTERWARDS = timedelta(milliseconds=1), timedelta(seconds=5)
# The archive keeps all answers for a day longer than the tables keep all versions, so this holds for both.
ALL_KEPT = timedelta(days=KEEP_ALL_DAYS)


# ---- what may happen ----


@dataclass(frozen=True)
class Sync:
    """Some days of all levels or of some."""

    ago: int
    count: int
    levels: tuple[Level, ...] = tuple(Level)
    entities: bool = False


@dataclass(frozen=True)
class Killed:
    """A sync that is killed at one of its fault points, if it comes so far."""

    sync: Sync
    point: int


@dataclass(frozen=True)
class Together:
    """Two syncs at once, in processes of their own."""

    first: Sync
    second: Sync


@dataclass(frozen=True)
class Pass:
    """Time goes by."""

    step: timedelta


@dataclass(frozen=True)
class Stale:
    """The next reports of a level hold numbers of some time ago."""

    level: Level
    hours: int
    times: int


@dataclass(frozen=True)
class Trouble:
    """Meta fails some calls for insights."""

    code: int
    times: int


@dataclass(frozen=True)
class Hidden:
    """An account is no longer there, or is again."""

    place: int
    hidden: bool


@dataclass(frozen=True)
class DeletedRows:
    """Where the rows of deleted ads are."""

    where: str


@dataclass(frozen=True)
class Replay:
    """The warehouse is made anew from the archive."""


@dataclass(frozen=True)
class Deletion:
    """An ad, an ad set or a campaign is deleted at a moment."""

    account: int
    level: str
    place: int
    after: timedelta


Event = Sync | Killed | Together | Pass | Stale | Trouble | Hidden | DeletedRows | Replay
SYNCS = st.builds(
    Sync,
    ago=st.integers(0, 2),
    count=st.integers(1, 3),
    levels=st.sampled_from([tuple(Level)] * 3 + [(Level.AD,), (Level.ACCOUNT, Level.CAMPAIGN)]),
    entities=st.booleans(),
)
EVENTS = st.one_of(
    SYNCS,
    SYNCS,
    st.builds(Pass, st.sampled_from([10, 45, 300, 1500, 13000]).map(lambda minutes: minutes * MINUTE)),
    st.builds(Killed, SYNCS, st.integers(1, MOST_POINTS)),
    st.builds(Together, SYNCS, SYNCS),
    st.builds(Stale, st.sampled_from(Level), st.integers(1, 40), st.integers(1, 3)),
    st.builds(Trouble, st.sampled_from([1, 2]), st.integers(1, 12)),
    st.builds(Hidden, st.integers(0, 1), st.booleans()),
    st.builds(DeletedRows, st.sampled_from(["filtered", "by_parent", "by_id"])),
    st.builds(Replay),
)
DELETIONS = st.lists(
    st.builds(
        Deletion,
        account=st.integers(0, 1),
        level=st.sampled_from(["ad", "adset", "campaign"]),
        place=st.just(0),
        after=st.integers(60, 3000).map(lambda minutes: minutes * MINUTE),
    ),
    max_size=2,
)


# Everything once, so that even a short search has it all: rows that go and come back, two kills, a history that is thinned.
LIFE: list[Event] = [
    Pass(300 * MINUTE),
    DeletedRows("by_id"),
    Sync(0, 3),
    Stale(Level.CAMPAIGN, 30, 4),
    Sync(0, 3),
    DeletedRows("filtered"),
    Killed(Sync(0, 2, entities=True), 150),
    Together(Sync(0, 2), Sync(1, 2)),
    Hidden(1, hidden=True),
    Pass(1500 * MINUTE),
    Killed(Sync(0, 3), 330),
    Hidden(1, hidden=False),
    Replay(),
    Pass(13000 * MINUTE),
    Sync(0, 2, entities=True),
]
LOSSES = [Deletion(0, "ad", 0, 60 * MINUTE), Deletion(1, "adset", 0, 90 * MINUTE)]


# ---- and what becomes of it ----


class TickingClock(SharedClock):
    """The simulator's time; no two looks at it see the same, as in real life."""

    def __init__(self, simulated: SimulatedClock) -> None:
        super().__init__(simulated)
        self._ticking = simulated

    def now(self) -> datetime:
        """The present."""
        self._ticking.advance(TICK)
        return super().now()


@dataclass
class Story:
    """A home, what has happened to it, and what must therefore be known."""

    home: Bench
    known: Known = field(init=False)
    moments: list[datetime] = field(default_factory=list)
    """At which somebody could have looked."""
    troubled: bool = False
    """Whether the next sync does not hear the whole truth."""
    hides_rows: bool = False
    """Whether Meta leaves rows of deleted ads out of its reports."""
    unfinished: bool = False
    """Whether something was bought a short time ago and is perhaps not stored yet."""
    runs: int = 0

    def __post_init__(self) -> None:
        self.known = Known(self.home.world)

    def tell(self, event: Event) -> None:
        """Let something happen, a minute after what was before."""
        self.home.pass_time(MINUTE)
        match event:
            case Sync():
                self.sync(event)
            case Killed():
                self.in_children(self.job(event.sync, Death(ordinal=event.point)))
            case Together():
                self.in_children(self.job(event.first), self.job(event.second))
            case Pass():
                self.home.pass_time(event.step)
                self.unfinished = self.unfinished and event.step < FRESH_ANSWER
            case Stale():
                self.stale(event)
            case Trouble():
                self.home.simulator.faults.add("graph_error", kind="insights", code=event.code, times=event.times)
                self.troubled = True
            case Hidden():
                account = self.home.account(event.place)
                (self.home.simulator.hide_account if event.hidden else self.home.simulator.show_account)(account)
            case DeletedRows():
                self.home.simulator.set_deleted_rows(event.where)
                self.hides_rows = event.where != "filtered"
            case Replay():
                self.replay()

    def stale(self, event: Stale) -> None:
        """Make the next reports of a level stale."""
        rule = {"kind": "insights", "query": f"level={event.level}", "seconds": event.hours * 3600.0}
        self.home.simulator.faults.add("stale", **rule, times=event.times)
        self.troubled = True

    def days(self, sync: Sync) -> DayRange:
        """The days of a sync, counted from the simulated today."""
        until = self.home.now().date() - sync.ago * DAY
        return DayRange(until - (sync.count - 1) * DAY, until)

    # ---- syncs ----

    def is_truthful(self, levels: Sequence[Level]) -> bool:
        """Whether a sync must find the whole truth now: what reports leave out is found only beside the account's totals."""
        return not self.troubled and (not self.hides_rows or (set(levels) == set(Level) and not self.unfinished))

    def nobody_there(self) -> bool:
        """Whether every account is hidden."""
        return not any(self.home.simulator.states.visible(account.id) for account in self.home.world.accounts)

    def sync(self, event: Sync) -> None:
        """A sync in this process."""
        truthful = self.is_truthful(event.levels)
        try:
            outcome = self.home.sync(
                self.days(event), *event.levels, entities_every=timedelta(0) if event.entities else None
            )
        except (GraphApiError, NoAccountError, NothingToCollectError):
            assert self.troubled or self.nobody_there()
            self.calm()
            return
        assert outcome.complete or self.troubled, outcome.receipt.missing_text()
        self.look(published=outcome.receipt.published, truthful=truthful)
        self.calm()

    def job(self, event: Sync, death: Death | None = None) -> Job:
        """The same for a process of its own."""
        self.runs += 1
        settings = self.home.settings
        variables = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": settings.graph_api_url,
            "META_INSIGHTS_HOME": str(settings.home),
        }
        return Job(
            variables,
            f"child-{self.runs}",
            self.days(event),
            self.home.now(),
            event.levels,
            event.entities,
            death,
            TICK,
        )

    def in_children(self, *jobs: Job) -> None:
        """Syncs in processes of their own, all at once; some may die."""
        before = read_warehouse(self.snapshot)
        truthful = all(self.is_truthful(job.levels) for job in jobs)
        children = [Child(job) for job in jobs]
        endings = [child.end() for child in children]
        # What their clocks have ticked.
        self.home.pass_time(AFTERWARDS)
        for job, ending in zip(jobs, endings, strict=True):
            assert not ending.killed or job.death is not None, ending
            assert ending.killed or ending.receipt is not None or self.troubled or self.nobody_there(), ending
        killed = any(ending.killed for ending in endings)
        published = any(ending.receipt is not None and ending.receipt.published for ending in endings)
        if not published:
            assert read_warehouse(self.snapshot) in (before, read_warehouse(self.copied())), (
                "a copy for readers is torn"
            )
        self.unfinished = self.unfinished or killed
        self.look(published=published, truthful=truthful and not (killed and self.hides_rows))
        self.calm()

    def calm(self) -> None:
        """Trouble is over after a sync; what it kept from being stored may still be stored by the next one."""
        self.unfinished = self.unfinished or self.troubled
        self.troubled = False
        self.home.simulator.faults.clear()

    def replay(self) -> None:
        """The warehouse anew from the archive: nothing is another thing afterwards."""
        before = read_warehouse(self.copied())
        assert run_replay(self.home.settings).state == "complete"
        assert read_warehouse(self.copied()) == before
        assert read_warehouse(self.snapshot) == before
        self.check_history()

    # ---- what is seen ----

    @property
    def snapshot(self) -> Path:
        """The file for readers."""
        return self.home.settings.snapshot_path

    def copied(self) -> Path:
        """A copy of the warehouse, with what a dead process left beside it."""
        path = self.home.settings.warehouse_path
        folder = path.parent.with_name("copied")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copyfile(file, folder / file.name)
        with closing(duckdb.connect(str(folder / path.name))):
            return folder / path.name

    def look(self, *, published: bool, truthful: bool) -> None:
        """Take up what is stored now."""
        seen = read_warehouse(self.copied())
        self.known.learn(seen, self.home.now(), truthful=truthful)
        if published:
            assert read_warehouse(self.snapshot) == seen
            self.moments.append(self.home.now())

    def check_history(self) -> None:
        """What the macros show of every moment at which somebody could have looked."""
        with closing(duckdb.connect(str(self.snapshot), read_only=True)) as connection:
            (thinned,) = connection.execute("SELECT max(thinned_before) FROM pipeline.history_thinning").fetchone() or (
                None,
            )
        for moment, rows in read_as_of(self.snapshot, self.moments).items():
            is_thinned = thinned is not None and moment < thinned.replace(tzinfo=UTC)
            assert rows == self.known.as_of(_end_of_day(moment) if is_thinned else moment), moment

    def end(self) -> None:
        """Everything is as it should be and is synced whole: now all must be well."""
        simulator, since = self.home.simulator, min(day for _, _, day in self.known.versions)
        self.calm()
        simulator.set_deleted_rows("filtered")
        self.hides_rows = False
        for account in self.home.world.accounts:
            simulator.show_account(account.id)
        today = self.home.now().date()
        self.tell(Sync(0, (today - since).days + 1, entities=True))
        assert_equals_truth(self.snapshot, self.home.world, since, today, self.home.now())
        self.check_history()
        for file in (self.home.settings.home / "receipts").glob("*.json"):
            if not file.name.startswith("replay-"):
                Receipt.model_validate_json(file.read_text("utf-8"))
        self.replay()


def _end_of_day(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time.max, moment.tzinfo)


@settings(
    max_examples=EXAMPLES,
    derandomize=not LONG,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@example(events=LIFE, deletions=LOSSES)
@given(events=st.lists(EVENTS, min_size=3, max_size=8 if LONG else 6), deletions=DELETIONS)
@pytest.mark.slow
def test_after_any_sequence_the_tables_are_the_truth_and_as_of_is_what_was_true_then(
    empty_warehouse: Path, events: list[Event], deletions: list[Deletion]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "home"
        path.mkdir()
        with bench(path, empty_warehouse, SPEC) as home:
            for one in deletions:
                home.delete(one.level, one.place, NOW + one.after, one.account)
            clock = home.simulator.clock
            assert isinstance(clock, SimulatedClock)
            home.clock = TickingClock(clock)
            story = Story(home)
            story.tell(Sync(0, 3, entities=True))
            for event in events:
                story.tell(event)
            story.end()
