"""Batches of calls."""

import json
from typing import Any
from urllib.parse import urlencode

from meta_insights_pipeline.simulator import Account, World
from meta_insights_pipeline_tests.simulator.support import Api, api
from meta_insights_pipeline_tests.simulator.test_auth import SECRET, _proof


def _get(url: str, **params: Any) -> dict[str, str]:
    return {"method": "GET", "relative_url": f"{url}?{urlencode(params)}" if params else url}


def test_answers_come_in_order_with_bodies_as_text_and_headers(graph: Api, account: Account) -> None:
    entries = [_get("v26.0/me"), _get(f"act_{account.id}/insights", fields="spend"), _get("act_1"), _get("v25.0/me")]
    response = graph.call("POST", "", batch=entries)
    answers = response.json()
    assert response.status_code == 200
    assert [answer["code"] for answer in answers] == [200, 200, 400, 200]
    assert json.loads(answers[1]["body"])["data"]
    assert json.loads(answers[2]["body"])["error"]["error_subcode"] == 33
    names = {header["name"].lower() for header in answers[1]["headers"]}
    assert {"x-business-use-case-usage", "x-fb-ads-insights-throttle", "facebook-api-version"} <= names
    versions = [h["value"] for h in answers[3]["headers"] if h["name"] == "facebook-api-version"]
    assert versions == ["v25.0"]


def test_headers_can_be_left_out(graph: Api) -> None:
    (answer,) = graph.call("POST", "", batch=[_get("me")], include_headers="false").json()
    assert set(answer) == {"code", "body"}


def test_report_runs_can_be_made_and_looked_at(graph: Api, account: Account) -> None:
    body = urlencode({"level": "campaign", "fields": "spend"})
    (made,) = graph.call(
        "POST", "", batch=[{"method": "POST", "relative_url": f"act_{account.id}/insights", "body": body}]
    ).json()
    run = json.loads(made["body"])["report_run_id"]
    (status,) = graph.call("POST", "", batch=[_get(run, fields="async_status")]).json()
    assert json.loads(status["body"]) == {"async_status": "Job Completed", "id": run}
    assert graph.simulator.requests.count("batch") == 2
    assert graph.simulator.requests.count("create_run") == 1
    assert graph.simulator.requests.count("run_status") == 1


def test_links_of_inner_pages_can_be_followed(graph: Api, account: Account) -> None:
    (answer,) = graph.call("POST", "", batch=[_get(f"act_{account.id}/insights", level="ad", limit=2)]).json()
    link = json.loads(answer["body"])["paging"]["next"]
    assert graph.session.get(link).json()["data"]


def test_more_than_fifty_entries_are_refused(graph: Api) -> None:
    assert len(graph.call("POST", "", batch=[_get("me")] * 50).json()) == 50
    response = graph.call("POST", "", batch=[_get("me")] * 51)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "GraphBatchException"
    assert error["message"] == "An error has occurred. No further information is available."


def test_what_is_no_batch_is_refused(graph: Api) -> None:
    for batch in ("[", '{"method":"GET"}', "[7]"):
        assert graph.call("POST", "", batch=batch).json()["error"]["code"] == 100


def test_entries_may_bring_their_own_tokens(graph: Api) -> None:
    entries = [_get("me", access_token="token"), _get("me"), _get("me", access_token="expired")]
    answers = graph.call("POST", "", batch=entries, access_token="").json()
    assert [answer["code"] for answer in answers] == [200, 400, 400]
    assert [json.loads(answer["body"])["error"]["code"] for answer in answers[1:]] == [2500, 190]
    assert graph.call("POST", "", batch=entries, access_token="invalid").json()["error"]["code"] == 190


def test_entries_inherit_token_and_proof(world: World) -> None:
    with api(world, app_secret=SECRET) as graph:
        (answer,) = graph.call("POST", "", batch=[_get("me")], appsecret_proof=_proof("token")).json()
        assert answer["code"] == 200
        assert graph.call("POST", "", batch=[_get("me")]).json()["error"]["code"] == 100


def test_an_entry_may_be_null(graph: Api) -> None:
    graph.simulator.faults.add("null_batch_element", kind="me", skip=1)
    answers = graph.call("POST", "", batch=[_get("me")] * 3).json()
    assert [answer is None for answer in answers] == [False, True, False]
    assert graph.call("GET", "me").status_code == 200


def test_a_batch_in_a_batch_is_refused(graph: Api) -> None:
    (answer,) = graph.call("POST", "", batch=[{"method": "POST", "relative_url": "", "body": "batch=[]"}]).json()
    assert answer["code"] == 400
