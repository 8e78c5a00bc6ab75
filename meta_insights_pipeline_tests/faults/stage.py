"""The stage on which faults happen: three small ad accounts behind the HTTP door, and time that passes when somebody waits.

One account is asked directly, one through asynchronous reports (Meta does not tell how many ads it has), and one is left alone.
Their days are so long ago that the numbers no longer change, so that the truth is the same at the end of a case.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import orjson

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.collection import Collection, Wanted, accounts_of, draw_up
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.collect import Collector
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.list_book import ListBook
from meta_insights_pipeline.collector.report_book import ReportBook
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi, Timeouts
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.harvest import Harvest, collect_and_stage
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.receipt import Missing
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.simulator.calls import read_call
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.faults import CallInfo, FaultPlan, FaultRule
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.state import State
from meta_insights_pipeline.sync import NothingToCollectError, SyncOutcome, SyncRequest, run_sync
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.writing import write
from meta_insights_pipeline_tests.comparison import expected_tables, read_rows
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN, yesterday_noon

DIRECT, REPORT, BYSTANDER = range(3)
"""Places of the accounts in the world: asked directly, asked through asynchronous reports, left alone."""
VICTIMS = (DIRECT, REPORT)
EVERYBODY = (DIRECT, REPORT, BYSTANDER)
SPEC = WorldSpec(accounts=3, campaigns=2, adsets_per_campaign=1, ads_per_adset=2, always_on=True)
# More days than are asked for directly while the number of ads is not known.
DAYS = 8
# Meta changes the numbers of a day for 28 days.
DAYS_AGO = 33
# So that a report run is asked for its status more than once.
REPORT_SECONDS = 2.0
AD_LEVEL = (Level.AD,)
EVERY_LEVEL = tuple(Level)

STOPS = (SettingsError, NoAccountError, NothingToCollectError, WarehouseError, GraphApiError)
"""What may end a sync before it has a receipt, as in `defs.assets`."""

Key = tuple[str, ...]
Rows = dict[Key, dict[str, Any]]
"""Rows by level, account id, entity id and day; those of actions by field and action type, too."""


@dataclass(frozen=True)
class Tables:
    """The rows of the fact tables and of `insight_actions`."""

    facts: Rows
    actions: Rows

    def without(self, parts: Sequence[tuple[str, str, date, date]]) -> "Tables":
        """All rows but those of some reports (by name), account ids and days, the first and the last."""

        def is_kept(key: Key) -> bool:
            level, account, _, day = key[:4]
            return not any(
                (f"{level}_insights", account) == (report, of) and str(since) <= day <= str(until)
                for report, of, since, until in parts
            )

        return Tables(
            {key: row for key, row in self.facts.items() if is_kept(key)},
            {key: row for key, row in self.actions.items() if is_kept(key)},
        )

    def of_victims(self) -> "Tables":
        """The rows of the accounts to which something happens."""
        ids = {small_world().accounts[place].id for place in VICTIMS}
        return Tables(
            *({key: row for key, row in rows.items() if key[1] in ids} for rows in (self.facts, self.actions))
        )

    def put(self, **values: Any) -> None:
        """Every fact of the victims has these values."""
        for row in self.of_victims().facts.values():
            row.update(values)

    def put_actions(self, **values: Any) -> None:
        """Every number of the victims' lists `actions` is this."""
        for key, row in self.of_victims().actions.items():
            if key[4] == "actions":
                row.update(values)

    def drop_lists(self, name: str) -> None:
        """The victims have no list of this name."""
        for key in self.of_victims().actions:
            if key[4] == name:
                del self.actions[key]


@dataclass(frozen=True)
class Alteration:
    """What becomes of good answers on their way to the client; those of the account that is left alone stay as they are."""

    change: Callable[[dict[str, Any]], Any]
    """Gets the answer, which it may change, and gives what goes out in its place."""
    kinds: tuple[str, ...]
    """Kinds of calls, as the simulator names them."""
    times: int | None = None
    """How many answers of each kind are changed; None for all."""


class _CountingPlan(FaultPlan):
    """Rules that tell which of them hit something."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: list[FaultRule] = []

    def take(self, call: CallInfo) -> FaultRule | None:
        rule = super().take(call)
        if rule is not None:
            self.hits.append(rule)
        return rule


class AlteringSimulator(Simulator):
    """A simulator whose good answers may be changed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plan = self.faults = _CountingPlan()
        self.alteration: Alteration | None = None
        self.altered: Counter[str] = Counter()
        """Changed answers by kind of call."""
        self._lock = threading.Lock()

    def handle(self, request: SimRequest) -> SimResponse:
        response = super().handle(request)
        alteration = self.alteration
        if alteration is None or response.status != 200:
            return response
        call = read_call(request, self.world, self.base_url)
        if call.kind not in alteration.kinds or call.account_id == self.world.accounts[BYSTANDER].id:
            return response
        try:
            answer = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            # A fault has been here before.
            return response
        with self._lock:
            if alteration.times is not None and self.altered[call.kind] >= alteration.times:
                return response
            self.altered[call.kind] += 1
        return replace(response, body=orjson.dumps(alteration.change(answer)))


@dataclass(frozen=True)
class Ended:
    """How a sync ended."""

    state: str
    """As in the receipt; `stopped` when there is none."""
    missing: tuple[Missing, ...] = ()
    text: str = ""
    """What a person is told: of what is missing, or why the sync stopped."""
    outcome: SyncOutcome | None = None


@dataclass
class Stage:
    """A running simulator, and a home that has an empty warehouse."""

    simulator: AlteringSimulator
    settings: Settings
    clock: SharedClock
    days: DayRange
    levels: tuple[Level, ...] = AD_LEVEL
    """What is collected."""

    @property
    def world(self) -> World:
        """The simulated world, for its truth."""
        return self.simulator.world

    def account(self, place: int) -> str:
        """The id of an account."""
        return self.world.accounts[place].id

    def request(self, run_id: str, **options: Any) -> SyncRequest:
        """A sync of all days of the stage."""
        return SyncRequest(run_id, self.days, reports_of_levels(self.levels), **options)

    def sync(self, request: SyncRequest) -> Ended:
        """Run a sync to its end, whatever that is; only what a person can mend may stop it."""
        try:
            outcome = run_sync(self.settings, request, clock=self.clock)
        except STOPS as error:
            return Ended("stopped", text=str(error))
        receipt = outcome.receipt
        return Ended(receipt.state, receipt.missing, receipt.missing_text() if receipt.missing else "", outcome)

    def impatient_sync(self, request: SyncRequest, timeouts: Timeouts) -> Ended:
        """As `sync`, by a client with other time-outs, for which `run_sync` has no parameter."""
        settings, clock = self.settings, self.clock
        folder = settings.home / "tmp" / request.run_id
        folder.mkdir(parents=True)
        with State(settings.state_path) as state:
            budget = Budget(state, clock, namespace=settings.graph_api_url)
            book = ReportBook(state, settings.pages_path, clock, owner=request.run_id, is_alive=lambda _: False)
            lists = ListBook(
                state, settings.pages_path / "lists", clock, owner=request.run_id, is_alive=lambda _: False
            )
            lessons = Lessons(state, clock)
            with GraphApi(
                base_url=settings.graph_api_url,
                version=settings.graph_api_version,
                access_token=TOKEN,
                timeouts=timeouts,
                budget=budget,
                clock=clock,
            ) as api:
                collector = Collector(api, book, lessons, clock)
                collection = Collection(settings, api, budget, book, lists, lessons, collector, clock)
                harvest = _collect(collection, request, folder)
        write(
            Warehouse(settings.warehouse_path, settings.home / "tmp"),
            settings.snapshot_path,
            harvest.staged,
            harvest.gaps,
            run_id=request.run_id,
            source="live",
            publish_result=True,
        )
        MissingBook(settings.home).save([MissingPart(**asdict(gap)) for gap in harvest.gaps])
        missing = tuple(Missing.model_validate(asdict(gap)) for gap in harvest.gaps)
        state_of_sync = harvest.state([account.id for account in self.world.accounts], ())
        return Ended(state_of_sync, missing, " ".join(gap.reason for gap in missing))

    def truth(self) -> Tables:
        """What the tables should hold; a copy that may be changed."""
        truth = _truth(self.days, self.levels)
        return Tables(*({key: dict(row) for key, row in rows.items()} for rows in (truth.facts, truth.actions)))

    def stored(self) -> Tables:
        """What readers find; what the warehouse holds before anything is published."""
        file = self.settings.snapshot_path
        with duckdb.connect(str(file if file.exists() else self.settings.warehouse_path), read_only=True) as connection:
            return _stored(connection, self.levels)

    def books(self) -> set[tuple[str, str, str]]:
        """What the published file says is missing: report, account id, kind."""
        rows = self.rows("SELECT DISTINCT report, account_id, kind FROM pipeline.missing")
        return {(row["report"], row["account_id"], row["kind"]) for row in rows}

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a query on the published file."""
        return read_rows(self.settings.snapshot_path, statement)

    def wait_until(self, at: datetime) -> None:
        """Let the time pass, for the client and the simulator."""
        self.clock.sleep(max(0.0, (at - self.clock.now()).total_seconds()))


def _collect(collection: Collection, request: SyncRequest, folder: Path) -> Harvest:
    found = accounts_of(collection, request.account_ids)
    plan = draw_up(collection, [Wanted(found.accounts, request.reports, request.days)], {})
    return collect_and_stage(collection, plan.requests, folder, folder)


@contextmanager
def stage(
    home: Path,
    empty_warehouse: Path,
    *,
    app_secret: str | None = None,
    report_seconds: float = REPORT_SECONDS,
    levels: tuple[Level, ...] = AD_LEVEL,
    **variables: Any,
) -> Iterator[Stage]:
    """Serve the world over HTTP, and make a home with a copy of an empty warehouse."""
    at = yesterday_noon()
    clock = SimulatedClock(at)
    simulator = AlteringSimulator(
        small_world(),
        clock,
        access_token=TOKEN,
        app_secret=app_secret,
        report_seconds=report_seconds,
        monotonic=lambda: clock.now().timestamp(),
    )
    # Making the tables takes as long as everything else that a sync of this size does.
    shutil.copy(empty_warehouse, home / "warehouse.duckdb")
    until = at.date() - timedelta(days=DAYS_AGO)
    with SimulatorServer(simulator) as server:
        values = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": server.url,
            "META_INSIGHTS_HOME": home,
            **({"META_APP_SECRET": app_secret} if app_secret else {}),
            **variables,
        }
        settings = Settings(_env_file=None, **values)
        days = DayRange(until - timedelta(days=DAYS - 1), until)
        yield Stage(simulator, settings, SharedClock(clock), days, levels)


@cache
def small_world() -> World:
    """The world; it is the same for all cases, since nothing about it ever changes."""
    return World(SPEC)


@cache
def _truth(days: DayRange, levels: tuple[Level, ...]) -> Tables:
    wanted = expected_tables(small_world(), levels, days.since, days.until, yesterday_noon())
    facts = {
        (level.value, *_texts(key)): {**row, "other_fields": None}
        for level, rows in wanted.facts.items()
        for key, row in rows.items()
    }
    actions = {_texts(key): {**row, "other_windows": None} for key, row in wanted.actions.items()}
    return Tables(facts, actions)


def _stored(connection: duckdb.DuckDBPyConnection, levels: Sequence[Level]) -> Tables:
    facts: Rows = {}
    for level in levels:
        for row in _rows(connection, f"FROM {level}_insights"):
            key = (level.value, row["account_id"], row[level.id_field], str(row["date_start"]))
            assert key not in facts, f"{level}_insights has two rows of {key}"
            facts[key] = row
    actions: Rows = {}
    names = ("level", "account_id", "entity_id", "date_start", "field", "action_type")
    numbers = ("value", *(windows()[name].column for name in default_windows()), "other_windows")
    for row in _rows(connection, "FROM insight_actions"):
        place = tuple(str(row[name]) for name in names)
        assert place not in actions, f"insight_actions has two rows of {place}"
        actions[place] = {name: row[name] for name in numbers}
    return Tables(facts, actions)


def _rows(connection: duckdb.DuckDBPyConnection, statement: str) -> list[dict[str, Any]]:
    cursor = connection.execute(statement)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _texts(key: tuple[Any, ...]) -> Key:
    return tuple(str(part) for part in key)
