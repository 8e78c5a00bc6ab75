"""The command `meta-insights reports`: what is declared, what it costs, what Meta would say to it."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline import reports_command
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.limits import Problem, Severity
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.cli import run
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.reports_command import (
    ReportCheck,
    ReportLine,
    check_reports,
    checks_as_json,
    checks_as_text,
    is_refused,
    lines_as_json,
    lines_as_text,
    report_lines,
)
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline_tests.live import live
from meta_insights_pipeline_tests.processes import environment, run_command

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
ACCOUNTS = (
    AdAccount("1", "Shop", "EUR", "Europe/Berlin"),
    AdAccount("2", "Store", "USD", "America/New_York"),
)


def settings(home: Path, **variables: Any) -> Settings:
    return Settings(_env_file=None, META_INSIGHTS_HOME=home, **variables)


def collected(home: Path, rows: dict[str, int]) -> None:
    """A warehouse in which every account has had so many rows a day of each report."""
    with Warehouse(home / "warehouse.duckdb", home / "tmp").connect() as connection:
        for account in ACCOUNTS:
            for report, count in rows.items():
                for day in (1, 2):
                    connection.execute(
                        "INSERT INTO pipeline.coverage (report, account_id, date_start, collected_at, run_id, row_count) "
                        "VALUES (?, ?, ?, now()::TIMESTAMP, 'run', ?)",
                        [report, account.id, TODAY - timedelta(days=day), count],
                    )


def calls(home: Path) -> dict[str, tuple[int | None, int | None]]:
    """Calls of a refresh and of 28 days, by table."""
    return {line.report.name: (line.refresh_calls, line.load_calls) for line in report_lines(settings(home), NOW)}


def test_before_the_first_sync_calls_are_not_known(tmp_path: Path) -> None:
    assert set(calls(tmp_path).values()) == {(None, None)}
    assert "Calls are known after the first sync." in lines_as_text(report_lines(settings(tmp_path), NOW))


def test_small_accounts_cost_one_call_a_table_and_account(tmp_path: Path) -> None:
    AccountBook(tmp_path).save(ACCOUNTS)
    collected(tmp_path, {report.name: 5 for report in builtin_reports()})
    assert set(calls(tmp_path).values()) == {(2, 2)}


def test_a_refresh_costs_what_is_shown(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = DayRange(home.at.date() - timedelta(days=2), home.at.date())
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        lines = report_lines(home.settings, home.at)
        refresh = DayRange(days.until - timedelta(days=1), days.until)
        spent = run_sync(home.settings, SyncRequest("run-2", refresh, builtin_reports())).receipt.calls
    # Finding the accounts is no report's cost.
    spent.pop("account")
    assert sum(line.refresh_calls or 0 for line in lines) == sum(spent.values())


def test_what_fills_more_than_a_page_costs_an_asynchronous_report(tmp_path: Path) -> None:
    AccountBook(tmp_path).save(ACCOUNTS)
    collected(tmp_path, {"ad_insights": 100})
    # 100 rows a day are one page in two days. 28 days and the day by which one account is ahead make six pages, a
    # submission and two questions whether it is ready.
    assert calls(tmp_path)["ad_insights"] == (2, 2 * (6 + 1 + 2))


def test_an_account_of_unknown_size_is_asked_for_all_the_same(tmp_path: Path) -> None:
    AccountBook(tmp_path).save(ACCOUNTS)
    refresh, load = calls(tmp_path)["ad_insights"]
    assert refresh == len(ACCOUNTS)
    assert load is not None
    assert load >= len(ACCOUNTS)


def test_a_warehouse_that_cannot_be_read_does_not_keep_the_list_from_being_shown(tmp_path: Path) -> None:
    AccountBook(tmp_path).save(ACCOUNTS)
    (tmp_path / "warehouse.duckdb").write_bytes(b"broken" * 1000)
    assert calls(tmp_path)["account_insights"] == (2, 2)


def test_text_and_json_tell_table_key_level_fields_and_windows(tmp_path: Path) -> None:
    lines = report_lines(settings(tmp_path), NOW)
    text, shown = lines_as_text(lines), json.loads(lines_as_json(lines))
    assert shown["load_days"] == 28
    assert [item["table"] for item in shown["reports"]] == [report.name for report in builtin_reports()]
    ads = shown["reports"][-1]
    assert ads["level"] == "ad"
    assert ads["key"] == ["account_id", "ad_id", "date_start"]
    assert ads["refresh_calls"] is None
    for values in (ads["key"], ads["fields"], ads["windows"]):
        assert ", ".join(values) in text
    assert "breakdowns" not in text


def test_breakdowns_are_shown_and_windows_only_where_there_are_actions() -> None:
    report = Report(name="mine", level=Level.AD, fields=("spend",), breakdowns=("age",), windows=("1d_click",))
    lines = [ReportLine(report, 1_234, 5)]
    assert lines_as_text(lines).splitlines()[1:5] == [
        "mine   ad            1,234         5",
        "    key         account_id, ad_id, date_start, age",
        "    fields      spend",
        "    breakdowns  age",
    ]
    assert "1d_click" not in lines_as_text(lines)
    (shown,) = json.loads(lines_as_json(lines))["reports"]
    assert (shown["breakdowns"], shown["windows"], shown["refresh_calls"]) == (["age"], [], 1_234)


def test_the_built_in_reports_are_given_whole_from_the_default_first_day(tmp_path: Path) -> None:
    checks = check_reports(settings(tmp_path), NOW)
    assert [check.report for check in checks] == list(builtin_reports())
    assert all(check.days == DayRange(date(2023, 11, 1), date(2026, 11, 21)) for check in checks)
    assert not is_refused(checks)
    assert all(line.startswith("ok ") for line in checks_as_text(checks).splitlines())


def test_the_range_ends_today_where_the_accounts_are(tmp_path: Path) -> None:
    AccountBook(tmp_path).save(ACCOUNTS)
    assert {check.days.until for check in check_reports(settings(tmp_path), NOW)} == {TODAY}


def test_a_first_day_that_meta_no_longer_keeps_is_told_and_not_refused(tmp_path: Path) -> None:
    checks = check_reports(settings(tmp_path, META_INSIGHTS_START_DATE="2022-01-01"), NOW)
    assert not is_refused(checks)
    assert all(line.startswith("clamped  ") for line in checks_as_text(checks).splitlines())
    assert "37 months" in checks_as_text(checks)


def test_a_refused_report_is_told_and_counts() -> None:
    report = builtin_reports()[0]
    problems = (Problem(Severity.REFUSED, "Meta says no."), Problem(Severity.EMPTY, "And nothing else."))
    checks = [ReportCheck(report, DayRange(TODAY, TODAY), problems)]
    assert is_refused(checks)
    assert checks_as_text(checks).splitlines() == [
        "refused  account_insights  Meta says no.",
        "empty    account_insights  And nothing else.",
    ]
    shown = json.loads(checks_as_json(checks))
    assert shown["refused"] is True
    assert shown["reports"][0]["problems"][0] == {"severity": "refused", "sentence": "Meta says no."}


@pytest.mark.parametrize("arguments", [["reports"], ["reports", "check"]])
def test_the_commands_print_and_call_nobody_and_make_nothing(tmp_path: Path, arguments: list[str]) -> None:
    variables = environment(tmp_path / "home", META_INSIGHTS_MODE="live", META_GRAPH_API_URL="http://127.0.0.1:9")
    done = run_command(arguments, variables, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ad_insights" in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "home").exists()
    shown = json.loads(run_command([*arguments, "--json"], variables, tmp_path).stdout)
    assert len(shown["reports"]) == len(builtin_reports())


def test_the_check_ends_with_exit_code_one_when_meta_would_refuse_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # No built-in report is refused, so one is declared here.
    report = Report.model_construct(name="mine", level=Level.AD, fields=("gone",), windows=("1d_click",))
    monkeypatch.setattr(reports_command, "builtin_reports", lambda: (report,))
    # Of the last months, which Meta gives whatever day it is today.
    monkeypatch.setenv("META_INSIGHTS_START_DATE", "2026-11-01")
    monkeypatch.setenv("META_INSIGHTS_HOME", str(tmp_path))
    assert run(["reports", "check"]) == 1
    assert capsys.readouterr().out == "refused  mine  Meta has no insights field 'gone'.\n"


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    variables = environment(tmp_path / "home", META_INSIGHTS_START_DATE="soon")
    done = run_command(["reports", "check"], variables, tmp_path)
    assert done.returncode == 2
    assert "META_INSIGHTS_START_DATE" in done.stderr
