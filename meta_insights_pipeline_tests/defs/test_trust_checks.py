"""The checks of trust: which tables have them, and what a person is shown."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline.defs.trust_checks import (
    DRIFT_CHECK,
    FRESH_CHECK,
    RECONCILES_CHECK,
    ROWS_CHECK,
    trust_checks,
    trust_result,
)
from meta_insights_pipeline.warehouse.reconciliation import LedgerFinding, LedgerLine, Open, Status
from meta_insights_pipeline.warehouse.trust import Trust
from meta_insights_pipeline_tests.live import TOKEN, Live, live

LEVELS = ("campaign_insights", "adset_insights", "ad_insights")


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A simulated Graph API, and the environment that leads to it."""
    with live(home) as running:
        for name, value in {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": running.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield running


def run(instance: dg.DagsterInstance, days: DayRange) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Sync some days of insights; the checks by table and name."""
    names = ("account_insights", *LEVELS, "insight_actions")
    result = (
        defs()
        .resolve_job_def("sync_insights")
        .execute_in_process(
            instance=instance, tags=range_tags(days), asset_selection=[dg.AssetKey(name) for name in names]
        )
    )
    assert result.success
    return {(one.asset_key.to_user_string(), one.check_name): one for one in result.get_asset_check_evaluations()}


def test_every_level_has_the_checks_and_the_account_has_no_total_above_it() -> None:
    assert set(trust_checks("account_insights")) == {FRESH_CHECK, ROWS_CHECK, DRIFT_CHECK}
    for table in LEVELS:
        assert set(trust_checks(table)) == {RECONCILES_CHECK, FRESH_CHECK, ROWS_CHECK, DRIFT_CHECK}
    assert set(trust_checks("insight_actions")) == {DRIFT_CHECK}
    assert trust_checks("campaigns") == {}


def test_an_unexplained_residual_fails_the_check_with_the_numbers_and_the_run_goes_on(
    instance: dg.DagsterInstance, server: Live
) -> None:
    days = DayRange(server.at.date() - timedelta(days=1), server.at.date())
    account = server.world.accounts[0].id
    asked = {"kind": "insights", "query": "level=campaign", "account": account}
    body = json.dumps({"data": []})
    server.simulator.faults.add("text", **asked, status=200, body=body, times=None)
    checks = run(instance, days)
    check = checks["campaign_insights", RECONCILES_CHECK]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert str(check.description).startswith(f"spend of act_{account} on {days.until}")
    assert int(str(check.metadata["unexplained"].value)) > 0
    residuals = check.metadata["residuals"].value
    assert isinstance(residuals, list)
    # Which conversions a day has depends on the day; how many lines are shown does not, and spend comes first.
    spend = residuals[0]
    assert (spend["metric"], spend["day"], spend["account"]) == ("spend", days.until.isoformat(), account)
    assert spend["currency"] == "USD"
    assert spend["sum"] == "0"
    assert float(spend["account value"]) == float(spend["residual"]) > 0
    for table in ("adset_insights", "ad_insights"):
        passing = checks[table, RECONCILES_CHECK]
        assert passing.passed
        assert int(str(passing.metadata["comparisons"].value)) == int(str(passing.metadata["equal"].value)) > 0
    assert ("account_insights", RECONCILES_CHECK) not in checks


def told(finding: LedgerFinding) -> dg.AssetCheckResult:
    """What the check says of a finding."""
    outcome: Any = SimpleNamespace(trust=Trust(ledger={"ad_insights": finding}))
    result = trust_result(outcome, "ad_insights", RECONCILES_CHECK)
    assert result is not None
    return result


def test_what_earlier_runs_left_unexplained_fails_the_check_and_what_was_read_apart_only_warns() -> None:
    compared = datetime(2026, 11, 20, 12, tzinfo=UTC)
    line = LedgerLine(
        "1", date(2026, 11, 2), "spend", Decimal(13), Decimal("12.4"), Decimal("0.6"), "EUR", "Why.", 18, compared
    )
    equal = dict.fromkeys(Status, 0) | {Status.EQUAL: 3}
    passing = told(LedgerFinding(equal, Open(), Open(), 4))
    assert passing.passed
    assert passing.metadata["unexplained on earlier days"].value == 4
    warned = told(LedgerFinding(equal, Open(), Open(2, (line,)), 0))
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warned.description == (
        "2 sums of days that are over differ and have not been read together yet; syncs go on with them. spend of act_1 on "
        "2026-11-02, 18 days ago: the account has 13 EUR, the sum is 12.4, 0.6 open."
    )
    assert warned.metadata["read apart on days that are over"].value == 2
    failed = told(LedgerFinding(equal, Open(5, (line,)), Open(2, (line,)), 0))
    assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "0.6 unexplained. And 4 more, see the table reconciliation. 2 sums" in str(failed.description)
    shown: Any = failed.metadata["residuals"].value
    assert (shown[0]["days ago"], shown[0]["compared"]) == (18, "2026-11-20T12:00:00+00:00")


def test_freshness_is_told_by_runs_of_the_newest_days_and_not_by_those_of_past_ones(
    instance: dg.DagsterInstance, server: Live
) -> None:
    # The accounts' own today is that of this machine's clock, a day after the simulator's.
    today = server.at.date() + timedelta(days=1)
    newest = run(instance, DayRange(today - timedelta(days=2), today))
    assert all(newest[table, FRESH_CHECK].passed for table in LEVELS)
    assert int(str(newest["ad_insights", FRESH_CHECK].metadata["accounts"].value)) == 2
    past = run(instance, DayRange(today - timedelta(days=9), today - timedelta(days=8)))
    assert ("ad_insights", FRESH_CHECK) not in past
    assert past["ad_insights", ROWS_CHECK].passed


def test_what_meta_begins_to_send_is_stored_and_named_in_a_warning(instance: dg.DagsterInstance, server: Live) -> None:
    days = DayRange(server.at.date() - timedelta(days=1), server.at.date())
    before = run(instance, days)
    for table in ("account_insights", *LEVELS, "insight_actions"):
        assert before[table, DRIFT_CHECK].passed, before[table, DRIFT_CHECK].description
    news = [{"action_type": "gaze.into_space", "value": "2", "90d_gaze": "3"}]
    asked = {"kind": "insights", "query": "level=campaign"}
    server.simulator.faults.add("new_parts", **asked, body=json.dumps({"gazes": "7", "actions": news}), times=None)
    after = run(instance, days)
    fields, actions = after["campaign_insights", DRIFT_CHECK], after["insight_actions", DRIFT_CHECK]
    for check in (fields, actions):
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.WARN
    assert "Field gazes was not asked for; it is kept in other_fields (campaign_insights" in str(fields.description)
    new = actions.metadata["new"].value
    assert isinstance(new, list)
    assert {(line["kind"], line["name"]) for line in new} == {
        ("action_type", "gaze.into_space"),
        ("window", "90d_gaze"),
    }
    assert after["ad_insights", DRIFT_CHECK].passed
