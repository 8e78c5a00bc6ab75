"""`meta-insights up` with all its processes: data in the UI, runs and backfills from it, syncs by the API, an orderly end."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from meta_insights_pipeline_tests.comparison import read_rows
from meta_insights_pipeline_tests.processes import COMMAND, environment, run_command, wait_for

TODAY = datetime.now(UTC).date()
READY = "Ctrl-C stops everything."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A running `up`, its output so far, Dagster's GraphQL and the read API."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, port: int, api_port: int) -> None:
        self.process = process
        self.output = output
        self.url = f"http://127.0.0.1:{port}"
        self.api_url = f"http://127.0.0.1:{api_port}"

    def text(self) -> str:
        return self.output.read_text("utf-8")

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def run_status(self, run_id: str) -> str:
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.ask(query, id=run_id)["runOrError"]["status"])

    def wait_for_success(self, run_id: str) -> None:
        wait_for(lambda: self.run_status(run_id) in ("SUCCESS", "FAILURE"), 90, f"run {run_id}")
        assert self.run_status(run_id) == "SUCCESS"


@contextmanager
def up(home: Path, *arguments: str) -> Iterator[Running]:
    port, api_port = free_port(), free_port()
    home.mkdir(exist_ok=True)
    output = home / "up.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [COMMAND, "up", "--dagster-port", str(port), "--api-port", str(api_port), *arguments],
            env=environment(home),
            cwd=home,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        running = Running(process, output, port, api_port)
        wait_for(lambda: READY in running.text() or process.poll() is not None, 120, "up")
        assert process.poll() is None, running.text()
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


@pytest.mark.slow
def test_the_ui_has_the_data_runs_any_range_of_any_levels_and_ends_with_its_children(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home, "--days", "3") as running:
        # Data is there with the first page.
        assets = running.ask(
            "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId partition } "
            "assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } }"
        )["assetNodes"]
        names = {node["assetKey"]["path"][0] for node in assets}
        assert {"account_insights", "campaign_insights", "adset_insights", "ad_insights"} <= names
        for node in assets:
            assert node["assetMaterializations"], node
            checks = node["assetChecksOrError"]["checks"]
            # Views hold no rows of their own to be checked.
            expected = set() if node["assetKey"]["path"][0].endswith("_report") else {"SUCCEEDED"}
            assert {check["executionForLatestMaterialization"]["status"] for check in checks} == expected
        assert read_rows(home / "meta_insights.duckdb", "SELECT count(*) > 0 AS there FROM ad_insights") == [
            {"there": True}
        ]
        schedules = running.ask(
            '{ schedulesOrError(repositorySelector: {repositoryLocationName: "meta_insights_pipeline", '
            'repositoryName: "__repository__"}) { ... on Schedules { results { name scheduleState { status } } } } }'
        )["schedulesOrError"]["results"]
        assert schedules == [{"name": "sync_every_30_minutes", "scheduleState": {"status": "RUNNING"}}]

        # The daemon knows the code location from its first moment, or the schedule would miss a tick.
        daemon_log = home / "logs" / "daemon.log"
        wait_for(lambda: "Instance is configured" in daemon_log.read_text("utf-8"), 60, "the daemon")
        assert "Error loading" not in daemon_log.read_text("utf-8")

        # A range of days, two levels, one run: what the UI sends for "launch as a single run".
        since, until = TODAY - timedelta(days=9), TODAY - timedelta(days=7)
        launched = running.ask(
            "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) "
            "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            p={
                "selector": {
                    "repositoryLocationName": "meta_insights_pipeline",
                    "repositoryName": "__repository__",
                    "pipelineName": "sync_insights",
                    "assetSelection": [{"path": ["campaign_insights"]}, {"path": ["adset_insights"]}],
                    "assetCheckSelection": [],
                },
                "mode": "default",
                "executionMetadata": {
                    "tags": [
                        {"key": "dagster/asset_partition_range_start", "value": since.isoformat()},
                        {"key": "dagster/asset_partition_range_end", "value": until.isoformat()},
                    ]
                },
            },
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        running.wait_for_success(launched["run"]["runId"])
        old = read_rows(
            home / "meta_insights.duckdb",
            "SELECT (SELECT count(DISTINCT date_start) FROM campaign_insights) AS campaign_days, "
            "(SELECT count(DISTINCT date_start) FROM ad_insights) AS ad_days",
        )[0]
        assert old["campaign_days"] == old["ad_days"] + 3

        # A backfill of several days becomes one run.
        keys = [(TODAY - timedelta(days=days)).isoformat() for days in (6, 5)]
        backfill = running.ask(
            "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) "
            "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
            p={"assetSelection": [{"path": ["account_insights"]}], "partitionNames": keys},
        )["launchPartitionBackfill"]
        assert backfill["__typename"] == "LaunchBackfillSuccess", backfill
        query = (
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status runs(limit: 10) { runId status } } } }"
        )

        def state() -> Any:
            return running.ask(query, id=backfill["backfillId"])["partitionBackfillOrError"]

        wait_for(lambda: state()["status"].startswith(("COMPLETED", "FAILED")), 150, "the backfill")
        assert state()["status"] == "COMPLETED_SUCCESS"
        assert [run["status"] for run in state()["runs"]] == ["SUCCESS"]

        children = psutil.Process(running.process.pid).children(recursive=True)
        assert len(children) >= 3
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(40) == 0
        assert running.text().endswith("Stopped.\n")
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []


@pytest.mark.slow
def test_the_read_api_answers_without_a_key_and_its_syncs_are_dagsters(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home, "--days", "2") as running:
        api = f"{running.api_url}/meta/insights"
        assert running.api_url in running.text()
        assert requests.get(f"{running.api_url}/readyz", timeout=20).status_code == 200
        assert requests.get(f"{api}/overview", params={"days": 2}, timeout=20).status_code == 200
        # Nothing for a page of another site, nor under another name.
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            assert requests.get(f"{api}/overview", headers=headers, timeout=20).status_code == 401
        accounts = [row["account_id"] for row in requests.get(f"{api}/accounts", timeout=20).json()["items"]]
        tag = requests.get(f"{api}/overview", timeout=20).headers["ETag"]

        since, until = TODAY - timedelta(days=6), TODAY - timedelta(days=5)
        asked = {"date_from": str(since), "date_to": str(until), "levels": ["campaign"], "accounts": [accounts[0]]}
        answer = requests.post(f"{api}/sync-now", json=asked, headers={"Idempotency-Key": "k"}, timeout=60)
        assert answer.status_code == 202, answer.text
        launched = answer.json()
        assert launched["is_new"]
        assert launched["accounts"] == [accounts[0]]
        again = requests.post(f"{api}/sync-now", json=asked, timeout=60).json()
        assert again["run_id"] == launched["run_id"] or not again["is_new"]

        def state() -> Any:
            return requests.get(launched["status_url"], timeout=30).json()

        assert state()["state"] in ("queued", "running")
        wait_for(lambda: state()["state"] not in ("queued", "running"), 120, "the sync")
        ended = state()
        assert ended["state"] == "succeeded", ended
        assert (ended["date_from"], ended["date_to"]) == (str(since), str(until))
        assert ended["by"] == "read API"
        assert ended["receipt"]["accounts"] == [accounts[0]]
        assert ended["receipt"]["levels"] == ["campaign"]
        assert running.run_status(launched["run_id"]) == "SUCCESS"
        # What was collected is what was asked for, and it is answered from at once.
        rows = read_rows(
            home / "meta_insights.duckdb",
            "SELECT account_id, date_start::VARCHAR AS day, (SELECT count(*) FROM ad_insights "
            f"WHERE date_start BETWEEN '{since}' AND '{until}') AS ads FROM campaign_insights "
            f"WHERE date_start BETWEEN '{since}' AND '{until}' GROUP BY ALL ORDER BY ALL",
        )
        assert {row["account_id"] for row in rows} == {accounts[0]}
        assert {row["ads"] for row in rows} == {0}
        wait_for(lambda: requests.get(f"{api}/overview", timeout=20).headers["ETag"] != tag, 5, "the new answer")
        # The same key starts nothing again, and another sync has a run of its own.
        kept = requests.post(f"{api}/sync-now", json=asked, headers={"Idempotency-Key": "k"}, timeout=60).json()
        assert (kept["run_id"], kept["is_new"]) == (launched["run_id"], False)

        # A sync that Dagster must refuse is refused here, and what is unknown is not there.
        future = {"date_from": str(TODAY + timedelta(days=5))}
        assert requests.post(f"{api}/sync-now", json=future, timeout=60).status_code == 422
        assert requests.get(f"{api}/sync/{'0' * 36}", timeout=30).status_code == 404

        children = psutil.Process(running.process.pid).children(recursive=True)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(40) == 0
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
    done = run_command(["keys", "audit", "--json"], environment(home), home)
    entries = json.loads(done.stdout)["entries"]
    assert [entry["outcome"] for entry in entries][:2] == ["asked", "done"]
    assert {entry["principal"] for entry in entries} == {"open:local"}


@pytest.mark.slow
def test_ports_that_cannot_be_used_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, words in (
            (["--api-port", port], f"Port {port} cannot be used"),
            (["--api-port", "3000", "--dagster-port", "3000"], "two different ones"),
        ):
            done = run_command(["up", *arguments], environment(tmp_path), tmp_path)
            assert done.returncode == 2
            assert words in done.stderr
            assert "--api-port" in done.stderr
    assert not (tmp_path / "meta_insights.duckdb").exists()


@pytest.mark.slow
def test_without_ui_it_loads_the_days_and_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run_command(["up", "--no-ui", "--days", "2"], environment(tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Loaded" in done.stdout
    days = read_rows(tmp_path / "meta_insights.duckdb", "SELECT count(DISTINCT date_start) AS n FROM ad_insights")
    assert days[0]["n"] in (2, 3)
    assert time.monotonic() - began < 60
