"""Blocks: what they close and for how long, what callers are told, and which calls are held against them."""

import json
import threading
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from meta_insights_pipeline.simulator import Account, FaultRule, SimulatedClock, World
from meta_insights_pipeline.simulator.blocks import Block, Blocks, Serving
from meta_insights_pipeline.simulator.usage import INSIGHTS, MANAGEMENT
from meta_insights_pipeline_tests.simulator.support import Api, api

BLOCKED = "x-business-use-case-usage"


def _status(graph: Api, path: str) -> tuple[int, int | None]:
    """Return HTTP status and error code of a GET."""
    response = graph.call("GET", path)
    return response.status_code, response.json().get("error", {}).get("code")


def _headers(response: requests.Response) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in response.headers.items() if "usage" in name or "throttle" in name}


@pytest.mark.parametrize(
    ("code", "closed"),
    [
        (4, {"own insights", "own ads", "own account", "other insights", "me"}),
        (17, {"own insights", "own ads", "own account"}),
        (32, {"own insights", "own ads", "own account"}),
        (613, {"own insights", "own ads", "own account"}),
        (80000, {"own insights"}),
        (80003, {"own insights", "own ads", "own account"}),
        (80004, {"own ads", "own account"}),
    ],
)
def test_a_code_closes_what_it_stands_for_until_its_seconds_are_over(
    world: World, graph: Api, clock: SimulatedClock, code: int, closed: set[str]
) -> None:
    own, other = (f"act_{account.id}" for account in world.accounts[:2])
    paths = {
        "own insights": f"{own}/insights",
        "own ads": f"{own}/ads",
        "own account": own,
        "other insights": f"{other}/insights",
        "me": "me",
    }
    graph.simulator.faults.add("block", code=code, seconds=300, path=own)
    trigger = "own ads" if code == 80004 else "own insights"
    status = 403 if code == 4 else 400
    assert _status(graph, paths[trigger]) == (status, code)
    for name, path in paths.items():
        assert _status(graph, path) == ((status, code) if name in closed else (200, None)), name
    clock.advance(timedelta(seconds=299))
    assert _status(graph, paths[trigger])[1] == code
    clock.advance(timedelta(seconds=1))
    assert {_status(graph, path) for path in paths.values()} == {(200, None)}


def test_objects_and_report_runs_of_an_account_are_closed_with_it(graph: Api, account: Account) -> None:
    ad = graph.get(f"act_{account.id}/ads", limit=1)["data"][0]["id"]
    run = graph.call("POST", f"act_{account.id}/insights").json()["report_run_id"]
    graph.simulator.faults.add("block", code=17, seconds=60)
    assert [_status(graph, path)[1] for path in (f"{ad}/insights", ad, run, f"{run}/insights")] == [17] * 4


def test_minutes_and_seconds_left_are_told_in_the_headers(graph: Api, account: Account, clock: SimulatedClock) -> None:
    path = f"act_{account.id}/insights"
    graph.simulator.faults.add("block", code=80000, seconds=301)
    headers = _headers(graph.call("GET", path))
    (case,) = headers[BLOCKED][account.id]
    assert (case["type"], case["call_count"], case["estimated_time_to_regain_access"]) == (INSIGHTS, 100, 6)
    assert headers["x-fb-ads-insights-throttle"]["acc_id_util_pct"] == 100
    assert headers["x-ad-account-usage"]["acc_id_util_pct"] < 100
    clock.advance(timedelta(seconds=241))
    (case,) = _headers(graph.call("GET", path))[BLOCKED][account.id]
    assert case["estimated_time_to_regain_access"] == 1


def test_each_code_is_told_where_meta_tells_it(graph: Api, account: Account, clock: SimulatedClock) -> None:
    def refused(code: int, edge: str = "insights") -> dict[str, Any]:
        graph.simulator.faults.add("block", code=code, seconds=90)
        response = graph.call("GET", f"act_{account.id}/{edge}")
        assert response.json()["error"]["code"] == code
        clock.advance(timedelta(minutes=10))
        return _headers(response)

    seventeen = refused(17)
    assert seventeen["x-ad-account-usage"]["acc_id_util_pct"] == 100
    assert seventeen["x-ad-account-usage"]["reset_time_duration"] == 90
    assert seventeen[BLOCKED][account.id][0]["estimated_time_to_regain_access"] == 2
    six = refused(613)
    assert (six["x-ad-account-usage"]["acc_id_util_pct"], six["x-ad-account-usage"]["reset_time_duration"]) == (100, 90)
    assert six[BLOCKED][account.id][0]["estimated_time_to_regain_access"] == 0
    app = refused(4)
    assert set(app["x-app-usage"].values()) == {100}
    assert app["x-fb-ads-insights-throttle"]["app_id_util_pct"] == 100
    assert refused(80004, "ads")[BLOCKED][account.id][0]["type"] == MANAGEMENT
    audience = refused(80003)[BLOCKED][account.id]
    assert [case["type"] for case in audience] == ["custom_audience", INSIGHTS]
    assert audience[0]["estimated_time_to_regain_access"] == 2
    assert refused(32)["x-ad-account-usage"]["acc_id_util_pct"] < 100


def test_errors_are_worded_as_metas_unless_the_rule_words_them(graph: Api, account: Account) -> None:
    path = f"act_{account.id}/insights"
    graph.simulator.faults.add("block", code=17, seconds=60)
    error = graph.error(path)
    assert (error["error_subcode"], error["is_transient"]) == (2446079, False)
    assert error["error_user_title"] == "Ad account has too many API calls"
    with api(graph.simulator.world) as other:
        other.simulator.faults.add("block", code=4, subcode=1504022, status=400, message="Too much.", seconds=60)
        error = other.error(path)
        assert (error["code"], error["error_subcode"], error["status"], error["message"]) == (
            4,
            1504022,
            400,
            "Too much.",
        )


def test_calls_made_although_the_caller_knew_are_counted_by_account(
    world: World, graph: Api, account: Account, clock: SimulatedClock
) -> None:
    path, other = f"act_{account.id}/insights", f"act_{world.accounts[1].id}/insights"
    graph.simulator.faults.add("block", code=80000, seconds=60, account=account.id)
    graph.error(path)
    assert graph.simulator.calls_while_blocked == {}
    graph.get(other)
    graph.get(f"act_{account.id}/ads")
    assert graph.simulator.calls_while_blocked == {}
    graph.error(path)
    graph.error(path)
    assert graph.simulator.calls_while_blocked == {account.id: 2}
    clock.advance(timedelta(seconds=60))
    graph.get(path)
    graph.simulator.faults.add("block", code=80000, seconds=60)
    graph.error(path)
    assert graph.simulator.calls_while_blocked == {account.id: 2}
    graph.simulator.clear_counts()
    assert graph.simulator.calls_while_blocked == {}
    graph.error(path)
    assert graph.simulator.calls_while_blocked == {account.id: 1}


def test_calls_about_no_account_count_for_the_app(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("block", code=4, seconds=60)
    for path in ("me", "me/adaccounts", f"act_{account.id}/ads"):
        assert graph.error(path)["code"] == 4
    assert graph.simulator.calls_while_blocked == {"app": 1, account.id: 1}


@pytest.mark.parametrize(("edge", "case"), [("insights", INSIGHTS), ("ads", MANAGEMENT)])
def test_calls_into_a_spent_budget_are_counted_too(world: World, account: Account, edge: str, case: str) -> None:
    with api(world, budgets={case: 2}) as graph:
        clock = graph.simulator.clock
        assert isinstance(clock, SimulatedClock)
        path = f"act_{account.id}/{edge}"
        for _ in range(2):
            graph.get(path)
        graph.error(path)
        assert graph.simulator.calls_while_blocked == {}
        graph.error(path)
        assert graph.simulator.calls_while_blocked == {account.id: 1}
        clock.advance(timedelta(hours=1, seconds=1))
        for _ in range(2):
            graph.get(path)
        graph.error(path)
        assert graph.simulator.calls_while_blocked == {account.id: 1}


def test_what_was_under_way_when_the_first_refusal_left_does_not_count() -> None:
    blocks = Blocks()
    blocks.begin(Block("account/1", 17, until=100.0))
    first, at_the_same_time, later = Serving(begun=1.0), Serving(begun=1.4), Serving(begun=1.6)
    blocks.refuse("account/1", "1", first)
    blocks.tell(first, left=1.5)
    blocks.refuse("account/1", "1", at_the_same_time)
    assert blocks.counts() == {}
    blocks.refuse("account/1", "1", later)
    assert blocks.counts() == {"1": 1}


def test_two_threads_that_were_calling_when_the_block_began_are_not_held_against_anyone(
    world: World, account: Account
) -> None:
    with api(world, latency=0.1) as graph:
        graph.simulator.faults.add("block", code=17, seconds=60)
        threads = [threading.Thread(target=graph.error, args=(f"act_{account.id}/insights",)) for _ in range(2)]
        for thread in threads:
            thread.start()
            time.sleep(0.02)
        for thread in threads:
            thread.join()
        assert graph.simulator.requests.count("insights") == 2
        assert graph.simulator.calls_while_blocked == {}
        graph.error(f"act_{account.id}/insights")
        assert graph.simulator.calls_while_blocked == {account.id: 1}


def test_entries_of_a_batch_are_refused_one_by_one_and_not_held_against_each_other(
    world: World, graph: Api, account: Account
) -> None:
    own, other = (f"act_{one.id}/insights?{urlencode({'level': 'account'})}" for one in world.accounts[:2])
    entries = [{"method": "GET", "relative_url": url} for url in (own, other, own)]
    graph.simulator.faults.add("block", code=80000, seconds=60)
    assert [answer["code"] for answer in graph.call("POST", "", batch=entries).json()] == [400, 200, 400]
    assert graph.simulator.calls_while_blocked == {}
    graph.call("POST", "", batch=entries)
    assert graph.simulator.calls_while_blocked == {account.id: 2}


def test_a_call_that_arrives_at_once_after_a_refusal_was_under_way(world: World, account: Account) -> None:
    with api(world, in_flight_seconds=60.0) as graph:
        graph.simulator.faults.add("block", code=17, seconds=600)
        for _ in range(3):
            graph.error(f"act_{account.id}")
        assert graph.simulator.calls_while_blocked == {}
        count, latest = graph.simulator.calls_under_way
        assert (count, 0 <= latest < 60) == (2, True)


def test_a_block_can_say_how_long_it_lasts(graph: Api) -> None:
    graph.simulator.faults.add("block", code=4, seconds=600, headers={"Retry-After": "600"})
    assert [graph.call("GET", "me").headers["retry-after"] for _ in range(2)] == ["600", "600"]


def test_a_block_of_the_app_lets_a_batch_through_and_refuses_its_entries(graph: Api) -> None:
    graph.simulator.faults.add("block", code=4, seconds=60)
    entries = [{"method": "GET", "relative_url": "me"}] * 2
    response = graph.call("POST", "", batch=entries)
    assert response.status_code == 200
    assert [answer["code"] for answer in response.json()] == [403, 403]


def test_refused_calls_use_up_no_budget_and_no_other_fault(world: World, account: Account) -> None:
    with api(world, budgets={INSIGHTS: 2}) as graph:
        clock = graph.simulator.clock
        assert isinstance(clock, SimulatedClock)
        graph.simulator.faults.add("block", code=17, seconds=60)
        graph.simulator.faults.add("html", skip=1)
        path = f"act_{account.id}/insights"
        for _ in range(5):
            graph.error(path)
        clock.advance(timedelta(seconds=60))
        assert graph.call("GET", path).headers["content-type"].startswith("text/html")
        graph.get(path)
        graph.get(path)
        assert graph.error(path)["code"] == 80000


def test_sixty_reads_in_five_minutes_are_all_that_development_access_may_make(world: World, account: Account) -> None:
    path = f"act_{account.id}"
    with api(world, tier="development_access", score_limit=True) as graph:
        clock = graph.simulator.clock
        assert isinstance(clock, SimulatedClock)
        for number in range(60):
            graph.get(path if number % 2 else f"{path}/insights")
            clock.advance(timedelta(seconds=2))
        response = graph.call("GET", path)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["error_subcode"]) == (400, 17, 2446079)
        assert _headers(response)["x-ad-account-usage"]["reset_time_duration"] == 300
        assert graph.error(f"{path}/insights")["code"] == 17
        assert graph.simulator.calls_while_blocked == {account.id: 1}
        assert graph.get(f"act_{world.accounts[1].id}")
        clock.advance(timedelta(seconds=299))
        assert graph.error(path)["code"] == 17
        clock.advance(timedelta(seconds=1))
        assert graph.get(path)


def test_the_score_is_only_told_unless_it_is_enforced(world: World, account: Account) -> None:
    with api(world, tier="development_access") as graph:
        for _ in range(61):
            response = graph.call("GET", f"act_{account.id}")
        assert response.status_code == 200
        assert _headers(response)["x-ad-account-usage"]["acc_id_util_pct"] > 100


@pytest.mark.parametrize("conditions", [{"code": 1, "seconds": 5}, {"seconds": 5}, {"code": 17}])
def test_blocks_that_make_no_sense_are_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a block needs seconds and one of the codes 4, 17"):
        FaultRule("block", **conditions)
