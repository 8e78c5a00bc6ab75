"""Asking for syncs and looking at them over HTTP, with Dagster's GraphQL played by a double."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.life import alive
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.receipt import (
    Missing,
    NotRefreshed,
    Receipt,
    Refused,
    Sighted,
    TableReceipt,
    Withheld,
    failed_receipt,
)
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.read_api.served import Api, Headers, opened
from meta_insights_pipeline_tests.read_api.sync_now.dagster_double import DagsterDouble, dagster_double

PATH = "/meta/insights/sync-now"
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def dagster() -> Iterator[DagsterDouble]:
    with dagster_double() as double:
        yield double


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock(NOW)


@pytest.fixture
def api(tmp_path: Path, dagster: DagsterDouble, clock: SkippingClock) -> Iterator[Api]:
    AccountBook(tmp_path).save([AdAccount(id=one, name=one, currency="EUR", timezone_name="UTC") for one in "123"])
    with opened(tmp_path, clock=clock, DAGSTER_URL=dagster.url) as api:
        yield api


@pytest.fixture
def operator(api: Api) -> Headers:
    return api.key(Role.OPERATOR)


def tags_of(launch: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in launch["executionMetadata"]["tags"]}


def entries(api: Api) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.outcome, dict(entry.details)) for entry in api.access.audit.newest(20) if entry.action == "sync"]


def receipt_of(run_id: str, **changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "run_id": run_id,
        "mode": "stub",
        "state": "complete",
        "started_at": NOW,
        "finished_at": NOW,
        "since": NOW.date(),
        "until": NOW.date(),
        "levels": ("ad",),
        "accounts": ("1", "2"),
        "planned_calls": {},
        "planned_calls_total": 1,
        "calls": {},
        "calls_total": 3,
        "requests": 2,
        "retries": 0,
        "waited_seconds": 0.0,
        "received_bytes": 9,
        "highest_usage_percent": 12.0,
        "repeated_rows": 0,
        "missing": (),
        "refused": (),
        "tables": {"ad_insights": TableReceipt(read=7, inserted=7, updated=0, unchanged=0, removed=0)},
        "withheld": (),
        "version_warnings": (),
        "warnings": ("of act_2",),
        "published": True,
        "snapshot": "/a/path",
        "seconds": {},
    }
    return Receipt(**{**values, **changes})


# ---- asking ----


def test_a_sync_is_launched_as_asked_and_its_address_is_told(
    api: Api, dagster: DagsterDouble, operator: Headers
) -> None:
    asked = {"date_from": "2026-03-01", "date_to": "2026-03-02", "levels": ["ad"], "accounts": ["act_2"]}
    answer = api.client.post(PATH, json=asked, headers=operator)
    assert answer.status_code == 202
    content = answer.json()
    assert content["is_new"]
    assert content["status_url"] == f"/meta/insights/sync/{content['run_id']}"
    assert answer.headers["Location"] == content["status_url"]
    shown = {name: content[name] for name in ("date_from", "date_to", "levels", "accounts")}
    assert shown == {"date_from": "2026-03-01", "date_to": "2026-03-02", "levels": ["ad"], "accounts": ["2"]}
    (launch,) = dagster.launches
    assert launch["selector"]["jobName"] == "sync_insights"
    assert [key["path"] for key in launch["selector"]["assetSelection"]] == [["ad_insights"], ["insight_actions"]]
    assert launch["runConfigData"]["ops"]["insights"]["config"]["accounts"] == ["2"]
    tags = tags_of(launch)
    assert tags["dagster/asset_partition_range_start"] == "2026-03-01"
    assert tags["dagster/asset_partition_range_end"] == "2026-03-02"
    assert tags["meta_insights/by"] == "read API"
    assert tags["meta_insights/requested_by"].startswith("key:")
    assert api.client.get(content["status_url"], headers=operator).json()["state"] == "queued"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1:1"])
def test_the_address_of_a_sync_is_where_the_api_is_said_to_be_whatever_the_request_says(
    tmp_path: Path, dagster: DagsterDouble, clock: SkippingClock, host: str
) -> None:
    for url, base in ((None, ""), ("https://ads.example.com/api/", "https://ads.example.com/api")):
        variables = {} if url is None else {"API_URL": url}
        with opened(tmp_path, clock=clock, DAGSTER_URL=dagster.url, **variables) as api:
            headers = {**api.key(Role.OPERATOR), "Host": host, "X-Forwarded-Host": host}
            answer = api.client.post(PATH, headers=headers)
            assert answer.status_code == 202
            content = answer.json()
            assert content["status_url"] == f"{base}/meta/insights/sync/{content['run_id']}"
            assert answer.headers["Location"] == content["status_url"]


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"json": None}], ids=str)
def test_without_a_body_it_is_today_and_yesterday_of_everything(
    api: Api, dagster: DagsterDouble, operator: Headers, options: dict[str, Any]
) -> None:
    content = api.client.post(PATH, headers=operator, **options).json()
    assert (content["date_from"], content["date_to"], content["accounts"]) == ("2026-03-09", "2026-03-10", [])
    names = [key["path"][0] for key in dagster.launches[0]["selector"]["assetSelection"]]
    assert {"account_insights", "ad_insights", "insight_actions", "campaigns", "ads", "creatives"} <= set(names)


def test_a_viewer_may_not_and_whoever_is_confined_gets_those_accounts_alone(api: Api, dagster: DagsterDouble) -> None:
    assert api.client.post(PATH, headers=api.key(Role.VIEWER)).status_code == 403
    assert dagster.launches == []
    confined = api.key(Role.OPERATOR, accounts=["1", "3"])
    assert api.client.post(PATH, headers=confined).json()["accounts"] == ["1", "3"]
    assert api.client.post(PATH, json={"accounts": ["2"]}, headers=confined).status_code == 404
    assert api.client.post(PATH, headers=api.key(Role.OPERATOR, accounts=[])).status_code == 403
    assert [launch["runConfigData"]["ops"]["insights"]["config"]["accounts"] for launch in dagster.launches] == [
        ["1", "3"]
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"days_back": 1, "date_from": "2026-03-01"},
        {"date_from": "2027-01-01"},
        {"date_from": "2020-01-01"},
        {"days": 2},
        [],
    ],
    ids=str,
)
def test_what_cannot_be_collected_is_a_422_and_launches_nothing(
    api: Api, dagster: DagsterDouble, operator: Headers, body: Any
) -> None:
    answer = api.client.post(PATH, json=body, headers=operator)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert dagster.launches == []


def test_the_same_sync_is_not_started_twice_while_it_is_queued_or_running(
    api: Api, dagster: DagsterDouble, operator: Headers
) -> None:
    first = api.client.post(PATH, json={"days_back": 1}, headers=operator).json()
    again = api.client.post(PATH, json={"days_back": 1}, headers=api.key(Role.ADMIN)).json()
    assert (again["run_id"], again["is_new"]) == (first["run_id"], False)
    other = api.client.post(PATH, json={"days_back": 2}, headers=operator).json()
    assert other["run_id"] != first["run_id"]
    dagster.runs[first["run_id"]]["status"] = "SUCCESS"
    later = api.client.post(PATH, json={"days_back": 1}, headers=operator).json()
    assert later["is_new"]
    assert later["run_id"] != first["run_id"]


RANGE = "dagster/asset_partition_range_"
REFRESHED = [{"key": f"{RANGE}start", "value": "2026-03-09"}, {"key": f"{RANGE}end", "value": "2026-03-10"}]
EVERYTHING = [
    *("account_insights", "campaign_insights", "adset_insights", "ad_insights", "insight_actions"),
    *("ad_accounts", "campaigns", "adsets", "ads", "creatives"),
]


def selection(*names: str) -> list[dict[str, Any]]:
    return [{"path": [name]} for name in names]


@pytest.mark.parametrize(
    "run",
    [
        {"tags": REFRESHED, "runConfig": {}},
        {"tags": [*REFRESHED, {"key": "dagster/schedule_name", "value": "sync_every_30_minutes"}]},
        {"tags": REFRESHED, "assetSelection": selection(*EVERYTHING), "status": "STARTED"},
    ],
    ids=["schedule", "tagged", "command line"],
)
def test_what_somebody_else_has_started_is_not_started_again(
    api: Api, dagster: DagsterDouble, operator: Headers, run: dict[str, Any]
) -> None:
    run_id = dagster.add_run(**{"status": "QUEUED", **run})
    content = api.client.post(PATH, headers=operator).json()
    assert (content["run_id"], content["is_new"]) == (run_id, False)
    assert dagster.launches == []
    dagster.runs[run_id]["status"] = "SUCCESS"
    assert api.client.post(PATH, headers=operator).json()["is_new"]


@pytest.mark.parametrize(
    "run",
    [
        {"tags": REFRESHED, "accounts": ["1"]},
        {"tags": REFRESHED, "assetSelection": selection("ad_insights", "insight_actions")},
        {"tags": REFRESHED, "runConfig": {"ops": {"insights": {"config": {"only_missing": True}}}}},
        {"tags": REFRESHED, "jobName": "other_job"},
        {"tags": [REFRESHED[0], {"key": f"{RANGE}end", "value": "2026-03-11"}]},
    ],
    ids=["other accounts", "other tables", "what is missing alone", "another job", "other days"],
)
def test_what_does_something_else_does_not_stand_in_the_way(
    api: Api, dagster: DagsterDouble, operator: Headers, run: dict[str, Any]
) -> None:
    dagster.add_run(**{"status": "STARTED", **run})
    assert api.client.post(PATH, headers=operator).json()["is_new"]


def test_a_run_of_one_partition_is_the_sync_of_that_day(api: Api, dagster: DagsterDouble, operator: Headers) -> None:
    tags = [{"key": "dagster/partition", "value": "2026-03-05"}]
    run_id = dagster.add_run("STARTED", ["2"], tags=tags, assetSelection=selection("ad_insights", "insight_actions"))
    asked = {"date_from": "2026-03-05", "date_to": "2026-03-05", "levels": ["ad"], "accounts": ["2"]}
    assert api.client.post(PATH, json=asked, headers=operator).json()["run_id"] == run_id


def test_a_sync_whose_process_was_killed_does_not_stand_in_the_way(
    api: Api, dagster: DagsterDouble, operator: Headers
) -> None:
    first = api.client.post(PATH, headers=operator).json()
    dagster.runs[first["run_id"]].update(status="STARTED", startTime=NOW.timestamp())
    # The lock file of a process that is gone.
    lock = api.settings.home / "tmp" / f"alive-{first['run_id']}.lock"
    lock.touch()
    state = api.client.get(first["status_url"], headers=operator).json()
    assert (state["state"], "killed" in state["detail"]) == ("failed", True)
    assert api.client.post(PATH, headers=operator).json()["is_new"]


def test_many_who_ask_at_once_in_several_processes_get_one_run(
    api: Api, dagster: DagsterDouble, operator: Headers, tmp_path: Path, clock: SkippingClock
) -> None:
    dagster.seconds = 0.2
    contents: list[Any] = []
    # The lock is a file's, and another app over the same home stands for another process.
    with opened(tmp_path, clock=clock, DAGSTER_URL=dagster.url) as other:

        def ask(which: Api) -> None:
            contents.append(which.client.post(PATH, json={"days_back": 3}, headers=operator).json())

        threads = [threading.Thread(target=ask, args=(which,)) for which in (api, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({content["run_id"] for content in contents}) == 1
    assert sum(content["is_new"] for content in contents) == 1
    assert len(dagster.launches) == 1


def test_a_request_that_is_sent_again_with_its_key_starts_nothing_even_when_the_run_is_over(
    api: Api, dagster: DagsterDouble, operator: Headers, clock: SkippingClock
) -> None:
    keyed = {**operator, "Idempotency-Key": "order-66"}
    first = api.client.post(PATH, json={"days_back": 1}, headers=keyed).json()
    dagster.runs[first["run_id"]]["status"] = "SUCCESS"
    clock.sleep(23 * 3600)
    again = api.client.post(PATH, json={"days_back": 1}, headers=keyed)
    assert again.status_code == 202
    assert again.json() == {**first, "is_new": False}
    refused = api.client.post(PATH, json={"days_back": 2}, headers=keyed)
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["detail"]
    # Keys are each principal's own.
    other = api.client.post(
        PATH, json={"days_back": 2}, headers={**api.key(Role.OPERATOR), "Idempotency-Key": "order-66"}
    )
    assert other.json()["is_new"]
    clock.sleep(2 * 3600)
    assert api.client.post(PATH, json={"days_back": 1}, headers=keyed).json()["is_new"]


def test_a_key_is_bound_to_the_sync_also_when_another_had_started_it(
    api: Api, dagster: DagsterDouble, operator: Headers
) -> None:
    first = api.client.post(PATH, headers=operator).json()
    keyed = {**operator, "Idempotency-Key": "k"}
    assert api.client.post(PATH, headers=keyed).json()["run_id"] == first["run_id"]
    dagster.runs[first["run_id"]]["status"] = "SUCCESS"
    assert api.client.post(PATH, headers=keyed).json()["run_id"] == first["run_id"]


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\u00e9"])
def test_a_key_that_is_none_is_refused(api: Api, operator: Headers, key: str) -> None:
    headers = {**{name: value.encode() for name, value in operator.items()}, "Idempotency-Key": key.encode()}
    assert api.client.post(PATH, headers=headers).status_code == 422


def test_when_dagster_is_away_it_is_a_503_with_the_remedy_and_a_failure_keeps_no_key(
    tmp_path: Path, clock: SkippingClock, dagster: DagsterDouble
) -> None:
    with opened(tmp_path, clock=clock, DAGSTER_URL="http://127.0.0.1:1") as api:
        keyed = {**api.key(Role.OPERATOR), "Idempotency-Key": "k"}
        answer = api.client.post(PATH, headers=keyed)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "META_INSIGHTS_DAGSTER_URL" in answer.json()["detail"]
        assert api.client.get(f"/meta/insights/sync/{'0' * 36}", headers=keyed).status_code == 503
        assert [outcome for outcome, _ in entries(api)] == ["failed"]
    with opened(tmp_path, clock=clock, DAGSTER_URL=dagster.url) as api:
        assert api.client.post(PATH, headers=keyed).json()["is_new"]


@pytest.mark.parametrize(
    "refusal",
    [
        {"__typename": "PipelineNotFoundError", "message": "no job /secret/place"},
        {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "bad /secret/place"}]},
        {"__typename": "PythonError", "message": "Traceback /secret/place"},
    ],
    ids=str,
)
def test_when_dagster_does_not_take_it_the_log_tells_why_and_the_client_what_to_look_at(
    api: Api, dagster: DagsterDouble, operator: Headers, refusal: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    dagster.refusal = refusal
    answer = api.client.post(PATH, headers=operator)
    assert answer.status_code == 503
    assert "/secret" not in answer.text
    assert entries(api)[-1][0] == "failed"


def test_the_audit_log_tells_who_asked_for_what_and_what_became_of_it(api: Api, dagster: DagsterDouble) -> None:
    operator = api.key(Role.OPERATOR)
    headers = {**operator, "X-Request-ID": "my-request"}
    run_id = api.client.post(PATH, json={"days_back": 1, "levels": ["ad"]}, headers=headers).json()["run_id"]
    api.client.post(PATH, json={"accounts": ["77"]}, headers=headers)
    (asked, first), (done, second), (refused, third) = entries(api)
    assert (asked, done, refused) == ("asked", "done", "refused")
    assert first["levels"] == ["ad"]
    assert (first["since"], first["until"]) == ("2026-03-09", "2026-03-10")
    assert (second["run_id"], second["is_new"]) == (run_id, True)
    assert third["asked"] == {"accounts": ["77"]}
    found = api.access.audit.newest(3)
    assert {entry.request_id for entry in found} == {"my-request"}
    assert {entry.principal for entry in found} == {f"key:{operator['X-API-Key'].split('_')[1]}"}


@pytest.mark.parametrize(
    ("role", "options", "status", "reason"),
    [
        (Role.VIEWER, {"json": {"days_back": 1}}, 403, "This needs the role operator; yours is viewer."),
        (Role.OPERATOR, {"json": {"days": "secret"}}, 422, "Cannot be understood: body.days."),
        (Role.OPERATOR, {"content": b"{secret"}, 422, "Cannot be understood: body.1."),
        (Role.OPERATOR, {"json": ["secret"]}, 422, "Cannot be understood: body."),
        (Role.OPERATOR, {"params": {"days_back": "secret"}}, 422, "Cannot be understood: query.days_back."),
        (
            Role.OPERATOR,
            {"headers": {"Idempotency-Key": "a secret"}},
            422,
            "Cannot be understood: header.idempotency-key.",
        ),
    ],
    ids=["role", "field", "no JSON", "list", "query", "header"],
)
def test_what_is_refused_before_it_is_looked_at_is_in_the_audit_log_too(
    api: Api, dagster: DagsterDouble, role: Role, options: dict[str, Any], status: int, reason: str
) -> None:
    key = api.key(role)
    headers = {**key, "X-Request-ID": "my-request", "Content-Type": "application/json", **options.get("headers", {})}
    answer = api.client.post(PATH, **{**options, "headers": headers})
    assert answer.status_code == status
    assert dagster.launches == []
    (entry,) = [entry for entry in api.access.audit.newest(20) if entry.action == "sync"]
    assert (entry.outcome, entry.request_id) == ("refused", "my-request")
    assert entry.principal == f"key:{key['X-API-Key'].split('_')[1]}"
    assert entry.details["reason"] == reason
    assert "secret" not in json.dumps(dict(entry.details))


def test_whoever_is_not_let_in_is_told_so_whatever_the_body_and_leaves_no_entry(api: Api) -> None:
    for content in (b"", b"{not json", b'{"days": 1}', b" " * 70_000):
        answer = api.client.post(PATH, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (401, 413)
    assert entries(api) == []


def test_a_request_that_is_refused_is_counted_once(
    tmp_path: Path, dagster: DagsterDouble, clock: SkippingClock
) -> None:
    with opened(tmp_path, clock=clock, DAGSTER_URL=dagster.url, API_REQUESTS_PER_MINUTE=3) as api:
        key = {**api.key(Role.OPERATOR), "Content-Type": "application/json"}
        statuses = [api.client.post(PATH, content=b"{", headers=key).status_code for _ in range(5)]
        assert statuses == [422, 422, 422, 429, 429]
        assert len(entries(api)) == 3


def test_what_cannot_be_recorded_is_not_done(api: Api, dagster: DagsterDouble, operator: Headers) -> None:
    with closing(sqlite3.connect(api.settings.access_path, isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no room'); END")
    assert api.client.post(PATH, headers=operator).status_code == 503
    assert dagster.launches == []


# ---- looking ----


def status_of(api: Api, run_id: str, headers: Headers) -> Any:
    answer = api.client.get(f"/meta/insights/sync/{run_id}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("QUEUED", "queued"),
        ("NOT_STARTED", "queued"),
        ("STARTING", "queued"),
        ("STARTED", "running"),
        ("CANCELING", "canceling"),
        ("SUCCESS", "succeeded"),
        ("FAILURE", "failed"),
        ("CANCELED", "canceled"),
    ],
)
def test_each_of_dagsters_states_has_a_plain_name(api: Api, dagster: DagsterDouble, status: str, state: str) -> None:
    content = status_of(api, dagster.add_run(status), api.key())
    assert content["state"] == state
    assert content["receipt"] is None
    assert content["progress"]["steps_total"] == 1


@pytest.mark.parametrize("seen", [None, NOW - timedelta(minutes=3)], ids=["never", "no longer"])
def test_a_queued_sync_that_nobody_starts_says_what_is_missing(
    api: Api, dagster: DagsterDouble, seen: datetime | None
) -> None:
    run_id = dagster.add_run("QUEUED")
    dagster.queue_served_at = (NOW - timedelta(seconds=40)).timestamp()
    assert status_of(api, run_id, api.key())["detail"] is None
    dagster.queue_served_at = None if seen is None else seen.timestamp()
    content = status_of(api, run_id, api.key())
    assert content["state"] == "queued"
    assert "start dagster-daemon run" in content["detail"]


def test_a_running_sync_tells_how_far_it_is(api: Api, dagster: DagsterDouble, clock: SkippingClock) -> None:
    run_id = dagster.add_run("STARTED", startTime=(NOW - timedelta(seconds=90)).timestamp())
    folder = api.settings.home / "tmp" / f"sync-{run_id}"
    with alive(api.settings.home, run_id):
        assert status_of(api, run_id, api.key())["progress"]["reports_done"] is None
        folder.mkdir(parents=True)
        told = {"reports_done": 3, "reports_total": 8, "rows": 120, "calls": 9}
        (folder / "progress.json").write_text(json.dumps(told), "utf-8")
        progress = status_of(api, run_id, api.key())["progress"]
    assert progress == {**told, "steps_done": 0, "steps_total": 1, "seconds": 90.0}


def test_a_sync_that_has_ended_gives_its_receipt(api: Api, dagster: DagsterDouble) -> None:
    run_id = dagster.add_run("SUCCESS")
    receipt_of(run_id).save(api.settings.receipts_path)
    content = status_of(api, run_id, api.key())
    # Where on the server the file is, is nobody's business.
    assert Receipt.model_validate(content["receipt"]) == receipt_of(run_id, snapshot="path")
    assert content["progress"]["rows"] == 7
    lacking = Missing(report="ad_insights", account_id="1", since=NOW.date(), until=NOW.date(), reason="Too much.")
    receipt_of(run_id, state="partial", missing=(lacking,)).save(api.settings.receipts_path)
    content = status_of(api, run_id, api.key())
    assert content["state"] == "partial"
    assert "Too much." in content["detail"]


def test_a_sync_that_failed_before_it_had_anything_says_why_in_one_line(api: Api, dagster: DagsterDouble) -> None:
    events = [
        {},
        {"failureMetadata": {"description": "The token\nwas refused."}, "error": {"message": "Failure"}},
        {"message": "Steps failed: ['insights']."},
    ]
    run_id = dagster.add_run("FAILURE", events=events)
    assert status_of(api, run_id, api.key())["detail"] == "The token was refused."
    run_id = dagster.add_run("FAILURE", events=events[2:])
    assert status_of(api, run_id, api.key())["detail"] == "Steps failed: ['insights']."


def test_whoever_is_confined_sees_syncs_of_own_accounts_alone_and_nothing_of_the_installation(
    api: Api, dagster: DagsterDouble
) -> None:
    confined = api.key(accounts=["1"])
    own = dagster.add_run("SUCCESS", ["1"])
    receipt_of(
        own, accounts=("1",), refused=(Refused(account_id="1", reason="r"), Refused(account_id="2", reason="r"))
    ).save(api.settings.receipts_path)
    content = status_of(api, own, confined)
    assert content["accounts"] == ["1"]
    assert content["receipt"]["accounts"] == ["1"]
    assert [one["account_id"] for one in content["receipt"]["refused"]] == ["1"]
    assert not {"snapshot", "warnings", "calls_total", "tables", "seconds"} & set(content["receipt"])
    assert "act_2" not in json.dumps(content)
    texts = []
    foreign = [dagster.add_run("SUCCESS", ["2"]), dagster.add_run("SUCCESS", ["2", "3"])]
    receipt_of(foreign[1], accounts=("2", "3")).save(api.settings.receipts_path)
    for run_id in (*foreign, "0" * 36, dagster.add_run("SUCCESS", ["1"], jobName="other_job")):
        answer = api.client.get(f"/meta/insights/sync/{run_id}", headers=confined)
        assert answer.status_code == 404
        texts.append(answer.json()["detail"].replace(run_id, "ID"))
    assert len(set(texts)) == 1


def test_whoever_is_confined_is_told_how_a_sync_of_others_too_went_for_the_own_accounts(
    api: Api, dagster: DagsterDouble
) -> None:
    confined = api.key(accounts=["1"])
    lacking = Missing(report="ad_insights", account_id="2", since=NOW.date(), until=NOW.date(), reason="About act_2.")
    drift = [
        Sighted(
            kind="field", report="ad_insights", account_id=one, name=f"of_{one}", example=None, text=f"of act_{one}"
        )
        for one in "12"
    ]
    withheld = Withheld(report="ad_insights", account_id="2", field="reach", reason="of act_2")
    for accounts in (None, ["1", "2"]):
        run_id = dagster.add_run("SUCCESS", accounts)
        receipt_of(
            run_id,
            state="partial",
            missing=(lacking,),
            drift=tuple(drift),
            withheld=(withheld,),
            version_warnings=("of act_2",),
        ).save(api.settings.receipts_path)
        content = status_of(api, run_id, confined)
        assert (content["state"], content["detail"]) == ("succeeded", None)
        assert content["accounts"] == ([] if accounts is None else ["1"])
        assert [one["name"] for one in content["receipt"]["drift"]] == ["of_1"]
        assert content["progress"]["rows"] is content["progress"]["calls"] is None
        assert "of act_2" not in json.dumps(content)
        assert "of_2" not in json.dumps(content)
        assert status_of(api, run_id, api.key())["state"] == "partial"
    listed = api.client.get("/meta/insights/syncs", headers=confined).json()["items"]
    assert len(listed) == 2
    for sync in listed:
        assert status_of(api, sync["run_id"], confined)["receipt"]["state"] == sync["state"] == "complete"


@pytest.mark.parametrize("part", ["withheld", "not_refreshed", "drift"])
def test_an_account_of_which_a_receipt_tells_anything_is_one_that_the_sync_was_about(
    api: Api, dagster: DagsterDouble, part: str
) -> None:
    told: dict[str, Any] = {
        "withheld": Withheld(report="ad_insights", account_id="2", field="reach", reason="r"),
        "not_refreshed": NotRefreshed(account_id="2", reason="r"),
        "drift": Sighted(kind="field", report="ad_insights", account_id="2", name="n", example=None, text="t"),
    }
    run_id = dagster.add_run("SUCCESS", ["1"])
    receipt_of(run_id, accounts=("1",), **{part: (told[part],)}).save(api.settings.receipts_path)
    content = status_of(api, run_id, api.key(accounts=["1"]))
    assert content["receipt"][part] == []
    assert "tables" not in content["receipt"]
    assert status_of(api, run_id, api.key(accounts=["1", "2"]))["receipt"]["tables"]


def test_a_running_sync_of_every_account_is_seen_without_its_figures(api: Api, dagster: DagsterDouble) -> None:
    run_id = dagster.add_run("STARTED", startTime=NOW.timestamp())
    folder = api.settings.home / "tmp" / f"sync-{run_id}"
    folder.mkdir(parents=True)
    (folder / "progress.json").write_text(json.dumps({"rows": 120, "calls": 9}), "utf-8")
    with alive(api.settings.home, run_id):
        content = status_of(api, run_id, api.key(accounts=["1"]))
        assert (content["state"], content["progress"]["rows"]) == ("running", None)
        assert status_of(api, run_id, api.key())["progress"]["rows"] == 120
    assert api.client.get(f"/meta/insights/sync/{run_id}", headers=api.key(accounts=[])).status_code == 404


def test_a_sync_that_failed_names_no_folder_of_the_server_and_others_are_not_told_why(
    api: Api, dagster: DagsterDouble
) -> None:
    home = api.settings.home.absolute()
    error = f"{home}/warehouse.duckdb is held by another program; act_2."
    run_id = dagster.add_run("FAILURE")
    failed_receipt(
        run_id=run_id,
        mode="live",
        error=error,
        started_at=NOW,
        finished_at=NOW,
        since=NOW.date(),
        until=NOW.date(),
        levels=["ad"],
        accounts=[],
    ).save(api.settings.receipts_path)
    content = status_of(api, run_id, api.key())
    assert content["detail"] == "META_INSIGHTS_HOME/warehouse.duckdb is held by another program; act_2."
    assert (content["state"], content["receipt"]["error"]) == ("failed", content["detail"])
    confined = status_of(api, run_id, api.key(accounts=["1"]))
    assert (confined["state"], "act_2" in json.dumps(confined)) == ("failed", False)
    events = [{"failureMetadata": {"description": f"No room in {home}/tmp."}}]
    run_id = dagster.add_run("FAILURE", events=events)
    assert status_of(api, run_id, api.key())["detail"] == "No room in META_INSIGHTS_HOME/tmp."


def test_a_sync_of_which_dagster_knows_nothing_is_told_by_its_receipt(api: Api) -> None:
    run_id = "00000000-0000-4000-8000-000000000009"
    receipt_of(run_id, finished_at=NOW + timedelta(seconds=4)).save(api.settings.receipts_path)
    content = status_of(api, run_id, api.key())
    assert (content["state"], content["progress"]["seconds"], content["progress"]["rows"]) == ("succeeded", 4.0, 7)
    assert api.client.get(f"/meta/insights/sync/{run_id}", headers=api.key(accounts=["3"])).status_code == 404


def test_a_run_from_an_assets_page_is_a_sync_and_any_other_job_is_none(api: Api, dagster: DagsterDouble) -> None:
    viewer = api.key()
    from_page = dagster.add_run("SUCCESS", jobName="__ASSET_JOB", assetSelection=[{"path": ["ad_insights"]}])
    other = dagster.add_run("SUCCESS", jobName="__ASSET_JOB", assetSelection=[{"path": ["my_table"]}])
    assert status_of(api, from_page, viewer)["state"] == "succeeded"
    assert api.client.get(f"/meta/insights/sync/{other}", headers=viewer).status_code == 404


def test_days_are_read_from_the_tags_of_a_range_and_of_one_day(api: Api, dagster: DagsterDouble) -> None:
    one = dagster.add_run("SUCCESS", tags=[{"key": "dagster/partition", "value": "2026-03-01"}])
    odd = dagster.add_run("SUCCESS", tags=[{"key": "dagster/partition", "value": "all"}])
    content = status_of(api, one, api.key())
    assert (content["date_from"], content["date_to"]) == ("2026-03-01", "2026-03-01")
    assert status_of(api, odd, api.key())["date_from"] is None
