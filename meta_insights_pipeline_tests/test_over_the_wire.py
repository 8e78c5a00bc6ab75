"""The whole pipeline in live mode against the simulator, each in processes of their own, over HTTP.

What is pinned here: after a sync every row and value equals the simulator's truth; a later sync touches only what changed;
a killed sync loses and doubles nothing while readers go on; two syncs at once wait for each other.
"""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline_tests.comparison import assert_equals, assert_equals_truth, expected_tables, read_rows
from meta_insights_pipeline_tests.live import TOKEN as LIVE_TOKEN
from meta_insights_pipeline_tests.live import live as live_simulator
from meta_insights_pipeline_tests.processes import COMMAND, environment, run_command, simulator_process, wait_for

TOKEN = "EAAB-wire-test-token-0123456789"
SECRET = "wire-test-app-secret"


def live(home: Path, url: str) -> dict[str, str]:
    return environment(
        home,
        META_INSIGHTS_MODE="live",
        META_ACCESS_TOKEN=TOKEN,
        META_APP_SECRET=SECRET,
        META_GRAPH_API_URL=url,
    )


INSIGHTS = ("account_insights", "campaign_insights", "adset_insights", "ad_insights", "insight_actions")


def inserted(receipt: dict[str, Any]) -> dict[str, int]:
    """Rows that were new, by table."""
    return {name: table["inserted"] for name, table in receipt["tables"].items()}


def noon(days_ago: int) -> datetime:
    """A moment of the past that is the same day in every zone of the simulated accounts."""
    today = datetime.now(UTC).date()
    return datetime(today.year, today.month, today.day, 12, 7, tzinfo=UTC) - timedelta(days=days_ago)


def move_clock(url: str, at: datetime) -> None:
    requests.post(f"{url}/_simulator/clock", json={"now": at.isoformat()}, timeout=10).raise_for_status()


@pytest.mark.slow
def test_every_row_and_value_equals_the_truth_and_after_a_day_only_changed_rows_were_touched(tmp_path: Path) -> None:
    world, first, second = World(WorldSpec()), noon(2), noon(1)
    home = tmp_path / "home"
    snapshot = home / "meta_insights.duckdb"
    arguments = ["--now", first.isoformat(), "--token", TOKEN, "--app-secret", SECRET]
    with simulator_process(arguments, tmp_path) as url:
        done = run_command(["sync", "--days-back", "13", "--json"], live(home, url), tmp_path)
        assert done.returncode == 0, done.stderr
        receipt = json.loads(done.stdout)
        assert receipt["missing"] == []
        since, until = date.fromisoformat(receipt["since"]), date.fromisoformat(receipt["until"])
        assert (until - since).days in (13, 14)  # the days of all accounts, which differ by one around midnight
        rows = assert_equals_truth(snapshot, world, since, until, first)
        assert rows == sum(inserted(receipt).get(name, 0) for name in INSIGHTS) > 25_000
        before = {level: _rows_by_key(snapshot, level) for level in Level}

        move_clock(url, second)
        done = run_command(["sync", "--days-back", "13", "--json"], live(home, url), tmp_path)
        assert done.returncode == 0, done.stderr
        receipt = json.loads(done.stdout)
        assert_equals_truth(snapshot, world, since, until, second)
        for level in Level:
            after = _rows_by_key(snapshot, level)
            touched = [key for key, row in after.items() if key in before[level] and row != before[level][key]]
            counts = receipt["tables"][f"{level}_insights"]
            assert counts["updated"] == len(touched) > 0
            assert counts["inserted"] == len(after.keys() - before[level].keys()) > 0
            assert counts["removed"] == len(before[level].keys() - after.keys())
            assert counts["unchanged"] == counts["read"] - counts["updated"] - counts["inserted"] > 0
            # A row that was touched has a new value, not only a new time of change.
            for key in touched:
                old, new = dict(before[level][key]), dict(after[key])
                assert str(new.pop("changed_at")) > str(old.pop("changed_at"))
                assert new != old


def _rows_by_key(snapshot: Path, level: Level) -> dict[tuple[str, date], dict[str, object]]:
    rows = read_rows(snapshot, f"SELECT * FROM {level}_insights")
    return {(row[level.id_field], row["date_start"]): row for row in rows}


@pytest.mark.slow
def test_a_killed_sync_loses_and_doubles_nothing_and_readers_go_on(tmp_path: Path) -> None:
    world, first, second = World(WorldSpec()), noon(2), noon(1)
    home = tmp_path / "home"
    snapshot = home / "meta_insights.duckdb"
    since, until = datetime.now(UTC).date() - timedelta(days=5), datetime.now(UTC).date()
    with simulator_process(["--now", first.isoformat(), "--latency", "0.1"], tmp_path) as url:
        variables = live(home, url)
        assert run_command(["sync", "--days-back", "5"], variables, tmp_path).returncode == 0
        move_clock(url, second)
        before = expected_tables(world, Level, since, until, first)
        # Killed at three different points of its way: while it collects, later, and around the merge.
        for pages_before_kill in (1, 6, 20):
            _kill_after_pages(variables, tmp_path, url, pages_before_kill)
            assert_equals(snapshot, before)
        done = run_command(["sync", "--days-back", "5", "--json"], variables, tmp_path)
        assert done.returncode == 0, done.stderr
        assert_equals_truth(snapshot, world, since, until, second)
    left = [file.name for file in home.iterdir() if "draft" in file.name]
    assert left == []


def _kill_after_pages(variables: dict[str, str], folder: Path, url: str, pages: int) -> None:
    def served() -> int:
        counts = requests.get(f"{url}/_simulator/requests", timeout=10).json()
        return sum(counts.values())

    before = served()
    process = subprocess.Popen(
        [COMMAND, "sync", "--days-back", "5"],
        env=variables,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: served() >= before + pages or process.poll() is not None, 60, "the sync to call")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert process.returncode == -signal.SIGKILL, "the sync was over before it could be killed"


@pytest.mark.slow
def test_two_syncs_at_the_same_time_wait_for_each_other_and_neither_fails(tmp_path: Path) -> None:
    world, at = World(WorldSpec()), noon(1)
    home = tmp_path / "home"
    with simulator_process(["--now", at.isoformat()], tmp_path) as url:
        processes = [
            subprocess.Popen(
                [COMMAND, "sync", "--days-back", "6", "--json"],
                env=live(home, url),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    until = datetime.now(UTC).date()
    assert_equals_truth(home / "meta_insights.duckdb", world, until - timedelta(days=6), until, at)
    first, second = (inserted(json.loads(out)) for out, _ in results)
    assert all(0 in (first[table], second[table]) for table in first), "the second to write found everything there"
    assert all(first[table] + second[table] > 0 for table in INSIGHTS)


@pytest.mark.slow
def test_two_syncs_at_the_same_time_keep_one_budget_between_them(tmp_path: Path) -> None:
    spec = WorldSpec(accounts=1, campaigns=5, adsets_per_campaign=5, ads_per_adset=20, always_on=True)
    home = tmp_path / "home"
    with live_simulator(tmp_path / "simulator", spec, budgets={"ads_insights": 30}) as server:
        variables = {**live(home, server.url), "META_ACCESS_TOKEN": LIVE_TOKEN}
        del variables["META_APP_SECRET"]
        since = str(server.at.date() - timedelta(days=28))
        processes = [
            subprocess.Popen(
                [COMMAND, "sync", "--start", since, "--level", level, "--json"],
                env=variables,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for level in ("ad", "adset")
        ]
        results = [process.communicate(timeout=120) for process in processes]
        spent = sum(json.loads(out)["calls_total"] for out, _ in results)
        refused = dict(server.simulator.calls_while_blocked)
    # 29 pages of one and 2 of the other, and what it takes to make the reports: more than the hour's budget.
    assert spent >= 25
    assert refused == {}
    states = [json.loads(out)["state"] for out, _ in results]
    assert "partial" in states
    sentence = results[states.index("partial")][1].splitlines()[-1]
    assert "No call was made" in sentence
    assert "due again at" in sentence


@pytest.mark.slow
def test_a_reader_that_holds_the_snapshot_open_is_neither_disturbed_nor_in_the_way(tmp_path: Path) -> None:
    home = tmp_path / "home"
    snapshot = home / "meta_insights.duckdb"
    assert run_command(["sync", "--days-back", "2"], environment(home), tmp_path).returncode == 0
    code = (
        "import duckdb, sys\n"
        f"connection = duckdb.connect({str(snapshot)!r}, read_only=True)\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(connection.execute('SELECT count(*) > 0 FROM ad_insights').fetchone()[0])\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    inode = snapshot.stat().st_ino
    began = time.monotonic()
    assert run_command(["sync", "--days-back", "2"], environment(home), tmp_path).returncode == 0
    assert time.monotonic() - began < 60
    assert snapshot.stat().st_ino != inode
    out, _ = reader.communicate("go\n", timeout=30)
    assert out == "True\n"
