"""Budgets and the headers that tell how much of them is used."""

import json
from datetime import timedelta
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, World
from meta_insights_pipeline.simulator.usage import INSIGHTS, MANAGEMENT, UsageMeter
from meta_insights_pipeline_tests.simulator.support import Api, api


def _headers(graph: Api, path: str, method: str = "GET") -> dict[str, Any]:
    headers = graph.call(method, path).headers
    return {name: json.loads(text) for name, text in headers.items() if "usage" in name or "throttle" in name}


def test_insights_answers_carry_all_four_headers(graph: Api, account: Account) -> None:
    for method in ("GET", "POST"):
        headers = _headers(graph, f"act_{account.id}/insights", method)
        assert set(headers) == {
            "x-app-usage",
            "x-ad-account-usage",
            "x-business-use-case-usage",
            "x-fb-ads-insights-throttle",
        }
        assert set(headers["x-app-usage"]) == {"call_count", "total_time", "total_cputime"}
        assert set(headers["x-ad-account-usage"]) == {"acc_id_util_pct", "reset_time_duration", "ads_api_access_tier"}
        ((case,),) = headers["x-business-use-case-usage"].values()
        assert list(headers["x-business-use-case-usage"]) == [account.id]
        assert case["type"] == "ads_insights"
        assert case["ads_api_access_tier"] == "standard_access"
        assert headers["x-fb-ads-insights-throttle"]["ads_api_access_tier"] == "standard_access"


def test_structure_answers_count_against_another_budget(graph: Api, account: Account) -> None:
    headers = _headers(graph, f"act_{account.id}/ads")
    assert headers["x-business-use-case-usage"][account.id][0]["type"] == "ads_management"
    assert "x-fb-ads-insights-throttle" not in headers


def test_every_answer_tells_its_version_and_trace(graph: Api) -> None:
    response = graph.call("GET", "me")
    assert response.headers["facebook-api-version"] == "v26.0"
    assert response.headers["x-fb-trace-id"]
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("tier", "use_case", "expected"),
    [
        ("development_access", INSIGHTS, 600 + 400 * 50),
        ("standard_access", INSIGHTS, 190_000 + 400 * 50),
        ("development_access", MANAGEMENT, 300 + 40 * 50),
        ("standard_access", MANAGEMENT, 100_000 + 40 * 50),
    ],
)
def test_budgets_follow_tier_and_active_ads(tier: str, use_case: str, expected: int) -> None:
    assert UsageMeter(tier).budget(use_case, 50) == expected


@pytest.mark.parametrize(
    ("tier", "points", "seconds"), [("development_access", 60, 300), ("standard_access", 9000, 60)]
)
def test_an_account_may_score_so_many_points_in_five_minutes(tier: str, points: int, seconds: int) -> None:
    meter = UsageMeter(tier)
    for number in range(points):
        meter.count("1", (INSIGHTS, MANAGEMENT)[number % 2], 1000.0 + number * 250 // points)
    assert meter.block_by_score("1", 1250.0) == 0
    meter.count("1", INSIGHTS, 1250.0)
    assert meter.block_by_score("1", 1250.0) == seconds
    assert meter.block_by_score("2", 1250.0) == 0
    assert meter.block_by_score("1", 1300.0) == 0


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="known are development_access, standard_access"):
        UsageMeter("gold")


@pytest.mark.parametrize(("edge", "case", "code"), [("insights", INSIGHTS, 80000), ("ads", MANAGEMENT, 80004)])
def test_a_spent_budget_blocks_the_account_until_the_hour_is_over(
    world: World, account: Account, edge: str, case: str, code: int
) -> None:
    with api(world, budgets={case: 4}) as graph:
        clock = graph.simulator.clock
        assert isinstance(clock, SimulatedClock)
        path = f"act_{account.id}/{edge}"
        for _ in range(4):
            graph.get(path)
            clock.advance(timedelta(minutes=5))
        error = graph.error(path)
        assert (error["status"], error["code"], error["error_subcode"]) == (400, code, 2446079)
        assert error["is_transient"] is False
        blocked = graph.call("GET", path)
        (usage,) = json.loads(blocked.headers["x-business-use-case-usage"])[account.id]
        assert usage["call_count"] > 100
        # Two calls were made while blocked, so that three of the first four have to leave the hour.
        assert usage["estimated_time_to_regain_access"] == 50
        assert graph.get(f"act_{world.accounts[1].id}/{edge}")
        clock.advance(timedelta(minutes=51))
        assert graph.get(path)


def test_every_entry_of_a_batch_counts(world: World, account: Account) -> None:
    with api(world, budgets={INSIGHTS: 2}) as graph:
        entries = [{"method": "GET", "relative_url": f"act_{account.id}/insights"}] * 3
        answers = graph.call("POST", "", batch=entries).json()
        assert [answer["code"] for answer in answers] == [200, 200, 400]
        assert json.loads(answers[2]["body"])["error"]["code"] == 80000
