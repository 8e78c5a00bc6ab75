"""Versions, paths, and the log of requests."""

import pytest

from meta_insights_pipeline.simulator import Account, SimRequest
from meta_insights_pipeline_tests.simulator.support import BASE, Api


@pytest.mark.parametrize(
    ("asked", "served", "warned"),
    [("v26.0", "v26.0", False), ("v25.0", "v25.0", False), ("v21.0", "v26.0", True), ("v99.0", "v26.0", True)],
)
def test_versions_that_are_gone_are_upgraded_with_a_warning(graph: Api, asked: str, served: str, warned: bool) -> None:
    response = graph.session.get(f"{BASE}/{asked}/me", params={"access_token": "token"})
    assert response.status_code == 200
    assert response.headers["facebook-api-version"] == served
    assert ("x-ad-api-version-warning" in response.headers) is warned


def test_a_path_without_version_is_served_by_the_newest(graph: Api) -> None:
    response = graph.session.get(f"{BASE}/me", params={"access_token": "token"})
    assert response.headers["facebook-api-version"] == "v26.0"


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("act_{account}/nonsense", 2500, 400),
        ("act_{account}/ads/more", 2500, 400),
        ("act_abc/insights", 100, 400),
        ("nonsense", 803, 404),
        ("12345", 803, 404),
        ("", 100, 400),
    ],
)
def test_paths_that_lead_nowhere_are_errors(graph: Api, account: Account, path: str, code: int, status: int) -> None:
    error = graph.error(path.format(account=account.id))
    assert (error["code"], error["status"]) == (code, status)


def test_a_post_may_ask_to_be_read_as_a_get(graph: Api, account: Account) -> None:
    form = {"access_token": "token", "method": "GET", "fields": "spend"}
    response = graph.session.post(f"{BASE}/v26.0/act_{account.id}/insights", data=form)
    assert response.json()["data"]


def test_other_methods_are_refused(graph: Api, account: Account) -> None:
    for method in ("POST", "DELETE"):
        assert graph.call(method, f"act_{account.id}").json()["error"]["code"] == 100


def test_requests_are_logged_without_secrets(graph: Api, account: Account) -> None:
    graph.get("me")
    graph.get("me/adaccounts")
    graph.get(f"act_{account.id}", fields="name")
    graph.get(f"act_{account.id}/insights", level="ad")
    graph.error(f"act_{account.id}/insights", level="nonsense")
    log = graph.simulator.requests
    assert [record.kind for record in log] == ["me", "accounts", "account", "insights", "insights"]
    last = list(log)[-1]
    assert (last.method, last.account, last.status, last.params) == ("GET", account.id, 400, {"level": "nonsense"})
    assert log.count("insights") == 2
    assert log.count() == len(log) == 5
    assert log.counts()["account"] == 1
    log.clear()
    assert log.count() == len(log) == 0


def test_a_request_needs_no_door(graph: Api) -> None:
    response = graph.simulator.handle(SimRequest("GET", "/v26.0/me", {"access_token": "token"}))
    assert response.status == 200
    assert b'"id"' in response.body
