"""Accounts that are disabled, closed, forbidden or gone."""

from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, World, entity_truth
from meta_insights_pipeline_tests.simulator.support import NOW, Api


def _listed(graph: Api) -> dict[str, int]:
    rows = graph.rows("me/adaccounts", fields="account_id,account_status")
    return {row["account_id"]: row["account_status"] for row in rows}


@pytest.mark.parametrize(("state", "status"), [("active", 1), ("disabled", 2), ("unsettled", 3), ("closed", 101)])
def test_a_state_is_shown_and_the_data_stay_readable(graph: Api, account: Account, state: str, status: int) -> None:
    graph.simulator.set_account_state(account.id, state)
    assert _listed(graph)[account.id] == status
    shown = graph.get(f"act_{account.id}", fields="account_status,disable_reason")
    assert (shown["account_status"], shown["disable_reason"]) == (status, 1 if state == "disabled" else 0)
    assert graph.get(f"act_{account.id}/insights")["data"]
    assert graph.get(f"act_{account.id}/ads")["data"]
    (truth,) = entity_truth(graph.simulator.world, "ad_accounts", account.id, NOW, states=graph.simulator.states)
    assert (truth["account_status"], truth["listed"]) == (status, True)


@pytest.mark.parametrize(
    ("state", "http_status", "code"),
    [("forbidden", 403, 200), ("forbidden-10", 403, 10), ("missing-permissions", 400, 100)],
)
def test_a_forbidden_account_is_listed_and_nothing_of_it_can_be_read(
    world: World, graph: Api, account: Account, state: str, http_status: int, code: int
) -> None:
    ad = graph.get(f"act_{account.id}/ads", limit=1)["data"][0]["id"]
    run = graph.call("POST", f"act_{account.id}/insights").json()["report_run_id"]
    graph.simulator.set_account_state(f"act_{account.id}", state)
    assert _listed(graph)[account.id] == 1
    own = f"act_{account.id}"
    for path in (own, f"{own}/insights", f"{own}/campaigns", f"{own}/adcreatives", ad, f"{ad}/insights", run):
        error = graph.error(path)
        assert (error["status"], error["code"], error.get("error_subcode")) == (http_status, code, None), path
    assert graph.call("POST", f"{own}/insights").status_code == http_status
    assert graph.get(f"act_{world.accounts[1].id}/insights")["data"]
    graph.simulator.set_account_state(account.id, "active")
    assert graph.get(f"{run}/insights")["data"]


def test_a_hidden_account_is_unknown_until_it_is_shown(world: World, graph: Api, account: Account) -> None:
    ad = graph.get(f"act_{account.id}/ads", limit=1)["data"][0]["id"]
    graph.simulator.hide_account(account.id)
    assert list(_listed(graph)) == [one.id for one in world.accounts[1:]]
    for path in (f"act_{account.id}", f"act_{account.id}/insights", ad):
        error = graph.error(path)
        assert (error["status"], error["code"], error["error_subcode"]) == (400, 100, 33), path
    scopes = graph.get("debug_token", input_token="token")["data"]["granular_scopes"]
    assert scopes[0]["target_ids"] == [one.id for one in world.accounts[1:]]
    (truth,) = entity_truth(world, "ad_accounts", account.id, NOW, states=graph.simulator.states)
    assert truth["listed"] is False
    graph.simulator.show_account(account.id)
    assert list(_listed(graph)) == [one.id for one in world.accounts]


def test_pages_of_accounts_leave_out_hidden_ones(world: World, graph: Api) -> None:
    graph.simulator.hide_account(world.accounts[1].id)
    pages = list(graph.pages("me/adaccounts", limit=2, summary=True))
    assert [len(page["data"]) for page in pages] == [2, 1]
    assert pages[0]["summary"] == {"total_count": 3}


@pytest.mark.parametrize(("account_id", "state", "error"), [("1", "closed", KeyError), (None, "asleep", ValueError)])
def test_unknown_accounts_and_states_are_refused(
    graph: Api, account: Account, account_id: str | None, state: str, error: Any
) -> None:
    with pytest.raises(error):
        graph.simulator.set_account_state(account_id or account.id, state)
