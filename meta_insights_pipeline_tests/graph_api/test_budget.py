"""The book of budgets: what one answer means for which calls, who shares it, and the client that keeps to it."""

import json
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.graph_api.budget import ABUSE_HOLD, Budget, BudgetLevel, CallAnswer, use_case
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import (
    BadRequestError,
    BlockedError,
    GraphApiError,
    ThrottleError,
    TransportError,
)
from meta_insights_pipeline.graph_api.pacing import pace_seconds
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import SimulatedClock, Simulator, SimulatorAdapter, SimulatorServer, World
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.graph_api.support import NOW, TOKEN, VERSION, SharedClock, Talk, daily, failure, talk

PAGE, ENTITIES = "insights_page", "entities"
BASE = "https://graph.facebook.com"


def case_header(account: str = "1", kind: str = "ads_insights", percent: float = 0, minutes: int = 0) -> dict[str, str]:
    entry = {"type": kind, "call_count": percent, "estimated_time_to_regain_access": minutes}
    return {"x-business-use-case-usage": json.dumps({account: [entry]})}


def score_header(percent: float, seconds: int = 300) -> dict[str, str]:
    return {"x-ad-account-usage": json.dumps({"acc_id_util_pct": percent, "reset_time_duration": seconds})}


def throttle(code: int, subcode: int | None = None, retry_after: float | None = None) -> ThrottleError:
    return ThrottleError("Too many calls.", code=code, subcode=subcode, retry_after=retry_after)


class Book:
    """A budget with a clock that only moves by hand, and the accounts 1 and 2."""

    def __init__(self, state: State, namespace: str = BASE) -> None:
        self.clock = SkippingClock(NOW)
        self.budget = Budget(state, self.clock, namespace=namespace)

    def hears(
        self,
        headers: dict[str, str] | None,
        error: GraphApiError | None = None,
        account: str | None = "1",
        kind: str = PAGE,
    ) -> None:
        """A call is made and this is its answer."""
        self.budget.admit(account, kind)
        self.budget.answered(account, kind, headers, error)

    def open(self) -> set[str]:
        """Which calls may be made: by account and use case, `me` for a call about no account."""
        asked = {"me": (None, ENTITIES)} | {
            f"{account} {use_case(kind)}": (account, kind) for account in "12" for kind in (PAGE, ENTITIES)
        }
        return {name for name, (account, kind) in asked.items() if self.budget.blocked_until(account, kind) is None}

    def seconds(self, account: str | None = "1", kind: str = PAGE) -> float:
        """How long such a call is blocked."""
        until = self.budget.blocked_until(account, kind)
        return (until - self.clock.now()).total_seconds() if until else 0.0


@pytest.fixture
def state() -> Iterator[State]:
    with State.in_memory() as state:
        yield state


@pytest.fixture
def book(state: State) -> Book:
    return Book(state)


EVERYTHING = {"me", "1 ads_insights", "1 ads_management", "2 ads_insights", "2 ads_management"}
OTHERS = {"me", "2 ads_insights", "2 ads_management"}


# ---- what a call is charged to ----


@pytest.mark.parametrize("kind", ["report_submit", "report_poll", "report_page", "insights_page"])
def test_calls_for_insights_are_charged_to_insights(kind: str) -> None:
    assert use_case(kind) == "ads_insights"


@pytest.mark.parametrize("kind", ["account", "size", "entities", "entity_by_id", "token", "probe", "anything"])
def test_all_other_calls_are_charged_to_management(kind: str) -> None:
    assert use_case(kind) == "ads_management"


# ---- what closes what ----


@pytest.mark.parametrize(
    ("error", "still_open"),
    [
        (throttle(4), set[str]()),
        (throttle(4, 1504022), set[str]()),
        (throttle(341), set[str]()),
        (throttle(17), OTHERS),
        (throttle(17, 2446079), OTHERS),
        (throttle(32), OTHERS),
        (throttle(613, 1487742), OTHERS),
        (throttle(80000, 2446079), OTHERS | {"1 ads_management"}),
        # Whatever closed it, the call was one for insights.
        (throttle(80004, 2446079), OTHERS),
        (throttle(80003, 2446079), OTHERS | {"1 ads_management"}),
        (throttle(613, 1996), set[str]()),
        (throttle(368), set[str]()),
        # A throttle that is in no table closes what was called.
        (throttle(80077), OTHERS | {"1 ads_management"}),
        (TransportError("No answer."), EVERYTHING),
        (BadRequestError("No.", code=100), EVERYTHING),
        (None, EVERYTHING),
    ],
)
def test_a_refusal_closes_the_budget_of_its_code_and_no_other(
    error: GraphApiError | None, still_open: set[str], book: Book
) -> None:
    book.hears({}, error)
    assert book.open() == still_open


def test_a_refused_call_about_the_structure_leaves_insights_open(book: Book) -> None:
    book.hears({}, throttle(80004, 2446079), kind=ENTITIES)
    assert book.open() == OTHERS | {"1 ads_insights"}


def test_a_refusal_in_the_name_of_another_budget_holds_both_for_the_longest_hint(book: Book) -> None:
    book.hears(case_header(kind="custom_audience", percent=100, minutes=20), throttle(80003, 2446079, retry_after=9))
    until = {level.budget: level.blocked_until for level in book.budget.levels() if level.account == "1"}
    assert until["custom_audience"] == until["ads_insights"] == NOW + timedelta(minutes=20)
    assert until["score"] is None


@pytest.mark.parametrize("error", [throttle(613, 1996), throttle(368), throttle(368, retry_after=7)])
def test_calls_that_meta_finds_abusive_close_the_app_for_an_hour(error: ThrottleError, book: Book) -> None:
    book.hears({}, error)
    assert book.seconds(account=None) == ABUSE_HOLD


def test_a_refusal_about_an_unknown_account_closes_nothing_and_one_that_a_header_names_that_one(book: Book) -> None:
    book.hears({}, throttle(80000), account=None)
    assert book.open() == EVERYTHING
    book.hears(case_header(percent=101, minutes=3), throttle(80000), account=None)
    assert book.open() == OTHERS | {"1 ads_management"}
    assert book.seconds() == 180


@pytest.mark.parametrize(
    ("headers", "still_open"),
    [
        ({"x-app-usage": '{"call_count":1,"total_time":96,"total_cputime":2}'}, set[str]()),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":95.5,"acc_id_util_pct":3}'}, set[str]()),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":3,"acc_id_util_pct":95.5}'}, OTHERS | {"1 ads_management"}),
        (score_header(96), OTHERS),
        (case_header(percent=96), OTHERS | {"1 ads_management"}),
        (case_header(percent=96, kind="ads_management"), OTHERS | {"1 ads_insights"}),
        (case_header(percent=96, account="2"), {"me", "1 ads_insights", "1 ads_management", "2 ads_management"}),
        (case_header(percent=94), EVERYTHING),
        ({}, EVERYTHING),
    ],
)
@pytest.mark.parametrize("error", [None, BadRequestError("No.", code=100)])
def test_a_header_that_says_95_percent_holds_its_budget_on_good_answers_and_bad_ones(
    headers: dict[str, str], still_open: set[str], error: GraphApiError | None, book: Book
) -> None:
    book.hears(headers, error)
    assert book.open() == still_open


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [
        (case_header(percent=101, minutes=3), throttle(80000), 180),
        (case_header(percent=101, minutes=3), throttle(80000, retry_after=9), 180),
        (case_header(percent=101, minutes=20), throttle(80000, retry_after=1), 1200),
        # The hints of other budgets and hints of nothing are none.
        (case_header(percent=3, account="2", minutes=3), throttle(80000), 60),
        (case_header(percent=101, minutes=0), throttle(80000), 60),
        (score_header(3), throttle(80000), 60),
        (score_header(3), throttle(17, 2446079), 300),
        (None, throttle(80000, retry_after=9), 9),
    ],
)
def test_a_closed_budget_is_left_alone_as_long_as_its_own_hint_says(
    headers: dict[str, str] | None, error: ThrottleError, seconds: float, book: Book
) -> None:
    book.hears(headers, error)
    assert book.seconds() == seconds


def test_the_hint_of_another_use_case_holds_that_use_case(book: Book) -> None:
    book.hears(case_header(kind="ads_management", percent=101, minutes=3), throttle(80000))
    assert (book.seconds(kind=PAGE), book.seconds(kind=ENTITIES)) == (60, 180)


def test_a_blocked_call_is_refused_with_its_account_and_the_time(book: Book) -> None:
    book.hears({}, throttle(80000, retry_after=90))
    with pytest.raises(BlockedError) as caught:
        book.budget.admit("1", PAGE)
    assert caught.value.retry_after == 90
    assert caught.value.message == (
        "No call was made: the budget ads_insights of ad account 1 is held until 2026-11-22 15:08:30 UTC."
    )
    assert pickle.loads(pickle.dumps(caught.value)).__dict__ == caught.value.__dict__
    book.hears({}, throttle(4, retry_after=120), account=None)
    with pytest.raises(BlockedError, match="the budget app is held until 2026-11-22 15:09:00 UTC"):
        book.budget.admit("1", PAGE)


def test_after_a_block_one_call_probes_and_opens_it_for_all(book: Book) -> None:
    book.hears({}, throttle(80000))
    book.clock.sleep(60)
    assert book.budget.admit("1", PAGE) == 0.0
    with pytest.raises(BlockedError) as caught:
        book.budget.admit("1", PAGE)
    assert caught.value.retry_after == 1.0
    book.budget.answered("1", PAGE, case_header(percent=50), None)
    assert [book.budget.admit("1", PAGE) for _ in range(8)] == 8 * [0.0]


def test_a_wait_grows_with_what_is_under_way(book: Book) -> None:
    book.hears(case_header(percent=85))
    waits = [book.budget.admit("1", PAGE) for _ in range(5)]
    assert waits == sorted(set(waits))
    assert 0.5 < waits[0] < waits[-1] < 5.0
    assert book.budget.admit("1", ENTITIES) == 0.0


def test_a_batch_is_admitted_as_far_as_it_fits_and_answered_as_one(book: Book) -> None:
    book.hears(case_header(percent=85))
    admitted = book.budget.admit_some("1", PAGE, 50)
    assert 1 < admitted.calls < 10
    with pytest.raises(BlockedError):
        book.budget.admit("1", PAGE)
    headers = [case_header(percent=percent) for percent in (88, 86, 87)]
    book.budget.answered_all("1", PAGE, [CallAnswer(one) for one in headers])
    # Nothing is under way any more, and the highest of the batch's answers counts.
    (level,) = [level for level in book.budget.levels() if level.budget == "ads_insights"]
    assert level.percent == 88
    assert book.budget.admit("1", PAGE) > 0


# ---- what is under way ----


def test_calls_that_nobody_answers_fade(book: Book) -> None:
    for _ in range(4):
        book.budget.admit("1", PAGE)
    with pytest.raises(BlockedError):
        book.budget.admit("1", PAGE)
    book.clock.sleep(299)
    with pytest.raises(BlockedError):
        book.budget.admit("1", PAGE)
    book.clock.sleep(2)
    assert book.budget.admit("1", PAGE) == 0.0


def test_what_a_dead_process_left_under_way_fades_although_others_go_on_calling(state: State) -> None:
    dead, alive = Book(state), Book(state)
    for _ in range(3):
        dead.budget.admit("1", PAGE)
    for _ in range(31):
        alive.hears(None)
        alive.clock.sleep(10)
    for _ in range(4):
        alive.budget.admit("1", PAGE)


def test_a_call_without_an_answer_is_not_under_way_any_more(book: Book) -> None:
    for _ in range(20):
        book.hears(None, TransportError("No answer."))
    assert book.budget.levels() == [
        BudgetLevel(None, "app", None, None, None),
        BudgetLevel("1", "ads_insights", None, None, None),
        BudgetLevel("1", "score", None, None, None),
    ]
    for _ in range(4):
        book.budget.admit("1", PAGE)


def test_an_answer_to_a_call_that_is_not_known_any_more_counts(book: Book) -> None:
    for percent in (50, 40):
        book.budget.answered("1", PAGE, case_header(percent=percent), None)
    (level,) = [level for level in book.budget.levels() if level.budget == "ads_insights"]
    assert level.percent == 40


# ---- what is told, and shared ----


def test_levels_tell_every_budget_with_percent_block_and_tier(book: Book) -> None:
    tier = {"ads_api_access_tier": "development_access"}
    headers = {
        "x-app-usage": '{"call_count":28}',
        "x-ad-account-usage": json.dumps({"acc_id_util_pct": 12.5, "reset_time_duration": 300, **tier}),
        "x-business-use-case-usage": json.dumps({"1": [{"type": "ads_insights", "call_count": 96, **tier}]}),
    }
    book.hears(headers)
    until = datetime(2026, 11, 22, 15, 8, tzinfo=UTC)
    assert book.budget.levels() == [
        BudgetLevel(None, "app", 28.0, None, None),
        BudgetLevel("1", "ads_insights", 96.0, until, "development_access"),
        BudgetLevel("1", "score", 12.5, None, "development_access"),
    ]
    book.clock.sleep(300)
    assert [level.percent for level in book.budget.levels()] == [28.0, 96.0, None]
    book.clock.sleep(3300)
    assert [(level.percent, level.blocked_until) for level in book.budget.levels()] == 3 * [(None, None)]
    assert book.budget.levels()[1].tier == "development_access"


def test_nothing_is_known_at_first(book: Book) -> None:
    assert book.budget.levels() == []
    assert book.open() == EVERYTHING


def test_real_and_simulated_budgets_do_not_mix(state: State) -> None:
    real, simulated = Book(state), Book(state, "http://127.0.0.1:8090/")
    real.hears({}, throttle(4))
    assert real.open() == set()
    assert simulated.open() == EVERYTHING
    assert simulated.budget.levels() == []
    assert Book(state, BASE + "/").open() == set()


def test_a_block_outlives_the_process(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with State(file) as state:
        Book(state).hears({}, throttle(80000, retry_after=600))
    with State(file) as state:
        assert Book(state).seconds() == 600


def test_two_books_on_one_file_know_the_same(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with State(file) as one, State(file) as other:
        mine, theirs = Book(one), Book(other)
        mine.hears(case_header(percent=85))
        waits = [book.budget.admit("1", PAGE) for book in (mine, theirs, mine, theirs)]
        assert waits == sorted(set(waits))
        theirs.budget.answered("1", PAGE, case_header(percent=96), None)
        with pytest.raises(BlockedError):
            mine.budget.admit("1", PAGE)


# ---- the client ----


def spent(session: Talk) -> Counter[int]:
    """How many calls were answered with which status."""
    return Counter(record.status for record in session.simulator.requests)


def test_a_client_stops_before_the_budget_is_spent_and_goes_on_after_the_hour(world: World) -> None:
    with talk(world, simulator={"budgets": {"ads_insights": 60}}) as session:
        made = 0
        while made < 200:
            try:
                made += len(session.pages(daily(limit="100")))
            except BlockedError as block:
                session.clock.sleep(block.retry_after or 0.0)
        hours = (session.clock.now() - NOW).total_seconds() / 3600
        assert spent(session) == {200: 200}
        # 57 an hour at least, which takes a little more than three of them.
        assert hours < 4.5


def test_a_client_waits_a_little_when_a_budget_is_nearly_spent(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("headers", headers={"x-app-usage": '{"call_count":87}'})
        session.me()
        assert session.waits == []
        session.me()
        (wait,) = session.waits
        assert wait == pytest.approx(pace_seconds(87))
        counts = session.api.meter.counts()
        assert counts.waited_seconds == pytest.approx(wait, abs=0.001)
        assert (counts.retries, counts.throttled) == (0, 0)


def test_a_block_that_comes_up_while_a_call_waits_its_turn_keeps_it_from_being_made(world: World) -> None:
    class Waiting(SharedClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            # Another thread or process is told meanwhile.
            session.api.budget.answered(None, ENTITIES, {}, throttle(4, retry_after=30))

    with talk(world) as session:
        session.api.budget.answered(None, ENTITIES, {"x-app-usage": '{"call_count":87}'}, None)
        session.api._clock = Waiting(session.simulator.clock)  # type: ignore[arg-type]
        error = session.fails()
        assert (type(error), error.retry_after) == (BlockedError, 30.0)
        assert session.calls == 0
        # Nothing is left under way: the probe after the block may go.
        session.clock.sleep(30)
        assert session.api.budget.admit(None, ENTITIES) == 0.0


@pytest.mark.parametrize(("seconds", "waits"), [(5, [5.0]), (6, [])])
def test_a_client_waits_for_the_end_of_a_short_block_only(seconds: float, waits: list[float], world: World) -> None:
    with talk(world) as session:
        session.api.budget.answered(None, ENTITIES, {}, throttle(4, retry_after=seconds))
        if waits:
            assert session.me()["id"]
        else:
            assert session.fails().retry_after == seconds
        assert (session.waits, session.calls) == (waits, len(waits))


def test_a_call_waits_for_those_under_way_but_not_for_ever(world: World) -> None:
    with talk(world, retry=RetryPolicy(longest_queue=3.0)) as session:
        for _ in range(4):
            session.api.budget.admit(None, ENTITIES)
        assert type(session.fails()) is BlockedError
        assert sum(session.waits) == pytest.approx(3.0, abs=0.2)
        session.api.budget.answered(None, ENTITIES, {}, None)
        assert session.me()["id"]


def test_a_throttle_that_names_no_time_is_raised_with_that_of_its_budget(world: World) -> None:
    headers = case_header(world.accounts[0].id, percent=101, minutes=3)
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=80000, subcode=2446079, headers=headers)
        error = failure(lambda: session.pages(daily(limit="100")))
        assert (type(error), error.retry_after) == (ThrottleError, 180.0)
        error = failure(lambda: session.pages(daily(limit="100")))
        assert (type(error), error.retry_after) == (BlockedError, 180.0)
        assert session.account_id in str(error)
        # The account's structure and everything else can be read meanwhile.
        read = session.api.get(session.account, {}, kind=ENTITIES, account=session.account_id, read=read_object)
        assert read["id"] == session.account
        session.clock.sleep(180)
        assert session.pages(daily(limit="100"))
        assert (session.calls, session.api.meter.counts().retries) == (3, 0)


def test_a_refusal_for_another_reason_is_not_delayed_by_a_full_budget(world: World) -> None:
    headers = case_header("999", percent=100, minutes=30)
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=2, headers=headers, times=2)
        assert session.pages(daily(limit="100"))
        assert session.waits == [0.5, 1.0]


def test_callers_that_name_no_account_are_paced_by_the_budget_of_the_app_alone(world: World) -> None:
    with talk(world) as session:
        account = session.account_id
        session.api.budget.answered(account, PAGE, {}, throttle(17))
        assert session.api.get(session.account, {}, kind=ENTITIES, read=read_object)
        session.api.budget.answered(account, PAGE, {}, throttle(4))
        error = failure(lambda: session.api.get(session.account, {}, kind=ENTITIES, read=read_object))
        assert type(error) is BlockedError


def test_two_clients_share_a_budget_that_is_given_to_both(world: World, state: State) -> None:
    budget = Budget(state, SkippingClock(NOW), namespace=BASE)
    with talk(world, budget=budget) as one, talk(world, budget=budget) as other:
        one.simulator.faults.add("graph_error", code=4)
        assert type(one.fails()) is ThrottleError
        assert type(other.fails()) is BlockedError
        assert other.calls == 0
    # It belongs to neither.
    assert budget.levels()


DYING = """
import os, sys
from pathlib import Path
from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.state import State
budget = Budget(State(Path(sys.argv[1])), SystemClock(), namespace="x")
for _ in range(4):
    budget.admit("1", "insights_page")
os._exit(9)
"""


def test_calls_of_a_process_that_was_killed_before_their_answers_came_hold_nobody_up(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    assert subprocess.run([sys.executable, "-c", DYING, str(file)], check=False, timeout=60).returncode == 9
    with State(file) as state:
        assert state.read("SELECT count(*) FROM calls_under_way") == [(4,)]
        living, next_one = (Budget(state, SystemClock(), namespace="x") for _ in range(2))
        for _ in range(4):
            assert living.admit("1", PAGE) == 0
        # Of what is under way in an account of which nothing is known yet, only the answers of the living are awaited.
        with pytest.raises(BlockedError):
            next_one.admit("1", PAGE)


class QuickClock:
    """The simulator's own clock, which runs at a multiple of the real time, so that waits are short but do happen."""

    def __init__(self, simulated: SimulatedClock, speed: float) -> None:
        self._simulated = simulated
        self._speed = speed

    def now(self) -> datetime:
        return self._simulated.now()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._speed)


@pytest.mark.parametrize("threads", [8, 32])
@pytest.mark.parametrize("used", [0, 30])
def test_no_number_of_threads_calls_into_a_spent_budget(threads: int, used: int, world: World) -> None:
    simulated = SimulatedClock(NOW, speed=50.0)
    simulator = Simulator(world, simulated, budgets={"ads_insights": 60}, latency=0.002)
    clock = QuickClock(simulated, 50.0)
    account = world.accounts[0].id

    def ask(api: GraphApi) -> bool:
        try:
            api.get(
                f"act_{account}/insights", daily(limit="100"), kind="insights_page", account=account, read=read_object
            )
        except BlockedError:
            return False
        return True

    def client() -> GraphApi:
        adapter = SimulatorAdapter(simulator)
        return GraphApi(base_url=BASE, version=VERSION, access_token=TOKEN, adapter=adapter, clock=clock)

    # The other one has used some of it, which nobody here knows.
    with client() as other, client() as api, ThreadPoolExecutor(threads) as pool:
        assert sum(ask(other) for _ in range(used)) == used
        made = sum(pool.map(ask, 150 * [api]))
    assert Counter(record.status for record in simulator.requests) == {200: made + used}
    assert 54 <= made + used <= 60


@pytest.mark.slow
def test_two_processes_share_a_small_budget_and_never_overdraw_it(world: World, tmp_path: Path) -> None:
    simulated = SimulatedClock(NOW, speed=20.0)
    simulator = Simulator(world, simulated, budgets={"ads_insights": 60})
    with SimulatorServer(simulator) as server, ExitStack() as stack:
        arguments = [server.url, str(tmp_path / "state.sqlite"), world.accounts[0].id, "8", "40"]
        command = [sys.executable, "-m", "meta_insights_pipeline_tests.graph_api.budget_worker", *arguments]
        workers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        for _ in range(2):
            simulator.requests.clear()
            made = _hour(workers)
            # Both get on, together they use the budget up, and nobody calls into the blocked account.
            assert min(made) > 0
            assert 54 <= sum(made) <= 60
            assert Counter(record.status for record in simulator.requests) == {200: sum(made)}
            simulated.advance(timedelta(hours=1, minutes=5))
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
            assert worker.wait(30) == 0


def _hour(workers: list["subprocess.Popen[str]"]) -> list[int]:
    """Let all of them call until they are done or blocked; give how many calls each made."""
    made = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        told = json.loads(worker.stdout.readline())
        assert told["made"] + told["blocked"] == 40
        made.append(told["made"])
    return made
