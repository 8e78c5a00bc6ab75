"""What can be made to go wrong, through the adapter."""

import json
from datetime import date

import pytest
import requests

from meta_insights_pipeline.simulator import Account, FaultRule, World
from meta_insights_pipeline_tests.simulator.support import Api, span

WEEK = {
    "level": "ad",
    "time_increment": 1,
    "time_range": span(date(2026, 11, 9), date(2026, 11, 15)),
    "fields": "ad_id",
}


def _path(account: Account) -> str:
    return f"act_{account.id}/insights"


def test_a_rule_skips_then_hits_then_rests(graph: Api) -> None:
    graph.simulator.faults.add("graph_error", skip=1, times=2, code=2, message="Service temporarily unavailable")
    assert [graph.call("GET", "me").status_code for _ in range(5)] == [200, 400, 400, 200, 200]


def test_rules_match_method_kind_path_and_parameters(graph: Api, account: Account) -> None:
    faults = graph.simulator.faults
    for conditions in (
        {"method": "POST"},
        {"kind": "insights"},
        {"path": r"/act_\d+/insights$"},
        {"query": "level=ad"},
        {"limit_above": 99},
        {"days_above": 6},
        {"rows_above": 100},
        {"account": account.id},
        {"account": f"act_{account.id}"},
        {"without_query": "limit=5", "kind": "insights"},
    ):
        faults.clear()
        faults.add(FaultRule("graph_error", times=None, **conditions))
        assert graph.call("GET", "me").status_code == 200, conditions
        method = "POST" if "method" in conditions else "GET"
        assert graph.call(method, _path(account), **WEEK, limit=100).status_code == 500, conditions
    faults.clear()
    faults.add("graph_error", limit_above=100, times=None)
    faults.add("graph_error", days_above=7, times=None)
    assert graph.call("GET", _path(account), **WEEK, limit=100).status_code == 200


def test_rules_on_rows_look_at_the_whole_result_of_direct_calls_and_new_reports(graph: Api, account: Account) -> None:
    total = len(graph.rows(_path(account), **WEEK))
    run = graph.call("POST", _path(account), **WEEK).json()["report_run_id"]
    graph.simulator.faults.add("graph_error", rows_above=total, times=None)
    assert graph.call("GET", _path(account), **WEEK).status_code == 200
    graph.simulator.faults.add("graph_error", rows_above=total - 1, times=None)
    assert graph.call("GET", _path(account), **WEEK, limit=1).status_code == 500
    assert graph.call("POST", _path(account), **WEEK).status_code == 500
    assert graph.call("GET", f"{run}/insights").status_code == 200
    campaigns = {**WEEK, "level": "campaign"}
    assert graph.call("GET", _path(account), **campaigns).status_code == 200
    # What is refused anyway has no rows.
    assert graph.error(_path(account), level="nonsense")["code"] == 100


def test_rules_on_an_account_hit_its_objects_and_reports_and_no_other_account(
    world: World, graph: Api, account: Account
) -> None:
    other = world.accounts[1]
    ad = graph.get(f"act_{account.id}/ads", limit=1)["data"][0]["id"]
    run = graph.call("POST", _path(account), **WEEK).json()["report_run_id"]
    graph.simulator.faults.add("graph_error", account=account.id, times=None)
    for path in (_path(account), f"act_{account.id}", f"act_{account.id}/ads", ad, f"{ad}/insights", run):
        assert graph.call("GET", path).status_code == 500, path
    for path in (_path(other), f"act_{other.id}/ads", "me", "me/adaccounts"):
        assert graph.call("GET", path).status_code == 200, path


def test_rules_may_ask_for_parameters_that_are_not_there(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("graph_error", without_query="filtering=", times=None)
    assert graph.call("GET", _path(account), **WEEK).status_code == 500
    condition = [{"field": "impressions", "operator": "GREATER_THAN", "value": 0}]
    assert graph.call("GET", _path(account), **WEEK, filtering=condition).status_code == 200


def test_errors_are_what_the_rule_says(graph: Api, account: Account) -> None:
    graph.simulator.faults.add(
        "graph_error",
        code=4,
        subcode=1504022,
        status=403,
        message="(#4) Application request limit reached",
        is_transient=True,
        headers={"Retry-After": "60"},
    )
    response = graph.call("GET", _path(account))
    assert response.status_code == 403
    assert response.headers["retry-after"] == "60"
    error = response.json()["error"]
    assert (error["code"], error["error_subcode"], error["is_transient"]) == (4, 1504022, True)
    assert graph.call("GET", _path(account)).status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503])
def test_servers_may_answer_in_html(graph: Api, status: int) -> None:
    graph.simulator.faults.add("html", status=status)
    response = graph.call("GET", "me")
    assert response.status_code == status
    assert response.text.startswith("<!DOCTYPE html>")
    assert response.headers["content-type"].startswith("text/html")


def test_success_may_be_plain_text(graph: Api) -> None:
    graph.simulator.faults.add("text")
    response = graph.call("GET", "me")
    assert (response.status_code, response.text) == (200, "Service Unavailable")


def test_json_may_be_truncated(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("truncate")
    response = graph.call("GET", _path(account))
    assert response.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_connections_may_be_reset_before_or_within_the_answer(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("reset")
    with pytest.raises(requests.exceptions.ConnectionError):
        graph.call("GET", "me")
    graph.simulator.faults.add("cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        graph.call("GET", _path(account), **WEEK)
    assert graph.call("GET", "me").status_code == 200


def test_a_hanging_server_runs_into_the_timeout(graph: Api) -> None:
    url = "https://graph.facebook.com/v26.0/me?access_token=token"
    for action in ("hang", "slow"):
        graph.simulator.faults.add(action, seconds=0.2)
        with pytest.raises(requests.exceptions.ReadTimeout):
            graph.session.get(url, timeout=(1, 0.01))
    graph.simulator.faults.add("slow", seconds=0.01)
    assert graph.session.get(url, timeout=1).status_code == 200
    graph.simulator.faults.add("hang", seconds=0.01)
    with pytest.raises(requests.exceptions.ConnectionError):
        graph.session.get(url)


def test_a_body_may_drip(graph: Api, account: Account) -> None:
    whole = graph.call("GET", _path(account), **WEEK).content
    graph.simulator.faults.add("slow_body", seconds=0.05, times=2)
    assert graph.call("GET", _path(account), **WEEK).content == whole
    with graph.session.get(
        f"https://graph.facebook.com/v26.0/act_{account.id}", params={"access_token": "token"}, stream=True
    ) as response:
        assert b"".join(response.iter_content(16)).startswith(b"{")


def test_a_body_that_drips_comes_piece_by_piece_to_who_reads_what_is_there(graph: Api, account: Account) -> None:
    whole = graph.call("GET", _path(account), **WEEK).content
    graph.simulator.faults.add("slow_body", seconds=0.05)
    url = f"https://graph.facebook.com/v26.0/{_path(account)}"
    params = {**{name: json.dumps(value) for name, value in WEEK.items()}, "access_token": "token", "level": "ad"}
    with graph.session.get(url, params={**params, "fields": "ad_id"}, stream=True) as response:
        pieces = []
        while piece := response.raw.read1(1 << 18, decode_content=True):
            pieces.append(piece)
    assert b"".join(pieces).startswith(whole[:1000])
    assert len(pieces) == 10


def test_headers_may_be_changed(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("headers", headers={"X-FB-Ads-Insights-Throttle": '{"app_id_util_pct":97.0}'})
    response = graph.call("GET", _path(account))
    assert response.status_code == 200
    assert response.headers["X-FB-Ads-Insights-Throttle"] == '{"app_id_util_pct":97.0}'


@pytest.mark.parametrize("action", ["short_page", "empty_page"])
@pytest.mark.parametrize("skip", [0, 1])
def test_short_and_empty_pages_lose_nothing_for_who_follows_next(
    graph: Api, account: Account, action: str, skip: int
) -> None:
    whole = graph.rows(_path(account), **WEEK)
    graph.simulator.faults.add(action, skip=skip)
    pages = list(graph.pages(_path(account), **WEEK))
    assert [row for page in pages for row in page["data"]] == whole
    assert len(pages[skip]["data"]) < 25
    assert "next" in pages[skip]["paging"]


def test_a_row_may_come_twice_on_two_pages(graph: Api, account: Account) -> None:
    whole = graph.rows(_path(account), **WEEK)
    graph.simulator.faults.add("duplicate_row", skip=1)
    pages = list(graph.pages(_path(account), **WEEK))
    rows = [row for page in pages for row in page["data"]]
    assert pages[1]["data"][0] == pages[0]["data"][-1]
    assert len(rows) == len(whole) + 1
    assert [row for place, row in enumerate(rows) if place != 25] == whole


def test_rows_may_have_parts_that_nobody_asked_for(graph: Api, account: Account) -> None:
    asked = {**WEEK, "fields": "impressions,actions"}
    whole = graph.rows(_path(account), **asked)
    kind = whole[0]["actions"][0]["action_type"]
    news = [{"action_type": kind, "7d_gaze": "1"}, {"action_type": "gaze.into_space", "value": "2"}]
    graph.simulator.faults.add("new_parts", body=json.dumps({"gazes": 1.5, "actions": news}))
    first = graph.get(_path(account), **asked)["data"][0]
    assert first["gazes"] == 1.5
    assert first["actions"][0] == {**whole[0]["actions"][0], "7d_gaze": "1"}
    assert first["actions"][-1] == news[1]
    assert {**first, "actions": None} == {**whole[0], "gazes": 1.5, "actions": None}
    with pytest.raises(ValueError, match="JSON object"):
        graph.simulator.faults.add("new_parts", body="[]")


def test_a_cursor_may_loop_past_the_end(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("looping_cursor", times=None)
    page = graph.get(_path(account), **WEEK, limit=5000)
    assert page["data"]
    for _ in range(3):
        following = graph.session.get(page["paging"]["next"]).json()
        assert following["data"] == []
        assert following["paging"]["cursors"]["after"] == page["paging"]["cursors"]["after"]
        page = following


def test_a_fault_counts_where_it_applies(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("short_page")
    graph.simulator.faults.add("job_failed")
    graph.get("me")
    graph.get(_path(account), **WEEK)
    run = graph.call("POST", _path(account), **WEEK).json()["report_run_id"]
    assert graph.get(run)["async_status"] == "Job Failed"


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        FaultRule("explode")
    with pytest.raises(ValueError, match="does not know"):
        FaultRule.from_json({"action": "reset", "often": 3})
    with pytest.raises(ValueError, match="needs an action"):
        FaultRule.from_json({})
