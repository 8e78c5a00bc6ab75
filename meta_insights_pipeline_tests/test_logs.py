"""What a line of the log says, to a person and to a program."""

import json
import logging
import threading
from contextvars import copy_context
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.graph_api.meter import CallMeter
from meta_insights_pipeline.logs import (
    JsonFormatter,
    TerminalFormatter,
    add_context,
    fields_of,
    is_for_a_person,
    log_context,
)
from meta_insights_pipeline.progress import PROGRESS_FILE, EntityProgress, Progress
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.live import live


def record(message: str = "hello", level: int = logging.INFO, **fields: str) -> logging.LogRecord:
    line = logging.makeLogRecord({"msg": message, "levelno": level, "levelname": logging.getLevelName(level), **fields})
    assert add_context(line)
    return line


def test_a_line_for_programs_is_one_json_object_with_what_it_is_about() -> None:
    with log_context(run="r1"):
        line = record("ünï", account="1", report="ad_insights", report_run_id="77", fbtrace_id="Axy")
    told = json.loads(JsonFormatter().format(line))
    assert datetime.fromisoformat(told.pop("at")).tzinfo is not None
    assert told == {
        "level": "info",
        "run": "r1",
        "account": "1",
        "report": "ad_insights",
        "report_run_id": "77",
        "fbtrace_id": "Axy",
        "message": "ünï",
    }


def test_a_line_for_a_person_has_the_time_and_a_mark_only_when_something_is_wrong() -> None:
    assert TerminalFormatter().format(record())[2:].endswith(" hello")
    assert TerminalFormatter().format(record(level=logging.WARNING)).endswith(" warning: hello")


def test_what_a_line_says_itself_wins_over_where_it_was_logged_and_nothing_is_left_behind() -> None:
    with log_context(run="r1", account="1"), log_context(account="2"):
        assert fields_of(record(account="3")) == {"run": "r1", "account": "3"}
        assert fields_of(record()) == {"run": "r1", "account": "2"}
    assert fields_of(record()) == {}


def test_threads_that_copy_the_context_say_the_same() -> None:
    found: list[dict[str, str]] = []
    with log_context(run="r1"):
        thread = threading.Thread(target=copy_context().run, args=(lambda: found.append(fields_of(record())),))
        thread.start()
        thread.join()
    assert found == [{"run": "r1"}]


def test_lines_of_a_sync_name_run_account_report_and_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "meta_insights_pipeline")
    caplog.handler.addFilter(add_context)
    with live(tmp_path) as home:
        refused = home.world.accounts[0].id
        home.simulator.faults.add("graph_error", account=refused, kind="insights", code=2, status=500)
        days = DayRange(home.at.date(), home.at.date())
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
    lines = [fields_of(one) for one in caplog.records if one.name.startswith("meta_insights_pipeline")]
    assert {line.get("run") for line in lines} == {"run-1"}
    assert any(line.get("account") == refused and line.get("fbtrace_id") for line in lines)


def test_a_sync_without_trouble_has_a_line_for_each_report_and_a_trace_of_each_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "meta_insights_pipeline")
    caplog.handler.addFilter(add_context)
    with live(tmp_path) as home:
        days = DayRange(home.at.date() - timedelta(days=20), home.at.date())
        reports = reports_of_levels([Level.CAMPAIGN, Level.AD])
        request = SyncRequest("run-1", days, reports, entities_every=timedelta())
        receipt = run_sync(home.settings, request).receipt
    ours = [one for one in caplog.records if one.name.startswith("meta_insights_pipeline")]
    came = [one for one in ours if "rows have come" in one.getMessage()]
    assert {(one.account, one.report) for one in came} == {  # type: ignore[attr-defined]
        (account, report.name) for account in receipt.accounts for report in reports
    }
    assert {one.levelno for one in came} == {logging.INFO}
    assert not any(is_for_a_person(one) for one in came)
    calls = [fields_of(one) for one in ours if ": HTTP 200" in one.getMessage()]
    assert len(calls) == receipt.calls_total
    assert all(line.get("fbtrace_id") for line in calls)
    # The list of accounts is about none; every other call says whose budget it took.
    assert len([line for line in calls if "account" not in line]) == 1


def test_a_refusal_of_an_account_is_one_line_in_a_sync_and_calls_of_a_report_carry_its_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "meta_insights_pipeline")
    caplog.handler.addFilter(add_context)
    spec = WorldSpec(accounts=2, campaigns=1, adsets_per_campaign=1, ads_per_adset=40, always_on=True)
    with live(tmp_path, spec) as home:
        refused = home.world.accounts[0].id
        home.simulator.set_account_state(refused, "forbidden")
        days = DayRange(home.at.date() - timedelta(days=20), home.at.date())
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports(), entities_every=timedelta()))
    told = [one for one in caplog.records if one.levelno > logging.DEBUG and fields_of(one).get("account") == refused]
    assert [one.levelname for one in told if "size" not in one.getMessage()][-1] == "ERROR"
    assert len([one for one in told if "is left out" in one.getMessage()]) == 1
    assert len([one for one in told if "number of its" not in one.getMessage()]) == 1
    polls = [fields_of(one) for one in caplog.records if ": HTTP 200" in one.getMessage()]
    asked = [line for line in polls if line.get("report_run_id")]
    assert asked
    assert {line["report"] for line in asked} == {"ad_insights"}
    assert all(line["account"] == home.world.accounts[1].id for line in asked)


def test_the_refresh_of_entities_tells_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "meta_insights_pipeline")
    progress = EntityProgress(3, CallMeter())
    for _ in range(3):
        progress.came()
    assert caplog.messages == [
        "campaigns, ad sets and ads of 3 accounts are refreshed",
        "entities of 3 of 3 accounts, 0 calls",
    ]
    caplog.clear()
    EntityProgress(0, CallMeter())
    assert not caplog.messages


def test_progress_tells_reports_accounts_rows_and_calls_and_ends_with_the_whole(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "meta_insights_pipeline")
    meter = CallMeter()
    meter.called("insights_page")
    meter.used(42.0)
    progress = Progress(3, 2, meter, tmp_path)
    progress.came(1000)
    progress.came(234)
    progress.missed()
    assert caplog.messages[-1] == ("3 of 3 reports of 2 accounts, 1 missing, 1,234 rows, 1 calls, fullest budget 42 %")
    # Not a line for each: the one in between came at once.
    assert len(caplog.messages) == 2
    told = json.loads((tmp_path / PROGRESS_FILE).read_text("utf-8"))
    assert told == {"reports_done": 3, "reports_total": 3, "rows": 1234, "calls": 1}
