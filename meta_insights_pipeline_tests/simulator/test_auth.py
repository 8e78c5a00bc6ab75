"""Tokens and proofs."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, TokenInfo, World
from meta_insights_pipeline_tests.simulator.support import BASE, NOW, Api, api

SECRET = "app secret"


def _proof(token: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("scheme", ["Bearer", "OAuth", "bearer"])
def test_a_token_may_come_in_a_header(graph: Api, scheme: str) -> None:
    response = graph.session.get(f"{BASE}/v26.0/me", headers={"Authorization": f"{scheme} token"})
    assert response.status_code == 200


def test_a_token_may_come_in_the_query_or_the_form(graph: Api, account: Account) -> None:
    assert graph.call("GET", "me").status_code == 200
    assert graph.call("POST", f"act_{account.id}/insights").status_code == 200


def test_without_a_token_there_is_no_answer(graph: Api, account: Account) -> None:
    error = graph.error(f"act_{account.id}", access_token="")
    assert (error["status"], error["code"]) == (400, 104)
    assert error["message"] == "An access token is required to request this resource."
    for path in ("me", "me/adaccounts"):
        error = graph.error(path, access_token="")
        assert (error["status"], error["code"]) == (400, 2500)


@pytest.mark.parametrize(("token", "subcode"), [("invalid-1", None), ("expired-1", 463)])
def test_bad_tokens_are_told_apart(graph: Api, account: Account, token: str, subcode: int | None) -> None:
    error = graph.error(f"act_{account.id}/insights", access_token=token)
    assert (error["status"], error["code"], error.get("error_subcode")) == (400, 190, subcode)
    assert error["type"] == "OAuthException"


def test_with_a_fixed_token_any_other_is_bad(world: World) -> None:
    with api(world, access_token="right") as graph:
        assert graph.error("me", access_token="wrong")["code"] == 190
        assert graph.get("me", access_token="right")["id"]


def test_a_proof_is_needed_once_there_is_an_app_secret(world: World, account: Account) -> None:
    with api(world, app_secret=SECRET) as graph:
        cases: list[dict[str, Any]] = [
            {},
            {"appsecret_proof": "0" * 64},
            {"appsecret_proof": _proof("token", "other secret")},
            {"appsecret_proof": _proof("other token")},
            {"appsecret_proof": "é"},
        ]
        for params in cases:
            error = graph.error(f"act_{account.id}", **params)
            assert (error["status"], error["code"]) == (400, 100)
            assert error["message"] == "Invalid appsecret_proof provided in the API argument"
        assert graph.get(f"act_{account.id}", appsecret_proof=_proof("token"))["id"] == f"act_{account.id}"


def test_a_token_can_be_introspected(world: World, graph: Api) -> None:
    good = graph.get("debug_token", input_token="token")["data"]
    assert good["is_valid"] is True
    assert good["expires_at"] == 0
    assert good["granular_scopes"][0]["target_ids"] == [account.id for account in world.accounts]
    bad = graph.get("debug_token", input_token="expired-1")["data"]
    assert bad["is_valid"] is False
    assert (bad["error"]["code"], bad["error"]["subcode"]) == (190, 463)
    assert graph.error("debug_token")["code"] == 100


def test_introspection_need_not_put_the_token_into_an_address(graph: Api) -> None:
    form = {"method": "get", "input_token": "token"}
    answer = graph.session.post(f"{BASE}/v26.0/debug_token", data=form, headers={"Authorization": "Bearer token"})
    assert answer.json() == graph.get("debug_token", input_token="token")
    (record, _) = graph.simulator.requests
    assert (record.method, record.kind, dict(record.params)) == ("GET", "debug_token", {"method": "get"})


def test_any_read_may_be_posted_and_paged_on(graph: Api, account: Account) -> None:
    for path in ("me", "me/adaccounts", f"act_{account.id}", f"act_{account.id}/ads", f"act_{account.id}/insights"):
        assert graph.call("POST", path, method="get", level="ad").json() == graph.get(path, level="ad"), path
    page = graph.call("POST", f"act_{account.id}/ads", method="get", limit=2).json()
    assert "method=" not in page["paging"]["next"]
    assert len(graph.session.get(page["paging"]["next"]).json()["data"]) == 2


def test_what_a_token_is_good_for_is_told_as_it_was_given(world: World) -> None:
    later = int(NOW.timestamp()) + 3600
    info = TokenInfo("USER", ("ads_read",), ("7", "8"), later, later + 60, "123")
    with api(world, info=info) as graph:
        told = graph.get("debug_token", input_token="token")["data"]
        assert (told["type"], told["app_id"], told["is_valid"]) == ("USER", "123", True)
        assert (told["expires_at"], told["data_access_expires_at"]) == (later, later + 60)
        assert told["granular_scopes"] == [{"scope": "ads_read", "target_ids": ["7", "8"]}]
        assert graph.get("me/permissions") == {"data": [{"permission": "ads_read", "status": "granted"}]}


def test_a_token_expires_by_the_simulated_clock(world: World) -> None:
    with api(world, info=TokenInfo(expires_at=int(NOW.timestamp()) + 60)) as graph:
        clock = graph.simulator.clock
        assert isinstance(clock, SimulatedClock)
        assert graph.get("me")
        clock.advance(timedelta(seconds=60))
        error = graph.error("me")
        assert (error["code"], error["error_subcode"]) == (190, 463)
        told = graph.get("debug_token", input_token="token")["data"]
        assert (told["is_valid"], told["error"]["code"], told["error"]["subcode"]) == (False, 190, 463)
        assert told["scopes"] == ["ads_read", "business_management"]


def test_a_dead_token_is_refused_everywhere_but_where_it_is_introspected(world: World) -> None:
    info = TokenInfo(is_valid=False, error={"subcode": 460, "message": "The password was changed."})
    with api(world, info=info) as graph:
        error = graph.error("me/adaccounts")
        assert (error["code"], error["error_subcode"], error["message"]) == (190, 460, "The password was changed.")
        told = graph.get("debug_token", input_token="token")["data"]
        assert told["error"] == {"code": 190, "subcode": 460, "message": "The password was changed."}
        graph.simulator.set_token(TokenInfo())
        assert graph.get("me/adaccounts")["data"]


@pytest.mark.parametrize("scopes", [(), ("business_management", "pages_show_list")])
def test_without_the_scope_nothing_of_an_account_can_be_read(
    world: World, account: Account, scopes: tuple[str, ...]
) -> None:
    with api(world, info=TokenInfo(scopes=scopes)) as graph:
        for path in (f"act_{account.id}", f"act_{account.id}/insights", f"act_{account.id}/ads"):
            error = graph.error(path)
            assert (error["status"], error["code"]) == (403, 200)
        assert graph.get("me")
        assert graph.get("debug_token", input_token="token")["data"]["scopes"] == list(scopes)
    with api(world, info=TokenInfo(scopes=("ads_management",))) as graph:
        assert graph.get(f"act_{account.id}/insights")["data"]


def test_the_apps_own_token_may_introspect_without_a_proof(world: World) -> None:
    with api(world, access_token="right", app_secret=SECRET, info=TokenInfo(app_id="123")) as graph:
        told = graph.get("debug_token", access_token=f"123|{SECRET}", input_token="right")["data"]
        assert told["is_valid"] is True
        assert graph.error("me", access_token=f"123|{SECRET}")["code"] == 190
        assert graph.error("debug_token", access_token=f"124|{SECRET}", input_token="right")["code"] == 190
