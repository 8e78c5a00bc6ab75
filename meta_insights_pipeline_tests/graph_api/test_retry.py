"""When the client calls again, and for how long it waits: decisions alone, then the client that makes them."""

import itertools
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    BlockedError,
    NotFoundError,
    PermissionDeniedError,
    RetryableError,
    ThrottleError,
    TooMuchDataError,
    TransientError,
    TransportError,
)
from meta_insights_pipeline.graph_api.retry import RetryPolicy, retry_after_seconds
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import NOW, talk

RETRYABLE = (ThrottleError, TransientError, TransportError)
TERMINAL = (AuthError, PermissionDeniedError, NotFoundError, TooMuchDataError, BadRequestError)
fixed = settings(derandomize=True, database=None, deadline=None)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 50),
    first_wait=st.floats(0.01, 10),
    longest_wait=st.floats(10, 600),
)


# ---- whether ----


@pytest.mark.parametrize("kind", TERMINAL)
def test_an_error_that_will_not_pass_is_never_tried_again(kind: type[Exception]) -> None:
    error = kind("It failed.")
    assert not any(RetryPolicy().should_retry(error, attempt) for attempt in range(1, 10))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", RETRYABLE)
def test_an_error_that_may_pass_is_tried_again_until_the_attempts_are_spent(kind: type[RetryableError]) -> None:
    error = kind("It failed.", retry_after=1.0)
    policy = RetryPolicy(attempts=3)
    assert [policy.should_retry(error, attempt) for attempt in (1, 2, 3, 4)] == [True, True, False, False]


def test_one_attempt_means_no_second_call() -> None:
    assert not RetryPolicy(attempts=1).should_retry(TransportError("It failed."), 1)


@pytest.mark.parametrize(("hint", "again"), [(None, True), (0.0, True), (59.9, True), (60.0, True), (60.1, False)])
@pytest.mark.parametrize("kind", [TransientError, TransportError])
def test_a_server_that_wants_to_be_left_alone_for_longer_than_the_policy_waits_is_not_waited_for(
    hint: float | None, again: bool, kind: type[RetryableError]
) -> None:
    assert RetryPolicy(longest_wait=60.0).should_retry(kind("It failed.", retry_after=hint), 1) is again


@pytest.mark.parametrize(("hint", "again"), [(None, False), (0.0, True), (5.0, True), (5.1, False), (59.9, False)])
@pytest.mark.parametrize("kind", [ThrottleError, BlockedError])
def test_a_throttle_is_only_waited_for_when_its_end_is_known_and_near(
    hint: float | None, again: bool, kind: type[ThrottleError]
) -> None:
    assert RetryPolicy(longest_wait=60.0).should_retry(kind("It failed.", retry_after=hint), 1) is again


def test_a_batch_that_was_too_much_is_not_sent_again_as_it_is() -> None:
    assert not RetryPolicy().should_retry(TransientError("It failed.", code=960), 1)
    assert RetryPolicy().should_retry(TransientError("It failed.", code=2), 1)


@pytest.mark.parametrize(
    ("code", "text", "attempts"),
    [(104, "Incorrect signature", 2), (104, "An access token is required to request this resource.", 1), (190, "", 1)],
)
def test_a_wrong_signature_is_tried_once_more_since_it_may_be_a_reset(code: int, text: str, attempts: int) -> None:
    again = [RetryPolicy().should_retry(AuthError(text, code=code), attempt) for attempt in range(1, 5)]
    assert again.count(True) + 1 == attempts
    assert again == sorted(again, reverse=True)


@pytest.mark.parametrize(
    ("wait", "waited", "queues"),
    [(0.1, 0.0, True), (5.0, 0.0, True), (5.1, 0.0, False), (1.0, 9.0, True), (1.0, 9.1, False)],
)
def test_a_call_waits_for_room_in_short_steps_and_not_for_ever(wait: float, waited: float, queues: bool) -> None:
    policy = RetryPolicy(longest_block=5.0, longest_queue=10.0)
    assert policy.should_queue(BlockedError("No call was made.", retry_after=wait), waited) is queues


# ---- how long ----


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_wait=1.0, longest_wait=10.0)
    error = TransientError("It failed.")
    assert [policy.wait_seconds(error, attempt, 1.0) for attempt in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [policy.wait_seconds(error, attempt, 0.0) for attempt in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@fixed
@given(policy=policies, attempt=st.integers(1, 50), jitter=st.floats(0, 1))
def test_without_a_hint_a_wait_is_between_half_and_the_whole_of_its_bound(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    bound = min(policy.first_wait * 2.0 ** (attempt - 1), policy.longest_wait)
    wait = policy.wait_seconds(TransportError("It failed."), attempt, jitter)
    assert bound / 2 <= wait <= bound <= policy.longest_wait


@fixed
@given(policy=policies, attempt=st.integers(1, 50), jitter=st.floats(0, 1), hint=st.floats(0, 1000))
def test_a_hint_is_kept_and_overstayed_by_a_tenth_at_most(
    policy: RetryPolicy, attempt: int, jitter: float, hint: float
) -> None:
    error = ThrottleError("It failed.", retry_after=hint)
    wait = policy.wait_seconds(error, attempt, jitter)
    assert hint <= wait <= hint * 1.1 + 1e-9
    if policy.should_retry(error, attempt):
        assert wait <= policy.longest_wait * 1.1 + 1e-9


@fixed
@given(policy=policies, jitters=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_more_jitter_is_never_a_shorter_wait(policy: RetryPolicy, jitters: tuple[float, float]) -> None:
    less, more = sorted(jitters)
    for error in (TransientError("It failed."), ThrottleError("It failed.", retry_after=7.0)):
        assert policy.wait_seconds(error, 2, less) <= policy.wait_seconds(error, 2, more)


# ---- the header ----


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("Sun, 22 Nov 2026 15:08:30 GMT", 90.0),
        ("Sun, 22 Nov 2026 16:08:30 +0100", 90.0),
        ("Sun, 22 Nov 2026 15:08:30 -0000", 90.0),
        ("Sun, 22 Nov 2026 15:00:00 GMT", 0.0),
        ("Sun, 99 Nov 2026 15:00:00 GMT", None),
        ("Sun, 22 Nov 99999999999999999999 15:00:00 GMT", None),
        ("Sun, 22 Nov 2026 15:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@fixed
@given(
    wait=st.integers(-100_000, 100_000),
    zone=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_a_date_is_understood_in_every_zone(wait: int, zone: timezone) -> None:
    at = (NOW + timedelta(seconds=wait)).astimezone(zone)
    assert retry_after_seconds(format_datetime(at), NOW) == max(0.0, wait)


_PIECES = st.sampled_from(
    ["Sun, ", "22 ", "Nov ", "2026 ", "15:07:00 ", "GMT", "+0100", "-", ":", "99", "1e999", "nan", "inf", " ", ",", "٣"]
)


@fixed
@given(st.text(max_size=40) | st.lists(_PIECES, max_size=9).map("".join))
def test_whatever_the_header_holds_it_is_seconds_or_nothing(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0.0


# ---- the client ----


def test_the_client_calls_again_until_it_gets_an_answer(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("html", times=1)
        session.simulator.faults.add("reset", skip=1, times=1)
        session.simulator.faults.add("graph_error", skip=2, times=1, code=2)
        assert session.me()["id"]
        assert session.calls == 4
        assert session.waits == [0.5, 1.0, 2.0]


def test_the_client_gives_up_after_its_last_attempt_and_does_not_wait_then(world: World) -> None:
    with talk(world, retry=RetryPolicy(attempts=4)) as session:
        session.simulator.faults.add("graph_error", times=None, code=2)
        assert type(session.fails()) is TransientError
        assert session.calls == 4
        assert session.waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("code", [190, 200, 100, 803, 2642, 3018])
def test_the_client_does_not_repeat_a_call_that_will_fail_again(code: int, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", times=None, code=code)
        assert not isinstance(session.fails(), RetryableError)
        assert (session.calls, session.waits) == (1, [])


def test_the_clients_waits_are_spread_by_its_jitter(world: World) -> None:
    jitters = itertools.cycle([0.0, 0.5, 1.0])
    with talk(world, jitter=lambda: next(jitters)) as session:
        session.simulator.faults.add("graph_error", times=3, code=2)
        session.me()
        assert session.waits == [0.5, 1.5, 4.0]


@pytest.mark.parametrize(("action", "hint"), [("graph_error", "5"), ("html", "5"), ("html", "60")])
def test_the_client_waits_as_long_as_retry_after_says(action: str, hint: str, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add(action, times=2, code=4, headers={"retry-after": hint})
        session.me()
        assert session.waits == [float(hint), float(hint)]


def test_the_client_understands_a_date_in_retry_after(world: World) -> None:
    past, soon = datetime(2020, 1, 1, tzinfo=UTC), NOW + timedelta(seconds=30)
    future = datetime(9000, 1, 1, tzinfo=UTC)
    with talk(world) as session:
        for at in (past, soon):
            session.simulator.faults.clear()
            session.simulator.faults.add("html", headers={"retry-after": format_datetime(at, usegmt=True)})
            session.me()
        assert session.waits == [0.0, 30.0]
        session.simulator.faults.clear()
        session.simulator.faults.add("html", headers={"retry-after": format_datetime(future, usegmt=True)})
        assert (session.fails().retry_after or 0) > 1e9
        assert session.waits == [0.0, 30.0]


def test_the_client_raises_instead_of_waiting_longer_than_its_policy(world: World) -> None:
    with talk(world, retry=RetryPolicy(longest_wait=30.0)) as session:
        session.simulator.faults.add("html", headers={"retry-after": "31"}, times=None)
        error = session.fails()
        assert (type(error), error.retry_after) == (TransportError, 31.0)
        assert (session.calls, session.waits) == (1, [])


@pytest.mark.parametrize(("headers", "wait"), [({"retry-after": "6"}, 6.0), ({"retry-after": "0"}, 60.0), ({}, 60.0)])
def test_a_throttle_is_raised_with_its_wait_after_one_call(headers: dict[str, str], wait: float, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=4, headers=headers, times=None)
        error = session.fails()
        assert (type(error), error.retry_after) == (ThrottleError, wait)
        # The next one is told so without a call.
        error = session.fails()
        assert (type(error), error.retry_after) == (BlockedError, wait)
        assert (session.calls, session.waits) == (1, [])
