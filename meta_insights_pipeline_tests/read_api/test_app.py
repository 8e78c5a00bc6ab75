"""The whole read API as its clients meet it: health, description, headers, caching, errors."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.warehouse.reading.deadlines import Budget, Deadlines, QueryTimeoutError
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshot
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.processes import wait_for
from meta_insights_pipeline_tests.read_api.served import Api, World, copy_world, make_world, on_a_port, opened
from meta_insights_pipeline_tests.warehouse.reading.publishing import publish_number

OVERVIEW = "/meta/insights/overview?days=3"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(world: World, tmp_path: Path) -> Path:
    return copy_world(world, tmp_path / "home").home


@pytest.fixture
def api(home: Path) -> Iterator[Api]:
    with opened(home) as api:
        yield api


# ---- health ----


def test_it_lives_without_a_snapshot_and_is_ready_with_a_new_one_alone(world: World, tmp_path: Path) -> None:
    with opened(tmp_path / "empty") as api:
        assert api.client.get("/healthz").json() == {"status": "ok"}
        answer = api.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "30"
        assert "meta-insights sync" in answer.json()["detail"]
        assert api.client.get(OVERVIEW, headers=api.key()).status_code == 503
    with opened(copy_world(world, tmp_path / "full").home) as api:
        api.app.state.snapshots.refresh()
        answer = api.client.get("/readyz")
        assert answer.status_code == 200
        assert 0 <= answer.json()["age_seconds"] < 60
        assert datetime.fromisoformat(answer.json()["published_at"]).tzinfo is not None


def test_it_is_not_ready_with_a_file_that_has_not_our_tables_until_there_is_one_that_has(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish_number(tmp_path, 1)
    with opened(tmp_path) as api:
        api.app.state.snapshots.refresh()
        assert any("cannot be answered from" in record.getMessage() for record in caplog.records)
        for _ in range(2):
            answer = api.client.get("/readyz")
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "30"
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "cannot be answered from" in answer.json()["detail"]
        (tmp_path / "draft").write_bytes((world.home / "meta_insights.duckdb").read_bytes())
        (tmp_path / "draft").replace(tmp_path / "meta_insights.duckdb")
        api.app.state.snapshots.refresh()
        assert api.client.get("/readyz").status_code == 200


def test_a_file_that_could_not_be_read_for_a_moment_makes_it_ready_without_another_request(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(home) as api:
        with monkeypatch.context() as patch:

            def too_slow(*_arguments: object) -> None:
                raise QueryTimeoutError("It took too long.")

            patch.setattr(Snapshot, "rows", too_slow)
            api.app.state.snapshots.refresh()
            assert api.client.get("/readyz").status_code == 503
        assert api.client.get("/readyz").status_code == 200


def test_it_is_not_ready_when_the_snapshot_is_too_old_but_still_answers(home: Path) -> None:
    clock = SkippingClock(datetime.now(UTC) + timedelta(hours=3))
    with opened(home, clock=clock, API_OLDEST_HOURS=2.5) as api:
        api.app.state.snapshots.refresh()
        answer = api.client.get("/readyz")
        assert (answer.status_code, "2.5 h is the limit" in answer.json()["detail"]) == (503, True)
        assert api.client.get(OVERVIEW, headers=api.key()).status_code == 200


# ---- description ----


def test_the_description_names_every_operation_field_and_scheme(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    assert document["info"]["title"] == "Meta Insights API"
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path
            if path.startswith("/meta/"):
                assert operation["security"], path
                assert {"401", "403", "422", "429", "503"} <= set(operation["responses"]), path


def test_the_page_of_the_description_loads_everything_from_here_under_a_strict_policy(api: Api) -> None:
    page = api.client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        assert not address.startswith(("http", "//"))
        answer = api.client.get(f"/{address}")
        assert answer.status_code == 200, address
        assert answer.content
    # Nothing inline, which the policy would refuse.
    assert not re.search(r"<script>|<style|\son\w+=|style=", page.text)
    assert api.client.get("/docs/..%2f..%2fcore.py").status_code == 404
    assert api.client.get("/docs/redoc.standalone.js").status_code == 404


# ---- headers ----


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", OVERVIEW, "/nothing", "/meta/insights/overview?days=0"])
def test_every_answer_says_what_a_browser_may_do_and_who_may_keep_it(api: Api, path: str) -> None:
    headers = api.client.get(path, headers=api.key()).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == ("private, no-cache" if path == OVERVIEW else "no-store")
    assert headers["X-Request-ID"]


def test_an_error_of_ours_has_the_headers_of_every_other_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = "https://dashboard.example.com"
    # Nothing of what is asked for is in it.
    publish_number(tmp_path, 1)
    with opened(tmp_path, API_CORS_ORIGINS=origin) as api:
        answer = api.client.get(OVERVIEW, headers={**api.key(), "Origin": origin})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
    assert sum("ended with" in record.getMessage() for record in caplog.records) == 1


def test_only_pages_of_named_origins_may_ask(home: Path) -> None:
    named, other = "https://dashboard.example.com", "https://evil.example"
    with opened(home, API_CORS_ORIGINS=f"{named}, http://localhost:3001") as api:
        key = api.key()
        for origin, allowed in ((named, named), (other, None)):
            answer = api.client.get(OVERVIEW, headers={**key, "Origin": origin})
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            preflight["Access-Control-Request-Headers"] = "authorization, idempotency-key"
            answer = api.client.request("OPTIONS", "/meta/insights/sync-now", headers=preflight)
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert answer.status_code == (200 if allowed else 400)
        assert (
            "ETag"
            in api.client.get(OVERVIEW, headers={**key, "Origin": named}).headers["Access-Control-Expose-Headers"]
        )
    with opened(home) as api:
        answer = api.client.get(OVERVIEW, headers={**api.key(), "Origin": named})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_long_answers_are_compressed_for_who_takes_that(api: Api) -> None:
    key = api.key()
    for _ in range(3):
        plain = api.client.get(OVERVIEW, headers={**key, "Accept-Encoding": "identity"})
        packed = api.client.get(OVERVIEW, headers={**key, "Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert int(packed.headers["Content-Length"]) < len(plain.content) == len(packed.content)
        assert packed.json() == plain.json()
        assert packed.headers["ETag"] == plain.headers["ETag"]
        assert "Accept-Encoding" in plain.headers["Vary"]


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip;q=0", False),
        ("br, GZIP ; q=0.000, *", False),
        ("identity;q=1, *;q=0", False),
        ("xgzip", False),
        ("br;q=1.0, gzip;q=0.001", True),
        ("deflate, x-gzip", True),
    ],
)
def test_only_who_gives_gzip_a_weight_above_nothing_gets_it(api: Api, accepted: str, is_packed: bool) -> None:
    key = api.key()
    for _ in range(3):
        answer = api.client.get(OVERVIEW, headers={**key, "Accept-Encoding": accepted})
        assert (answer.headers.get("Content-Encoding") == "gzip") is is_packed


@pytest.mark.parametrize(("form", "is_packed"), [("csv", True), ("parquet", False), ("arrow", False)])
def test_parquet_and_arrow_are_not_compressed_once_more(api: Api, form: str, is_packed: bool) -> None:
    headers = {**api.key(), "Accept-Encoding": "gzip"}
    answer = api.client.get(f"/meta/insights/reconciliation?days=10&format={form}", headers=headers)
    assert answer.status_code == 200
    assert len(answer.content) > 1024
    assert (answer.headers.get("Content-Encoding") == "gzip") is is_packed


def test_a_body_that_is_too_long_is_refused_whether_its_length_is_told_or_not(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1000

    headers = {**api.key(Role.OPERATOR), "Content-Type": "application/json"}
    for content in (b" " * 70_000, pieces()):
        answer = api.client.post("/meta/insights/sync-now", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "65536 bytes" in answer.json()["detail"]


# ---- the same question again ----


def answers_from_memory(caplog: pytest.LogCaptureFixture) -> int:
    return sum("from memory" in record.getMessage() for record in caplog.records)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("meta_insights_pipeline"), "propagate", True)
    caplog.set_level(logging.INFO, "meta_insights_pipeline.read_api.request_log")
    return caplog


def test_the_same_question_is_answered_from_memory_to_the_byte(api: Api, log: pytest.LogCaptureFixture) -> None:
    key = api.key()
    first = api.client.get(OVERVIEW, headers=key)
    # The first use of a key is noted in the file of the keys, so that it is checked once more.
    answers = [api.client.get(OVERVIEW, headers=key) for _ in range(3)]
    assert answers_from_memory(log) >= 2
    for answer in answers:
        assert answer.content == first.content
        assert {**answer.headers, "x-request-id": ""} == {**first.headers, "x-request-id": ""}
        assert answer.headers["X-Request-ID"] != first.headers["X-Request-ID"]


def test_whoever_has_the_answer_is_told_that_it_is_still_right(api: Api, log: pytest.LogCaptureFixture) -> None:
    key = api.key()
    tag = api.client.get(OVERVIEW, headers=key).headers["ETag"]
    for given in (tag, f'"other", {tag}'):
        for _ in range(3):
            answer = api.client.get(OVERVIEW, headers={**key, "If-None-Match": given})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == tag
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert "Content-Type" not in answer.headers
    assert answers_from_memory(log) > 0
    assert api.client.get(OVERVIEW, headers={**key, "If-None-Match": '"other"'}).status_code == 200
    # A 304 is for whoever may have the answer.
    assert api.client.get(OVERVIEW, headers={"If-None-Match": tag}).status_code == 401


def test_another_server_over_the_same_file_knows_the_tag(home: Path) -> None:
    with opened(home) as one, opened(home) as other:
        key = one.key()
        tag = one.client.get(OVERVIEW, headers=key).headers["ETag"]
        assert other.client.get(OVERVIEW, headers={**key, "If-None-Match": tag}).status_code == 304


def test_who_sees_other_accounts_gets_an_answer_and_a_tag_of_its_own(api: Api, world: World) -> None:
    keys = [
        api.key(),
        api.key(accounts=[world.accounts[0]]),
        api.key(accounts=[world.accounts[1]]),
        api.key(accounts=[]),
    ]
    path = "/meta/insights/accounts"
    answers = [[api.client.get(path, headers=key) for key in keys] for _ in range(3)]
    for row in answers:
        seen = [[item["account_id"] for item in answer.json()["items"]] for answer in row]
        assert seen == [list(world.accounts), [world.accounts[0]], [world.accounts[1]], []]
        assert len({answer.headers["ETag"] for answer in row}) == 4
    for key, answer in zip(keys[1:], answers[0], strict=False):
        headers = {**key, "If-None-Match": answer.headers["ETag"]}
        assert api.client.get(path, headers=headers).status_code == 200
    # Two keys for the same accounts share one answer.
    same = api.client.get(path, headers=api.key(accounts=[world.accounts[0]]))
    assert same.headers["ETag"] == answers[0][1].headers["ETag"]


def test_a_key_that_was_revoked_gets_nothing_from_memory(api: Api, log: pytest.LogCaptureFixture) -> None:
    key = api.key()
    for _ in range(3):
        assert api.client.get(OVERVIEW, headers=key).status_code == 200
    assert answers_from_memory(log) > 0
    api.book.revoke(key["X-API-Key"].split("_")[1], by="test")
    assert api.client.get(OVERVIEW, headers=key).status_code == 401


def test_answers_from_memory_count_against_the_limit(home: Path) -> None:
    with opened(home, API_REQUESTS_PER_MINUTE=5) as api:
        key = api.key()
        statuses = [api.client.get(OVERVIEW, headers=key).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        answer = api.client.get(OVERVIEW, headers=key)
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert api.client.get(OVERVIEW, headers=api.key()).status_code == 200


def test_while_nothing_is_published_a_tag_holds_until_the_day_changes_and_for_named_days_for_ever(home: Path) -> None:
    # Noon of UTC, when it is midnight in none of the zones of this world.
    clock = SkippingClock(datetime.now(UTC).replace(hour=12, minute=5) + timedelta(days=1))
    relative = ["overview?days=3", "accounts", "recent-insights/{account}"]
    absolute = ["overview?date_from=2026-01-01&date_to=2026-01-31", "accounts?days=3&as_of=2026-01-31T12:00:00Z"]
    with opened(home, clock=clock) as api:
        key = api.key()
        account = api.client.get("/meta/insights/accounts", headers=key).json()["items"][0]["account_id"]

        def tags(paths: list[str]) -> list[str]:
            found = [api.client.get(f"/meta/insights/{path.format(account=account)}", headers=key) for path in paths]
            return [answer.headers["ETag"] for answer in found]

        first = tags([*relative, *absolute])
        for _ in range(8):
            clock.sleep(900)
            assert tags([*relative, *absolute]) == first
        clock.sleep(22 * 3600)
        later = tags([*relative, *absolute])
        assert later[3:] == first[3:]
        assert not set(later[:3]) & set(first[:3])


def test_a_new_publication_makes_a_new_answer(home: Path) -> None:
    with opened(home) as api:
        key = api.key()
        path = "/meta/insights/overview?date_from=2026-01-01&date_to=2026-01-31"
        first = api.client.get(path, headers=key).headers["ETag"]
        draft = home / "draft"
        draft.write_bytes((home / "meta_insights.duckdb").read_bytes())
        draft.replace(home / "meta_insights.duckdb")
        api.app.state.snapshots.refresh()
        assert api.client.get(path, headers={**key, "If-None-Match": first}).headers["ETag"] != first


def test_whoever_has_the_answer_is_told_so_before_anything_is_read(
    home: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is kept, so that an answer is found out each time.
    with opened(home, API_CACHE_MB=0, API_REQUESTS_PER_MINUTE=6) as api:
        key = api.key()
        for path in (OVERVIEW, f"/meta/insights/campaign/{world.ids['campaign'][0]}?format=csv"):
            tag = api.client.get(path, headers=key).headers["ETag"]
            with monkeypatch.context() as patch:
                for name in ("rows", "columns_and_rows", "arrow"):
                    patch.delattr(Snapshot, name)
                answer = api.client.get(path, headers={**key, "If-None-Match": tag})
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["ETag"] == tag
                assert "Accept-Encoding" in answer.headers["Vary"]
                assert api.client.get(path, headers={"If-None-Match": tag}).status_code == 401
        statuses = [api.client.get(path, headers={**key, "If-None-Match": tag}).status_code for _ in range(3)]
        assert statuses == [304, 304, 429]


@pytest.mark.parametrize("cache_mb", [0, 8])
def test_tags_are_compared_weakly_and_a_star_stands_for_any(home: Path, cache_mb: int) -> None:
    with opened(home, API_CACHE_MB=cache_mb) as api:
        key = api.key()
        tag = api.client.get(OVERVIEW, headers=key).headers["ETag"]
        strong = tag.removeprefix("W/")
        for given in ("*", " * ", strong, f'"a, b", {strong}', f'W/"a",{tag}'):
            for _ in range(3):
                answer = api.client.get(OVERVIEW, headers={**key, "If-None-Match": given})
                assert (answer.status_code, answer.headers["ETag"]) == (304, tag), given
        for given in ('"*"', strong.strip('"'), '"a*"', ""):
            assert api.client.get(OVERVIEW, headers={**key, "If-None-Match": given}).status_code == 200, given
        # There is no answer of which the client might have one.
        answer = api.client.get("/meta/insights/campaign/1", headers={**key, "If-None-Match": "*"})
        assert answer.status_code == 404


def test_head_is_answered_as_get_without_the_body(api: Api, world: World, log: pytest.LogCaptureFixture) -> None:
    key = api.key()
    identifier = world.ids["campaign"][0]
    for path in (
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        OVERVIEW,
        f"/meta/insights/campaign/{identifier}?days=3&format=csv",
        "/meta/insights/syncs",
        "/nothing",
        "/meta/insights/campaign/1",
    ):
        for _ in range(3):
            full, head = (api.client.request(method, path, headers=key) for method in ("GET", "HEAD"))
            assert (head.status_code, head.content) == (full.status_code, b""), path
            for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Content-Security-Policy"):
                # Ids of requests are of one length.
                assert head.headers.get(name) == full.headers.get(name), (path, name)
    lines = [record.getMessage() for record in log.records]
    assert any(line.startswith("HEAD /meta/insights/overview 200") and "from memory" in line for line in lines)
    assert any(line.startswith("HEAD /meta/insights/campaign/{campaign_id} 200") for line in lines)
    assert api.client.request("HEAD", OVERVIEW).status_code == 401
    answer = api.client.request("HEAD", "/meta/insights/sync-now", headers=key)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert api.client.post(OVERVIEW, headers=key).headers["Allow"] == "GET, HEAD"


def test_head_leaves_the_connection_in_order(api: Api) -> None:
    with on_a_port(api.app) as url, requests.Session() as session:
        session.headers.update(api.key())
        for path in ("/healthz", OVERVIEW, f"{OVERVIEW}&format=csv", "/nothing") * 2:
            head = session.head(url + path, timeout=20)
            assert (head.content, head.status_code) == (b"", session.get(url + path, timeout=20).status_code)


def test_many_who_ask_the_same_at_once_have_it_found_out_once(home: Path, log: pytest.LogCaptureFixture) -> None:
    with opened(home) as api, on_a_port(api.app) as url:
        key = api.key()
        requests.get(f"{url}{OVERVIEW}", headers=key, timeout=20)
        # The line of a request comes after its answer.
        wait_for(lambda: log.records, 10, "the line of the first request")
        log.clear()
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(requests.get, f"{url}/meta/insights/overview?days=2", headers=key) for _ in range(12)]
            answers = [one.result(20) for one in asked]
        wait_for(lambda: len(log.records) == 12, 10, "the lines of all requests")
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(log.records) - answers_from_memory(log) == 1


def test_errors_and_syncs_are_never_kept(api: Api, world: World, log: pytest.LogCaptureFixture) -> None:
    key = api.key()
    for path in ("/meta/insights/campaign/1", "/meta/insights/overview?days=0", "/meta/insights/syncs"):
        for _ in range(3):
            answer = api.client.get(path, headers=key)
            assert "ETag" not in answer.headers
            assert answer.headers["Cache-Control"] == "no-store"
    assert answers_from_memory(log) == 0


def test_with_no_room_for_answers_each_is_made_anew(home: Path, log: pytest.LogCaptureFixture) -> None:
    with opened(home, API_CACHE_MB=0) as api:
        key = api.key()
        tags = {api.client.get(OVERVIEW, headers=key).headers["ETag"] for _ in range(3)}
        assert len(tags) == 1
        assert answers_from_memory(log) == 0


def test_a_table_is_kept_apart_from_json_however_it_is_asked_for(api: Api) -> None:
    key = api.key()
    path = "/meta/insights/overview?days=3"
    for _ in range(3):
        kinds = [
            api.client.get(path, headers=key).headers["Content-Type"],
            api.client.get(path, headers={**key, "Accept": "text/csv"}).headers["Content-Type"],
            api.client.get(f"{path}&format=csv", headers=key).headers["Content-Type"],
        ]
        assert [kind.split(";")[0] for kind in kinds] == ["application/json", "text/csv", "text/csv"]


# ---- what goes wrong, and what is told of it ----


def test_all_queries_of_a_request_share_its_time(home: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own, used = Deadlines.limited, list[Budget]()

    def limited(self: Deadlines, cursor: Any, budget: Budget) -> Any:
        used.append(budget)
        return own(self, cursor, budget)

    with opened(home) as api:
        key = api.key()
        assert api.client.get(OVERVIEW, headers=key).status_code == 200
        monkeypatch.setattr(Deadlines, "limited", limited)
        for path in ("overview?days=2", f"campaign/{world.ids['campaign'][0]}?days=2", "accounts?days=2&format=csv"):
            used.clear()
            assert api.client.get(f"/meta/insights/{path}", headers=key).status_code == 200
            assert len(used) > 1
            assert len(set(used)) == 1


@pytest.mark.parametrize(
    ("address", "where", "words"),
    [
        ("overview?day=7", "query.day", "days is the nearest"),
        ("overview?days=7&As_Of=2026-01-01", "query.As_Of", "as_of is the nearest"),
        ("campaign/{campaign}?from=2026-01-01", "query.from", "date_from is the nearest"),
        ("accounts?sorted=name", "query.sorted", "sort is the nearest"),
        ("search?q=a&days=3", "query.days", "there are q, limit"),
        ("syncs?format=csv", "query.format", "there are limit"),
        ("recent-insights/{campaign}?xyz", "query.xyz", "there are limit"),
        ("sync/00000000-0000-0000-0000-000000000000?wait=1", "query.wait", "leave them out"),
    ],
)
def test_a_parameter_that_is_not_known_is_a_422_that_names_the_nearest(
    api: Api, world: World, address: str, where: str, words: str
) -> None:
    path = f"/meta/insights/{address.format(campaign=world.ids['campaign'][0])}"
    for _ in range(2):
        answer = api.client.get(path, headers=api.key())
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["where"] == where
        assert words in error["detail"]
    # Whoever is not let in learns nothing of it.
    assert api.client.get(path).status_code == 401


def test_a_query_that_takes_too_long_is_a_503_with_one_sentence(home: Path) -> None:
    with opened(home, API_QUERY_SECONDS=0.0001) as api:
        answer = api.client.get("/meta/insights/search?q=a", headers=api.key())
        assert answer.status_code == 503
        assert "longer than 0.0001 s" in answer.json()["detail"]
        assert answer.headers["Retry-After"]


def test_a_file_without_our_tables_is_a_500_that_tells_nothing(tmp_path: Path) -> None:
    publish_number(tmp_path, 1)
    with opened(tmp_path) as api:
        answer = api.client.get(OVERVIEW, headers=api.key())
        assert answer.status_code == 500
        assert "numbers" not in answer.text
        assert "Catalog" not in answer.text


def test_the_log_has_one_line_a_request_with_its_id_and_principal_and_nothing_of_what_was_asked(
    api: Api, world: World, log: pytest.LogCaptureFixture
) -> None:
    key = api.key()
    campaign = world.ids["campaign"][0]
    api.client.get(
        f"/meta/insights/campaign/{campaign}?days=3&part=daily", headers={**key, "X-Request-ID": "my-request"}
    )
    api.client.get("/nothing/secret")
    lines = [record.getMessage() for record in log.records]
    assert re.fullmatch(r"GET /meta/insights/campaign/\{campaign_id\} 200 in [\d.]+ ms", lines[0])
    assert re.fullmatch(r"GET none 404 in [\d.]+ ms", lines[1])
    assert vars(log.records[0])["principal"] == f"key:{key['X-API-Key'].split('_')[1]}"
    for word in (campaign, "secret", key["X-API-Key"]):
        assert word not in log.text


# ---- metrics ----


def test_metrics_are_there_when_asked_for_and_for_admins_alone(home: Path, world: World) -> None:
    with opened(home) as api:
        assert api.client.get("/metrics", headers=api.key()).status_code == 404
    with opened(home, API_METRICS=True) as api:
        for role in (Role.VIEWER, Role.OPERATOR):
            assert api.client.get("/metrics", headers=api.key(role)).status_code == 403
        key = api.key(Role.ADMIN)
        for path in (
            OVERVIEW,
            OVERVIEW,
            OVERVIEW,
            f"/meta/insights/campaign/{world.ids['campaign'][0]}",
            "/nothing/else",
        ):
            api.client.get(path, headers=key)
        assert api.client.get("/metrics").status_code == 401
        text = api.client.get("/metrics", headers=key).text
        counted = 'meta_insights_api_requests_total{method="GET",route="/meta/insights/overview",status="200"} 3.0'
        assert counted in text
        assert 'route="/meta/insights/campaign/{campaign_id}"' in text
        assert 'route="none",status="404"' in text
        assert "meta_insights_api_snapshots_opened_total 1.0" in text
        for word in (*world.accounts, *world.ids["campaign"], key["X-API-Key"].split("_")[1], "else"):
            assert word not in text


def test_without_a_key_it_answers_this_machine_alone_and_only_when_asked_for(home: Path) -> None:
    with opened(home, is_open=True) as api:
        for _ in range(2):
            assert api.client.get(OVERVIEW).status_code == 200
            assert api.client.get(OVERVIEW, headers={"Host": "evil.example"}).status_code == 401
            assert api.client.get(OVERVIEW, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401
            assert api.client.get(OVERVIEW, headers={"X-API-Key": "wrong"}).status_code == 401
