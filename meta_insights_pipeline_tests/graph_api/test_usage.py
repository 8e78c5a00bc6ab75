"""The usage headers: how full each budget is, and how long until it is free, in minutes here and in seconds there."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.usage import UsageReading, read_usage
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import daily, talk

APP = "x-app-usage"
ACCOUNT = "x-ad-account-usage"
CASES = "x-business-use-case-usage"
THROTTLE = "x-fb-ads-insights-throttle"
FULL = "standard_access"


def _case(**values: object) -> dict[str, object]:
    return {"type": "ads_insights", "call_count": 1, "total_cputime": 1, "total_time": 1, **values}


def _read(header: str, value: object, account: str | None = "7") -> list[UsageReading]:
    return read_usage({header: json.dumps(value)}, account)


def _percents(readings: list[UsageReading]) -> dict[tuple[str | None, str, str], float | None]:
    return {(reading.account, reading.budget, reading.header): reading.percent for reading in readings}


# ---- how full ----


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        (APP, {"call_count": 28, "total_time": 25, "total_cputime": 26}, {(None, "app", APP): 28.0}),
        # The processor's time may bind while hardly a call was made.
        (APP, {"call_count": 5, "total_time": 25, "total_cputime": 113}, {(None, "app", APP): 113.0}),
        (APP, {"call_count": 0}, {(None, "app", APP): 0.0}),
        (ACCOUNT, {"acc_id_util_pct": 9.67, "reset_time_duration": 100}, {("7", "score", ACCOUNT): 9.67}),
        (
            THROTTLE,
            {"app_id_util_pct": 0.02, "acc_id_util_pct": 10, "ads_api_access_tier": FULL},
            {(None, "app", THROTTLE): 0.02, ("7", "ads_insights", THROTTLE): 10.0},
        ),
        (THROTTLE, {"app_id_util_pct": 99.5}, {(None, "app", THROTTLE): 99.5}),
        (CASES, {"1": [_case(call_count=12)]}, {("1", "ads_insights", CASES): 12.0}),
        (
            CASES,
            {"1": [_case(), _case(type="ads_management", total_cputime=40)], "2": [_case(total_time=77)]},
            {
                ("1", "ads_insights", CASES): 1.0,
                ("1", "ads_management", CASES): 40.0,
                ("2", "ads_insights", CASES): 77.0,
            },
        ),
    ],
)
def test_each_header_tells_of_its_own_budgets_by_their_fullest_metric(
    header: str, value: object, expected: dict[tuple[str | None, str, str], float]
) -> None:
    assert _percents(_read(header, value)) == expected


def test_headers_are_kept_apart_even_where_they_speak_of_one_budget() -> None:
    headers = {
        CASES: json.dumps({"7": [_case(call_count=12)]}),
        THROTTLE: json.dumps({"acc_id_util_pct": 61.5}),
    }
    assert _percents(read_usage(headers, "7")) == {
        ("7", "ads_insights", CASES): 12.0,
        ("7", "ads_insights", THROTTLE): 61.5,
    }


@pytest.mark.parametrize(
    ("account", "named", "expected"),
    [("7", ["7"], "7"), ("7", ["8"], "7"), (None, ["8"], "8"), (None, ["8", "9"], None), (None, [], None)],
)
def test_a_header_that_does_not_name_the_account_is_about_the_one_that_was_called(
    account: str | None, named: list[str], expected: str | None
) -> None:
    headers = {CASES: json.dumps({one: [_case()] for one in named}), ACCOUNT: json.dumps({"acc_id_util_pct": 3})}
    assert read_usage(headers, account)[-1] == UsageReading(expected, "score", ACCOUNT, 3.0)


def test_a_missing_header_is_not_zero() -> None:
    assert read_usage({}) == []
    assert read_usage({"x-other": "{}"}, "7") == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (ACCOUNT, {"acc_id_util_pct": 1, "ads_api_access_tier": "development_access"}),
        (THROTTLE, {"acc_id_util_pct": 1, "ads_api_access_tier": "development_access"}),
        (CASES, {"7": [_case(ads_api_access_tier="development_access")]}),
    ],
)
def test_the_access_tier_is_read(header: str, value: object) -> None:
    (reading,) = _read(header, value)
    assert reading.tier == "development_access"


UNREADABLE = ("null", '"12"', "true", "NaN", "Infinity", "1" + 400 * "0", "[1]")


@pytest.mark.parametrize(
    "text", ["", "{", "null", "17", "[]", '"text"', *(f'{{"call_count":{value}}}' for value in UNREADABLE)]
)
@pytest.mark.parametrize("header", [APP, ACCOUNT, THROTTLE, CASES])
def test_what_cannot_be_read_counts_as_missing(header: str, text: str) -> None:
    assert read_usage({header: text}, "7") == []


@pytest.mark.parametrize("entries", [None, 3, "text", {}, [], [None], ["text"], [[]], [{}], [{"type": 3}]])
def test_use_cases_that_cannot_be_read_leave_the_others_readable(entries: object) -> None:
    readings = _read(CASES, {"1": entries, "2": [_case(call_count=12)]})
    assert _percents(readings) == {("2", "ads_insights", CASES): 12.0}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["1", "type", "call_count", "acc_id_util_pct", "reset_time_duration", "estimated_time_to_regain_access"]
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
    for reading in read_usage(headers, "7"):
        assert reading.regain_seconds is None or reading.regain_seconds > 0
        assert reading.reset_seconds is None or reading.reset_seconds > 0


# ---- how long ----


def test_the_time_to_regain_access_is_in_minutes() -> None:
    (reading,) = _read(CASES, {"1": [_case(estimated_time_to_regain_access=3)]})
    assert (reading.regain_seconds, reading.reset_seconds) == (180.0, None)


def test_the_time_until_the_score_is_reset_is_in_seconds() -> None:
    (reading,) = _read(ACCOUNT, {"acc_id_util_pct": 100, "reset_time_duration": 300})
    assert (reading.regain_seconds, reading.reset_seconds) == (None, 300.0)


@pytest.mark.parametrize("value", [0, -3, None, "5", True])
def test_no_time_is_nothing_and_not_zero(value: object) -> None:
    (case,) = _read(CASES, {"1": [_case(estimated_time_to_regain_access=value)]})
    (score,) = _read(ACCOUNT, {"acc_id_util_pct": 100, "reset_time_duration": value})
    assert case.regain_seconds is None
    assert score.reset_seconds is None


# ---- the client ----


def test_the_fullest_budget_of_every_answer_is_counted_whatever_the_case_of_its_header(world: World) -> None:
    headers = {"X-Business-Use-Case-Usage": json.dumps({"1": [_case(total_cputime=62)]})}
    with talk(world, served=True) as session:
        session.pages(daily(limit="100"))
        assert session.api.meter.counts().highest_usage_percent is not None
        session.simulator.faults.add("headers", headers=headers)
        session.me()
        assert session.api.meter.counts().highest_usage_percent == 62.0
