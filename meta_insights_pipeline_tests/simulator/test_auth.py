"""Tokens and proofs."""

import hashlib
import hmac
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, World
from meta_insights_pipeline_tests.simulator.support import BASE, Api, api

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
