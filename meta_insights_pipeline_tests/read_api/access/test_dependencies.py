"""Access control as clients of an API meet it, and one server over HTTP while keys change on the command line."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.api_keys import new_api_key
from meta_insights_pipeline.read_api.access.audit import AuditLog
from meta_insights_pipeline.read_api.access.control import access_control
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline_tests.processes import environment, run_command, wait_for
from meta_insights_pipeline_tests.read_api.access.issuer import signed
from meta_insights_pipeline_tests.read_api.access.shop import CAMPAIGNS, shop
from meta_insights_pipeline_tests.read_api.asgi import AsgiClient

SECRET = "correct horse battery staple, and more of it"
ADDRESSES = ["/overview", "/search?text=Sale", "/export", "/campaign/10", "/admin"]
Start = Callable[..., AsgiClient]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts the small API on a home of its own, with variables of the environment."""
    monkeypatch.setenv("META_INSIGHTS_HOME", str(tmp_path))

    def start(*, is_open: bool = False, **variables: str) -> AsgiClient:
        for name, value in variables.items():
            monkeypatch.setenv(f"META_INSIGHTS_{name}", value)
        access = access_control(load_settings(None), host="127.0.0.1", is_open_asked=is_open)
        return AsgiClient(shop(access))

    return start


@pytest.fixture
def keys(tmp_path: Path) -> KeyBook:
    return KeyBook(AccessFile(tmp_path / "access.sqlite"), SystemClock())


def key_of(keys: KeyBook, role: Role = Role.VIEWER, accounts: list[str] | None = None) -> dict[str, str]:
    """Headers with a new key."""
    return {"X-API-Key": keys.create("k", role, by="u", accounts=accounts).reveal()}


def test_without_credentials_nothing_but_health_and_description_is_answered(start: Start) -> None:
    client = start()
    for address in ADDRESSES:
        response = client.get(address)
        assert response.status_code == 401
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="meta-insights"'
    assert client.post("/sync-now").status_code == 401
    for address in ("/healthz", "/openapi.json", "/docs"):
        assert client.get(address).status_code == 200


def test_keys_and_tokens_are_answered_by_their_role(start: Start, keys: KeyBook) -> None:
    client = start(JWT_KEY=SECRET)
    for role, expected in (("viewer", [200, 403, 403]), ("operator", [200, 202, 403]), ("admin", [200, 202, 200])):
        token = {"Authorization": f"Bearer {signed(SECRET, 'HS256', role=role)}"}
        for sent in (token, key_of(keys, Role(role))):
            answers = [
                client.get("/overview", headers=sent),
                client.post("/sync-now", headers=sent),
                client.get("/admin", headers=sent),
            ]
            assert [answer.status_code for answer in answers] == expected
    refused = client.post("/sync-now", headers=key_of(keys))
    assert refused.json()["detail"] == "This needs the role operator; yours is viewer."


def test_who_asked_for_which_sync_is_recorded(start: Start, keys: KeyBook, tmp_path: Path) -> None:
    client = start()
    sent = key_of(keys, Role.OPERATOR, ["2", "1"])
    client.post("/sync-now", headers={**sent, "X-Request-ID": "button-7"})
    client.post("/sync-now", headers=key_of(keys))
    entries = AuditLog(AccessFile(tmp_path / "access.sqlite"), SystemClock()).newest(9)
    (entry,) = [entry for entry in entries if entry.action == "sync"]
    assert entry.principal == f"key:{sent['X-API-Key'].split('_')[1]}"
    assert entry.request_id == "button-7"
    assert entry.details == {"accounts": ["1", "2"], "run_id": "run-1"}


def test_the_schemes_are_described_as_alternatives(start: Start) -> None:
    described = start().get("/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert schemes["bearer"]["type"] == "http"
    assert schemes["bearer"]["scheme"] == "bearer"
    assert (schemes["api_key"]["in"], schemes["api_key"]["name"]) == ("header", "X-API-Key")
    for address, method in (("/overview", "get"), ("/sync-now", "post"), ("/admin", "get")):
        assert described["paths"][address][method]["security"] == [{"bearer": []}, {"api_key": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


# ---- confinement ----


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    mine=st.sets(st.sampled_from("12345"), max_size=5),
    asked=st.none() | st.lists(st.sampled_from("1234567"), min_size=1, max_size=4),
    by_token=st.booleans(),
)
def test_whoever_is_confined_gets_what_an_installation_with_these_accounts_alone_would_give(
    start: Start, keys: KeyBook, mine: set[str], asked: list[str] | None, by_token: bool
) -> None:
    client = start(JWT_KEY=SECRET, API_REQUESTS_PER_MINUTE="10000")
    sent = (
        {"Authorization": f"Bearer {signed(SECRET, 'HS256', accounts=sorted(mine))}"}
        if by_token
        else key_of(keys, accounts=sorted(mine))
    )
    own = [one for one in CAMPAIGNS if one.account_id in mine]
    shown = [one for one in own if asked is None or one.account_id in asked]
    answer = client.get("/overview", headers=sent, params=None if asked is None else {"account": asked}).json()
    assert (answer["spend"], answer["count"]) == (sum(one.spend for one in shown), len(shown))
    assert [one["id"] for one in answer["campaigns"]] == [one.id for one in shown]
    assert client.get("/search?text=Sale", headers=sent).json() == [one.name for one in own]
    assert len(client.get("/export", headers=sent).text.splitlines()) == len(own)
    for one in CAMPAIGNS:
        assert (client.get(f"/campaign/{one.id}", headers=sent).status_code == 200) is (one in own)


def test_the_404_of_a_foreign_object_is_that_of_an_unknown_one_to_the_byte(start: Start, keys: KeyBook) -> None:
    client, sent = start(), {**key_of(keys, accounts=["1"]), "X-Request-ID": "same"}
    assert client.get("/campaign/10", headers=sent).status_code == 200
    foreign, unknown = (client.get(f"/campaign/{one}", headers=sent) for one in ("50", "99"))
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.headers == unknown.headers
    assert foreign.content.replace(b"50", b"99") == unknown.content


# ---- limits ----


def test_more_requests_than_the_limit_are_told_when_to_come_again(start: Start, keys: KeyBook) -> None:
    client = start(API_REQUESTS_PER_MINUTE="3")
    one, two = key_of(keys), key_of(keys)
    assert [client.get("/overview", headers=one).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.get("/campaign/10", headers=one)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert "3 requests a minute" in refused.json()["detail"]
    assert client.get("/overview", headers=two).status_code == 200, "each key has a limit of its own"
    assert client.get("/healthz").status_code == 200


def test_a_request_counts_once_however_many_dependencies_ask_who_it_is(start: Start, keys: KeyBook) -> None:
    client, sent = start(API_REQUESTS_PER_MINUTE="2"), key_of(keys, Role.ADMIN)
    assert [client.get("/admin", headers=sent).status_code for _ in range(3)] == [200, 200, 429]


def test_wrong_credentials_are_limited_by_address_and_do_not_keep_right_ones_out(start: Start, keys: KeyBook) -> None:
    client = start(API_REQUESTS_PER_MINUTE="2")
    wrong = [client.get("/overview", headers={"X-API-Key": new_api_key().reveal()}).status_code for _ in range(4)]
    assert wrong == [401, 401, 429, 429]
    assert client.get("/overview", headers=key_of(keys)).status_code == 200


# ---- open stub mode, and a server that must not start ----


def test_open_stub_mode_answers_this_machine_and_is_limited_by_address(start: Start) -> None:
    client = start(is_open=True, API_REQUESTS_PER_MINUTE="3")
    assert client.get("/overview").json()["count"] == len(CAMPAIGNS)
    assert client.post("/sync-now", headers={"Origin": "https://evil.test"}).status_code == 401
    assert client.get("/overview", headers={"Host": "evil.test"}).status_code == 401
    assert client.get("/overview").status_code == 429


def test_a_server_that_must_not_start_does_not(start: Start) -> None:
    with pytest.raises(ValueError, match="Real numbers are not shown without a key"):
        start(is_open=True, MODE="live")


# ---- the file ----


def test_a_file_of_keys_that_breaks_lets_nobody_in_and_tells_only_the_log(
    start: Start, keys: KeyBook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, sent = start(), key_of(keys)
    assert client.get("/overview", headers=sent).status_code == 200
    (tmp_path / "access.sqlite").write_bytes(b"broken" * 4000)
    response = client.get("/overview", headers=sent)
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "sqlite" not in response.text
    assert any("is damaged" in record.getMessage() for record in caplog.records)


# ---- over HTTP ----


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app with uvicorn on a free port; gives its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, 20, "the server to start")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.slow
def test_a_running_server_accepts_a_key_made_and_refuses_one_revoked_on_the_command_line_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    home, variables = tmp_path / "home", environment(tmp_path / "home")
    monkeypatch.setenv("META_INSIGHTS_HOME", str(home))
    access = access_control(load_settings(None), host="127.0.0.1")
    assert "answers nobody" in access.verdict.sentence
    with served(shop(access)) as url, httpx.Client(base_url=url) as client:
        made = run_command(["keys", "create", "--name", "k", "--role", "viewer"], variables, tmp_path)
        key = made.stdout.strip()
        sent = {"Authorization": f"Bearer {key}"}
        assert client.get("/overview", headers=sent).status_code == 200
        assert client.get("/overview", headers={"Authorization": f"Bearer {key[:-1]}"}).status_code == 401
        run_command(["keys", "revoke", key.split("_")[1]], variables, tmp_path)
        refused = client.get("/overview", headers=sent)
        assert refused.status_code == 401
        assert refused.headers["Content-Type"] == "application/problem+json"
    assert key.split("_")[2] not in caplog.text, "no log of the server holds the key"


def test_requests_at_once_are_all_answered_while_keys_change(start: Start, keys: KeyBook) -> None:
    app, sent = start(API_REQUESTS_PER_MINUTE="100000").app, key_of(keys)
    answers: list[int] = []

    def ask() -> None:
        answers.extend(client.get("/overview", headers=sent).status_code for _ in range(40))

    with served(app) as url, httpx.Client(base_url=url) as client:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            keys.revoke(keys.create("other", Role.VIEWER, by="u").id, by="u")
            time.sleep(0.02)
        for thread in threads:
            thread.join()
    assert answers == [200] * 160
