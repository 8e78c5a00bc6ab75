"""Asynchronous reports, with a clock of their own: nothing here waits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    GraphApiError,
    NotFoundError,
    PermissionDeniedError,
    ReportHungError,
    ReportRunError,
    TooMuchDataError,
    TransientError,
    TransportError,
)
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.graph_api.report_runs import (
    STATUS_FIELDS,
    PollPolicy,
    Ready,
    RunStatus,
    next_wait,
    submit,
    wait_until_ready,
)
from meta_insights_pipeline.simulator import SimulatedClock, World
from meta_insights_pipeline_tests.graph_api.support import Talk, daily, failure, rows_of, talk


@dataclass
class Time:
    """Time that passes only where somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def passed(self) -> float:
        return self.now - 1000.0


@dataclass
class Reports:
    """A talk about report runs."""

    talk: Talk
    time: Time

    def submit(self, **parameters: str) -> str:
        return submit(self.talk.api, self.talk.account, daily(**parameters))

    def wait(self, run_id: str, policy: PollPolicy | None = None) -> None:
        wait_until_ready(self.talk.api, run_id, policy, sleep=self.time.sleep, clock=self.time.clock)

    def fails(self, run_id: str, policy: PollPolicy | None = None) -> GraphApiError:
        return failure(lambda: self.wait(run_id, policy))

    def rows(self, run_id: str, **parameters: str) -> list[Any]:
        return rows_of(list(follow_pages(self.talk.api, f"{run_id}/insights", parameters, kind="report_page")))

    def polls(self) -> int:
        return self.talk.simulator.requests.count("run_status")


@contextmanager
def reports(world: World, *, seconds: float = 0.0, **options: Any) -> Iterator[Reports]:
    """Open a client on a simulator whose runs take so long on the clock of the test."""
    time = Time()
    settings_of_simulator = {"report_seconds": seconds, "monotonic": time.clock}
    with talk(world, simulator=settings_of_simulator, **options) as session:
        yield Reports(session, time)


# ---- as it should be ----


def test_a_report_gives_the_rows_of_the_call_that_it_stands_for(world: World) -> None:
    with reports(world) as session:
        run_id = session.submit()
        session.wait(run_id)
        rows = session.rows(run_id, limit="30")
        assert rows == rows_of(session.talk.pages(daily(limit="500")))
        assert len(rows) == 80
        counts = session.talk.api.meter.counts().calls
    assert counts == {"report_submit": 1, "report_poll": 1, "report_page": 3, "insights_page": 1}


def test_a_report_is_submitted_as_a_form_with_all_its_parameters(world: World) -> None:
    with reports(world) as session:
        session.submit()
        (request,) = session.talk.simulator.received
        assert request.method == "POST"
        assert request.path == f"/v26.0/{session.talk.account}/insights"
        assert request.query == {}
        assert request.params == daily()


@pytest.mark.parametrize("seconds", [1.0, 30.0, 600.0, 3600.0])
def test_a_run_is_polled_until_it_is_done_and_not_much_longer(seconds: float, world: World) -> None:
    with reports(world, seconds=seconds) as session:
        run_id = session.submit()
        session.wait(run_id)
        assert seconds <= session.time.passed <= seconds + 30.0 + 1.2
        assert all(0.2 <= wait <= 120.0 for wait in session.time.slept)
        assert len(session.time.slept) == session.polls() <= 4 + seconds / 100
        assert len(session.rows(run_id)) == 80


@pytest.mark.parametrize("seconds", [5.0, 120.0, 400.0])
def test_a_run_that_takes_as_long_as_the_last_one_is_polled_once(seconds: float, world: World) -> None:
    with reports(world, seconds=seconds) as session:
        ready = wait_until_ready(
            session.talk.api,
            session.submit(),
            expected=seconds,
            sleep=session.time.sleep,
            clock=session.time.clock,
        )
        assert (ready.asked, session.polls()) == (1, 1)


def test_a_run_of_a_few_seconds_shows_at_the_first_question_when_it_will_be_done(world: World) -> None:
    with reports(world, seconds=5.0) as session:
        session.wait(session.submit())
        assert session.polls() == 2
        assert session.time.passed == pytest.approx(5.2)


def test_how_long_a_run_took_is_what_meta_says_however_late_it_is_asked(world: World) -> None:
    with reports(world, seconds=5.0) as session:
        run_id = session.submit()
        clock = session.talk.simulator.clock
        assert isinstance(clock, SimulatedClock)
        clock.advance(timedelta(seconds=300))
        ready = wait_until_ready(
            session.talk.api, run_id, expected=300.0, sleep=session.time.sleep, clock=session.time.clock
        )
        # Both ends are whole seconds, so that it took up to one more.
        assert ready == Ready(1, 6.0, is_told=True)


def test_a_run_that_was_submitted_before_is_waited_for_as_long_as_is_left(world: World) -> None:
    with reports(world, seconds=100.0) as session:
        began, run_id = session.time.clock(), session.submit()
        session.time.sleep(70.0)
        options = {"expected": 100.0, "sleep": session.time.sleep, "clock": session.time.clock}
        assert wait_until_ready(session.talk.api, run_id, began=began, **options).asked == 1  # type: ignore[arg-type]
        assert session.time.passed == 100.0


def test_a_run_takes_as_long_as_meta_says_if_it_says_so() -> None:
    assert RunStatus("Job Completed", 100, {"time_ref": 1000, "time_completed": 1090}).seconds == 90.0
    assert RunStatus("Job Completed", 100, {"time_ref": 1000, "time_completed": 0}).seconds is None
    assert RunStatus("Job Completed", 100, {}).seconds is None


def test_the_status_is_asked_for_with_everything_that_a_failure_needs(world: World) -> None:
    with reports(world) as session:
        session.wait(session.submit())
        assert session.talk.simulator.received[-1].query == {"fields": STATUS_FIELDS}
    assert {"async_status", "async_percent_completion", "error_code", "error_subcode"} <= set(STATUS_FIELDS.split(","))


def test_the_id_of_a_run_may_be_a_number(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("numeric_run_id")
        run_id = session.submit()
        assert isinstance(run_id, str)
        assert run_id.isdecimal()
        session.wait(run_id)
        assert len(session.rows(run_id)) == 80


@pytest.mark.parametrize("body", ["{}", '{"id":"1"}', '{"report_run_id":null}', '{"report_run_id":""}', "[]"])
def test_an_answer_without_the_id_of_a_run_is_an_error_of_transport(body: str, world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("text", status=200, body=body, times=None)
        error = failure(session.submit)
        assert type(error) is TransportError
        assert session.talk.calls == 5


def test_an_answer_without_a_status_is_asked_for_again(world: World) -> None:
    with reports(world) as session:
        run_id = session.submit()
        session.talk.simulator.faults.add("text", status=200, body='{"id":"1"}')
        session.wait(run_id)
        assert session.talk.waits == [0.5]


# ---- peculiar runs ----


def test_a_run_that_says_completed_below_100_percent_is_not_read_yet(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("completed_below_100")
        run_id = session.submit()
        session.wait(run_id)
        assert session.polls() == 3
        assert len(session.rows(run_id)) == 80


def test_a_run_that_stays_at_100_percent_without_completing_is_given_up(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("stuck_at_100_running")
        run_id = session.submit()
        error = session.fails(run_id)
        assert type(error) is ReportHungError
        assert str(error) == f"Report run {run_id} made no progress for 900 s (last at 100 %, Job Running)."
        assert 900.0 < session.time.passed < 900.0 + 120.0
        assert session.polls() < 20


def test_a_run_that_never_starts_is_given_up(world: World) -> None:
    with reports(world, seconds=1e9) as session:
        run_id = session.submit()
        error = session.fails(run_id, PollPolicy(stalled=100.0))
        assert type(error) is ReportHungError
        assert str(error) == f"Report run {run_id} made no progress for 100 s (last at 0 %, Job Not Started)."
        assert 100.0 < session.time.passed < 220.0


def test_a_slow_run_that_makes_progress_is_not_given_up(world: World) -> None:
    with reports(world, seconds=5000.0) as session:
        run_id = session.submit()
        # The first fifth passes at 0 percent, then a percent takes 50 seconds.
        session.wait(run_id, PollPolicy(stalled=1030.0))
        assert 5000.0 <= session.time.passed <= 5031.0


def test_a_fresh_run_may_be_unknown_for_a_while(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("fresh_run_not_found", seconds=40.0)
        run_id = session.submit()
        session.wait(run_id)
        assert session.time.passed >= 40.0
        assert session.polls() > 1
        assert session.talk.waits == []
        assert len(session.rows(run_id)) == 80


def test_a_run_that_stays_unknown_is_not_found(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("fresh_run_not_found", seconds=1e6)
        error = session.fails(session.submit())
        assert type(error) is NotFoundError
        assert (error.code, error.subcode) == (100, 33)
        assert 60.0 <= session.time.passed <= 120.0


def test_a_failed_run_fails_with_the_error_that_meta_gives_for_it(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("job_failed")
        run_id = session.submit()
        error = session.fails(run_id)
        assert type(error) is ReportRunError
        assert (error.code, error.subcode) == (-2, 2490547)
        assert str(error) == (
            f"report run {run_id} was refused: the report could not be generated. Meta says: Async job failed "
            "(code -2/2490547) Remedy: submit it once more; then split it."
        )
        assert session.polls() == 1


@pytest.mark.parametrize(
    ("code", "subcode", "text", "expected"),
    [
        (-3, 1504045, "The report is too large", TooMuchDataError),
        (100, None, "(#100) Please reduce the amount of data you're asking for", TooMuchDataError),
        (1, None, "Please reduce the amount of data you're asking for, then retry your request", TooMuchDataError),
        (100, None, "(#100) Missing permissions", PermissionDeniedError),
        (100, None, "(#100) Tried accessing nonexisting field (nonsense)", BadRequestError),
        (2, 1504041, "Invalid breakdowns", BadRequestError),
        (2, None, "Service temporarily unavailable", ReportRunError),
        (190, 463, "Session has expired", AuthError),
    ],
)
def test_a_failed_run_is_classified_as_a_refused_call_would_be(
    code: int, subcode: int | None, text: str, expected: type[GraphApiError], world: World
) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("job_failed", code=code, subcode=subcode, message=text)
        error = session.fails(session.submit())
    assert type(error) is expected
    assert (error.code, error.subcode) == (code, subcode)
    assert text in str(error)


def test_a_failure_without_a_cause_is_an_error_of_the_run(world: World) -> None:
    with reports(world) as session:
        run_id = session.submit()
        body = json.dumps({"id": run_id, "async_status": "Job Failed", "async_percent_completion": 12, "error_code": 0})
        session.talk.simulator.faults.add("text", status=200, body=body)
        error = session.fails(run_id)
    assert type(error) is ReportRunError
    assert str(error) == f"Report run {run_id} ended as 'Job Failed' and Meta gives no cause."


def test_a_skipped_run_is_an_error_of_the_run(world: World) -> None:
    with reports(world) as session:
        session.talk.simulator.faults.add("job_skipped")
        run_id = session.submit()
        error = session.fails(run_id)
    assert type(error) is ReportRunError
    assert str(error) == f"Report run {run_id} ended as 'Job Skipped' and Meta gives no cause."


def test_a_run_that_is_read_too_early_is_a_transient_error(world: World) -> None:
    with reports(world, seconds=10.0) as session:
        run_id = session.submit()
        error = failure(lambda: session.rows(run_id))
        assert type(error) is TransientError
        assert (error.code, error.subcode) == (2601, 1815107)
        assert error.remedy == "wait until it is completed at 100 %"


def test_a_run_whose_result_is_gone_is_not_found(world: World) -> None:
    with reports(world) as session:
        run_id = session.submit()
        session.talk.simulator.clock.advance(timedelta(days=31))  # type: ignore[attr-defined]
        error = failure(lambda: session.rows(run_id))
        assert type(error) is NotFoundError
        assert (error.code, error.subcode) == (2601, None)


def test_trouble_on_the_way_to_a_status_is_passed_over(world: World) -> None:
    with reports(world, seconds=20.0) as session:
        session.talk.simulator.faults.add("reset", kind="run_status", times=2)
        session.talk.simulator.faults.add("html", kind="run_status", skip=2)
        session.wait(session.submit())
        assert session.talk.waits == [0.5, 1.0, 2.0]


def test_an_error_that_will_not_pass_ends_the_waiting(world: World) -> None:
    with reports(world, seconds=20.0) as session:
        session.talk.simulator.faults.add("graph_error", kind="run_status", code=190, subcode=460)
        assert type(session.fails(session.submit())) is AuthError
        assert session.polls() == 1


def test_a_message_of_a_run_that_echoes_the_token_is_masked(world: World) -> None:
    with reports(world, token="EAABtokenInTheReport0123") as session:
        session.talk.simulator.faults.add("job_failed", code=2, message="EAABtokenInTheReport0123 failed")
        error = session.fails(session.submit())
    assert "EAAB" not in str(error)
    assert "failed" in str(error)


# ---- decisions ----


@pytest.mark.parametrize(
    ("status", "percent", "ready", "failed"),
    [
        ("Job Not Started", 0, False, False),
        ("Job Started", 0, False, False),
        ("Job Running", 99, False, False),
        ("Job Running", 100, False, False),
        ("Job Completed", 99, False, False),
        ("Job Completed", 100, True, False),
        ("Job Failed", 0, False, True),
        ("Job Failed", 100, False, True),
        ("Job Skipped", 0, False, True),
    ],
)
def test_a_run_is_ready_when_both_signals_agree(status: str, percent: int, ready: bool, failed: bool) -> None:
    shown = RunStatus(status, percent, {})
    assert (shown.is_ready, shown.has_failed) == (ready, failed)


POLICIES = st.tuples(st.floats(0.01, 10), st.floats(10, 300)).map(
    lambda pair: PollPolicy(least=pair[0], second=pair[0], longest=pair[1])
)


@settings(derandomize=True, database=None, deadline=None)
@given(
    elapsed=st.floats(0, 1e6),
    percent=st.integers(-1, 150),
    last_wait=st.floats(0, 1e4),
    policy=POLICIES,
    moved=st.booleans(),
)
def test_the_next_wait_is_never_shorter_than_the_least_nor_longer_than_the_longest(
    elapsed: float, percent: int, last_wait: float, policy: PollPolicy, moved: bool
) -> None:
    assert policy.least <= next_wait(elapsed, percent, last_wait, policy, moved=moved) <= policy.longest


@settings(derandomize=True, database=None, deadline=None)
@given(elapsed=st.floats(0, 1e4), percents=st.tuples(st.integers(1, 99), st.integers(1, 99)), policy=POLICIES)
def test_the_further_a_run_has_come_the_sooner_it_is_asked(
    elapsed: float, percents: tuple[int, int], policy: PollPolicy
) -> None:
    less, more = sorted(percents)
    assert next_wait(elapsed, more, 1.0, policy) <= next_wait(elapsed, less, 1.0, policy)


@pytest.mark.parametrize(
    ("elapsed", "percent", "moved", "last_wait", "expected"),
    [
        # Nothing is known yet.
        (1.0, -1, False, 1.0, 30.0),
        (1.0, 0, True, 1.0, 30.0),
        (31.0, 0, False, 30.0, 60.0),
        (91.0, 0, False, 60.0, 120.0),
        (211.0, 0, False, 120.0, 120.0),
        # Its own progress tells.
        (10.0, 50, True, 1.0, 10.2),
        (9.0, 90, True, 1.0, 1.2),
        (10.0, 1, True, 1.0, 120.0),
        (10.0, 100, True, 1.0, 0.2),
        # It no longer moves.
        (10.0, 98, False, 1.0, 2.0),
        (10.0, 100, False, 1.0, 2.0),
        (900.0, 98, False, 100.0, 120.0),
    ],
)
def test_the_next_question_comes_when_the_run_should_be_done(
    elapsed: float, percent: int, moved: bool, last_wait: float, expected: float
) -> None:
    assert next_wait(elapsed, percent, last_wait, PollPolicy(), moved=moved) == pytest.approx(expected)
