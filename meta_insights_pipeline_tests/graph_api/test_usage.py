"""The usage headers: how full the budgets are, and how long to wait, in minutes here and in seconds there."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.errors import ThrottleError, TransientError
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.graph_api.usage import Usage, read_usage
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import daily, failure, talk

APP = "x-app-usage"
ACCOUNT = "x-ad-account-usage"
CASES = "x-business-use-case-usage"
THROTTLE = "x-fb-ads-insights-throttle"
PATIENT = RetryPolicy(longest_wait=7200.0)


def _case(**values: object) -> dict[str, object]:
    return {"type": "ads_insights", "call_count": 1, "total_cputime": 1, "total_time": 1, **values}


# ---- how full ----


@pytest.mark.parametrize(
    ("header", "value", "percent"),
    [
        (APP, {"call_count": 28, "total_time": 25, "total_cputime": 26}, 28.0),
        (APP, {"call_count": 5, "total_time": 25, "total_cputime": 113}, 113.0),
        (ACCOUNT, {"acc_id_util_pct": 9.67, "reset_time_duration": 100}, 9.67),
        (THROTTLE, {"app_id_util_pct": 0.02, "acc_id_util_pct": 10, "ads_api_access_tier": "standard_access"}, 10.0),
        (THROTTLE, {"app_id_util_pct": 99.5, "acc_id_util_pct": 10}, 99.5),
        (CASES, {"1": [_case(call_count=12)]}, 12.0),
        (CASES, {"1": [_case(), _case(total_cputime=40)], "2": [_case(total_time=77)]}, 77.0),
        (APP, {"call_count": 0}, 0.0),
    ],
)
def test_the_fullest_budget_of_a_header_counts(header: str, value: object, percent: float) -> None:
    assert read_usage({header: json.dumps(value)}).percent == percent


def test_the_fullest_budget_of_all_headers_counts() -> None:
    headers = {
        APP: json.dumps({"call_count": 28}),
        ACCOUNT: json.dumps({"acc_id_util_pct": 61.5}),
        CASES: json.dumps({"1": [_case(call_count=12)]}),
        THROTTLE: json.dumps({"app_id_util_pct": 3}),
    }
    assert read_usage(headers).percent == 61.5


def test_a_missing_header_is_not_zero() -> None:
    assert read_usage({}) == Usage(percent=None, wait_seconds=None)
    assert read_usage({"x-other": "{}"}) == Usage(percent=None, wait_seconds=None)


UNREADABLE = ("null", '"12"', "true", "NaN", "Infinity", "1" + 400 * "0", "[1]")


@pytest.mark.parametrize(
    "text", ["", "{", "null", "17", "[]", '"text"', *(f'{{"call_count":{value}}}' for value in UNREADABLE)]
)
@pytest.mark.parametrize("header", [APP, ACCOUNT, THROTTLE, CASES])
def test_what_cannot_be_read_counts_as_missing(header: str, text: str) -> None:
    assert read_usage({header: text}) == Usage(percent=None, wait_seconds=None)


@pytest.mark.parametrize("entries", [None, 3, "text", {}, [], [None], ["text"], [[]], [{}]])
def test_use_cases_that_cannot_be_read_leave_the_others_readable(entries: object) -> None:
    headers = {CASES: json.dumps({"1": entries, "2": [_case(call_count=12)]})}
    assert read_usage(headers).percent == 12.0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["1", "call_count", "acc_id_util_pct", "reset_time_duration", "estimated_time_to_regain_access"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=9,
)


@settings(derandomize=True, database=None, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([APP, ACCOUNT, CASES, THROTTLE]), _JSON.map(json.dumps) | st.text(max_size=20), max_size=4
    )
)
def test_no_header_breaks_the_reading(headers: dict[str, str]) -> None:
    usage = read_usage(headers)
    assert usage.wait_seconds is None or usage.wait_seconds > 0


# ---- how long ----


def test_the_time_to_regain_access_is_in_minutes() -> None:
    assert read_usage({CASES: json.dumps({"1": [_case(estimated_time_to_regain_access=3)]})}).wait_seconds == 180.0


def test_the_time_until_the_score_is_reset_is_in_seconds_and_counts_once_the_score_is_full() -> None:
    full = {"acc_id_util_pct": 100, "reset_time_duration": 300}
    assert read_usage({ACCOUNT: json.dumps(full)}).wait_seconds == 300.0
    assert read_usage({ACCOUNT: json.dumps({**full, "acc_id_util_pct": 250.5})}).wait_seconds == 300.0
    assert read_usage({ACCOUNT: json.dumps({**full, "acc_id_util_pct": 99.99})}).wait_seconds is None
    assert read_usage({ACCOUNT: json.dumps({"reset_time_duration": 300})}).wait_seconds is None


def test_the_longest_wait_of_all_headers_counts() -> None:
    headers = {
        CASES: json.dumps({"1": [_case(estimated_time_to_regain_access=3), _case(estimated_time_to_regain_access=1)]}),
        ACCOUNT: json.dumps({"acc_id_util_pct": 100, "reset_time_duration": 300}),
    }
    assert read_usage(headers).wait_seconds == 300.0
    headers[CASES] = json.dumps({"1": [_case(estimated_time_to_regain_access=6)]})
    assert read_usage(headers).wait_seconds == 360.0


@pytest.mark.parametrize("minutes", [0, -3, None, "5", True])
def test_no_wait_is_nothing_and_not_zero(minutes: object) -> None:
    headers = {CASES: json.dumps({"1": [_case(estimated_time_to_regain_access=minutes)]})}
    assert read_usage(headers).wait_seconds is None


# ---- the client ----


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({CASES: json.dumps({"1": [_case(estimated_time_to_regain_access=2)]})}, 120.0),
        ({ACCOUNT: json.dumps({"acc_id_util_pct": 101, "reset_time_duration": 45})}, 45.0),
        # What the server asks for in so many words goes before what its budgets suggest.
        ({CASES: json.dumps({"1": [_case(estimated_time_to_regain_access=2)]}), "retry-after": "9"}, 9.0),
        ({}, 0.5),
    ],
)
def test_a_throttled_client_waits_as_the_headers_say(headers: dict[str, str], wait: float, world: World) -> None:
    with talk(world, retry=PATIENT) as session:
        session.simulator.faults.add("graph_error", code=80000, subcode=2446079, headers=headers)
        session.me()
        assert session.waits == [wait]


def test_the_names_of_headers_are_read_in_any_case(world: World) -> None:
    headers = {"X-Business-Use-Case-Usage": json.dumps({"1": [_case(estimated_time_to_regain_access=2)]})}
    with talk(world, served=True, retry=PATIENT) as session:
        session.simulator.faults.add("graph_error", code=17, headers=headers)
        session.me()
        assert session.waits == [120.0]


def test_a_full_budget_does_not_delay_a_call_that_failed_for_another_reason(world: World) -> None:
    headers = {CASES: json.dumps({"1": [_case(call_count=100, estimated_time_to_regain_access=30)]})}
    with talk(world, retry=PATIENT) as session:
        session.simulator.faults.add("graph_error", code=2, headers=headers)
        session.simulator.faults.add("graph_error", code=2, headers=headers, skip=1, times=None)
        error = session.fails()
        assert (type(error), error.retry_after) == (TransientError, None)
        assert session.waits == [0.5, 1.0, 2.0, 4.0]


def test_a_spent_budget_is_told_with_its_wait_and_not_waited_for(world: World) -> None:
    with talk(world, simulator={"budgets": {"ads_insights": 2}}) as session:
        session.pages(daily(limit="40"))
        error = failure(lambda: session.pages(daily(limit="40")))
        assert type(error) is ThrottleError
        assert (error.code, error.subcode) == (80000, 2446079)
        # Every call of the hour was made at one moment, so that the budget is free again an hour later.
        assert error.retry_after == 3600.0
        assert (session.calls, session.waits) == (3, [])
        assert session.api.meter.counts().highest_usage_percent == 150.0
