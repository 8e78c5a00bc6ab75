"""The plan before a call is made, and how close it comes to what is spent."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collection import Wanted, accounts_of, draw_up, open_collection
from meta_insights_pipeline.collector.days import DayRange, days_back_range
from meta_insights_pipeline.graph_api.budget import BudgetLevel
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError
from meta_insights_pipeline.plan_report import PlanReport
from meta_insights_pipeline.planning import plan_manual_sync
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN, Live, live, yesterday_noon

FIVE_HUNDRED_ADS = WorldSpec(accounts=1, campaigns=10, adsets_per_campaign=5, ads_per_adset=10, always_on=True)
DEEP = ("campaign", "adset", "ad")


def month(home: Live) -> DayRange:
    return days_back_range(home.at, 28, ("UTC",))


def test_28_days_of_three_levels_of_500_ads_take_at_most_45_calls_and_the_plan_is_within_a_tenth(
    tmp_path: Path,
) -> None:
    with live(tmp_path, FIVE_HUNDRED_ADS) as home:
        days = month(home)
        wanted = DaysWanted(start=days.since, end=days.until)
        report = plan_manual_sync(home.settings, wanted, DEEP)
        assert home.simulator.requests.count("create_run") == home.simulator.requests.count("insights") == 0
        home.simulator.requests.clear()
        request = SyncRequest("run-1", days, reports_of_levels([Level(level) for level in DEEP]))
        receipt = run_sync(home.settings, request).receipt
        served = sum(home.simulator.requests.counts().values())
    # A day is not over: some ads have not delivered yet.
    assert 28 * 500 < receipt.tables["ad_insights"].read <= 29 * 500
    assert receipt.calls_total == served <= 45
    assert abs(receipt.planned_calls_total - served) <= served / 10
    assert report.plan.calls_total == receipt.planned_calls_total


def test_45_calls_are_enough_when_reports_take_two_minutes_and_the_next_sync_asks_each_about_once(
    tmp_path: Path,
) -> None:
    at = yesterday_noon()
    simulated = SimulatedClock(at)
    clock = SharedClock(simulated)
    simulator = Simulator(
        World(FIVE_HUNDRED_ADS),
        simulated,
        access_token=TOKEN,
        report_seconds=120.0,
        monotonic=lambda: simulated.now().timestamp(),
    )
    spent = []
    with SimulatorServer(simulator) as server:
        values = {"META_INSIGHTS_MODE": "live", "META_ACCESS_TOKEN": TOKEN, "META_GRAPH_API_URL": server.url}
        settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path, **values)  # type: ignore[arg-type]
        reports = reports_of_levels([Level(level) for level in DEEP])
        for number in range(2):
            receipt = run_sync(
                settings, SyncRequest(f"run-{number}", days_back_range(at, 28, ("UTC",)), reports), clock=clock
            ).receipt
            assert receipt.state == "complete"
            assert abs(receipt.planned_calls_total - receipt.calls_total) <= receipt.calls_total / 10
            spent.append(receipt.calls_total)
            simulated.advance(timedelta(minutes=30))
    assert spent[0] <= 45
    # Without the three sizes, and with at most two questions a report.
    assert spent[1] <= 40


def test_what_meta_gives_on_a_page_is_asked_for_at_once_the_next_time_and_planned(tmp_path: Path) -> None:
    spec = WorldSpec(accounts=1, campaigns=5, adsets_per_campaign=2, ads_per_adset=5, always_on=True)
    with live(tmp_path, spec) as home:
        home.simulator.faults.add(
            "graph_error", code=100, subcode=1487534, kind="run_insights", limit_above=62, times=None
        )
        receipts = [
            run_sync(home.settings, SyncRequest(f"run-{number}", month(home), reports_of_levels([Level.AD]))).receipt
            for number in range(3)
        ]
    assert receipts[0].calls["report_page"] > receipts[1].calls["report_page"]
    for receipt in receipts[1:]:
        assert receipt.planned_calls == receipt.calls


def test_once_sizes_are_known_a_plan_makes_no_call_but_the_list_of_accounts(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = month(home)
        wanted = DaysWanted(start=days.since, end=days.until)
        first = plan_manual_sync(home.settings, wanted)
        assert first.plan.calls["size"] == 2 * 3
        run_sync(home.settings, SyncRequest("run-1", days, reports_of_levels(list(Level))))
        second = plan_manual_sync(home.settings, wanted)
    assert second.spent == 1
    assert "size" not in second.plan.calls
    assert "account" in second.plan.calls


def test_a_person_sees_the_sum_first_then_each_account_and_report_and_the_budgets(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = month(home)
        report = plan_manual_sync(home.settings, DaysWanted(start=days.since, end=days.until), ["campaign"])
    text = report.as_text()
    assert text.splitlines()[0] == f"{days}: 2 accounts, 2 reports, about {report.plan.calls_total} calls"
    assert f"in all{report.plan.calls_total:>22}" in text
    assert re.search(rf"act_{home.world.accounts[0].id} +campaign_insights .* 58 +1  directly", text)
    assert "app " in text
    told = json.loads(json.dumps(report.as_json()))
    assert told["planned_calls_total"] == report.plan.calls_total == sum(told["planned_calls"].values())
    assert {row["report"] for row in told["reports"]} == {"campaign_insights"}
    assert {row["calls"] for row in told["reports"]} == {1}


def test_the_share_of_each_accounts_budget_is_told_as_far_as_its_tier_is_known(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = month(home)
        wanted = DaysWanted(start=days.since, end=days.until)
        (first, second) = plan_manual_sync(home.settings, wanted).costs()
        # The numbers of entities were asked for, and their answers name the tier.
        assert first.tier == second.tier == "standard_access"
        assert first.insights_share == round(100 * first.insights_calls / (190_000 + 8 * 400), 2)
        assert first.structure_share == round(100 * 4 / (100_000 + 8 * 40), 2)
        assert first.score_share == round(100 * first.calls / 9_000, 2)
        unknown = with_budgets(plan_manual_sync(home.settings, wanted), ())
        assert {cost.insights_share for cost in unknown.costs()} == {None}
        assert " ? " in unknown.as_text()
        limited = [BudgetLevel(second.account.id, "score", 3.0, None, "development_access")]
        costs = with_budgets(unknown, limited).costs()
        assert {cost.score_share for cost in costs} == {None, round(100 * second.calls / 60, 2)}


def with_budgets(report: PlanReport, budgets: Sequence[BudgetLevel]) -> PlanReport:
    return replace(report, budgets=budgets)


def test_hundreds_of_accounts_are_told_in_few_lines_unless_all_are_wanted(tmp_path: Path) -> None:
    spec = WorldSpec(accounts=40, campaigns=1, adsets_per_campaign=1, ads_per_adset=1, always_on=True)
    with live(tmp_path, spec) as home:
        report = plan_manual_sync(home.settings, DaysWanted(start=home.at.date(), end=home.at.date()))
    text = report.as_text()
    assert len(text.splitlines()) < 40
    assert text.splitlines()[0].startswith(f"{home.at.date()} to {home.at.date()}: 40 accounts, 160 reports, at least ")
    assert "30 more accounts take" in text
    assert re.search(r"ad_insights +40 +40 .* 40  directly", text)
    assert len(report.as_text(everything=True).splitlines()) > 200


def test_what_the_log_the_receipt_and_the_plan_say_of_calls_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meta_insights_pipeline")
    with live(tmp_path) as home:
        days = DayRange(home.at.date() - timedelta(days=1), home.at.date())
        wanted = DaysWanted(start=days.since, end=days.until)
        planned = plan_manual_sync(home.settings, wanted).plan
        request = SyncRequest("run-1", days, reports_of_levels(list(Level)), entities_every=timedelta())
        receipt = run_sync(home.settings, request).receipt
        # A list is as long as it is: that cannot be known before it is read for the first time.
        assert f"at least {receipt.planned_calls_total} calls, since 2 accounts are listed" in caplog.text
        assert planned.calls_total == receipt.planned_calls_total
        caplog.clear()
        again = run_sync(home.settings, replace(request, run_id="run-2")).receipt
    assert f"about {again.planned_calls_total} calls" in caplog.text
    assert again.calls_total == again.planned_calls_total


def test_the_lists_of_the_next_day_are_planned_by_what_the_first_ones_showed(tmp_path: Path) -> None:
    # Ads that do not deliver count as well: archived ones are listed, too.
    spec = WorldSpec(accounts=1)
    with live(tmp_path, spec) as home:
        clock = SkippingClock(home.at)
        days = DayRange(home.at.date() - timedelta(days=1), home.at.date())
        request = SyncRequest("run-1", days, reports_of_levels([Level.ACCOUNT]), entities_every=timedelta())
        first = run_sync(home.settings, request, clock=clock).receipt
        assert first.calls["entities"] > 2 * first.planned_calls["entities"]
        clock.sleep(timedelta(days=1).total_seconds())
        home.simulator.clock.advance(timedelta(days=1))  # type: ignore[attr-defined]
        second = run_sync(home.settings, replace(request, run_id="run-2"), clock=clock).receipt
    assert abs(second.planned_calls["entities"] - second.calls["entities"]) <= second.calls["entities"] / 10


def test_what_meta_leaves_empty_and_a_version_that_has_ended_are_told_before_a_call_is_spent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (campaigns,) = reports_of_levels([Level.CAMPAIGN])
    old = campaigns.model_copy(update={"windows": (*campaigns.windows, "7d_view")})
    with live(tmp_path, META_GRAPH_API_VERSION="v24.0") as home:
        days = DayRange(home.at.date() - timedelta(days=1), home.at.date())
        with open_collection(home.settings, "look") as collection:
            found = accounts_of(collection, [])
            plan = draw_up(collection, [Wanted(found.accounts, (old,), days)], {})
        (note,) = plan.notes
        assert note.startswith("campaign_insights: Meta accepts the window '7d_view' and leaves it empty")
        report = plan_manual_sync(home.settings, DaysWanted(start=days.since, end=days.until), ["campaign"])
        assert f"warning: {note}" in replace(report, plan=plan).as_text()
        assert "error: Version v24.0 of the Marketing API ended on 2026-10-06; a later one answers" in report.as_text()
        caplog.clear()
        receipt = run_sync(home.settings, SyncRequest("run-1", days, (old,))).receipt
    assert note in receipt.warnings
    # From the catalogue before a call, and from the answers.
    assert len(receipt.version_warnings) == 2
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == list(receipt.version_warnings)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [note]


def test_without_an_answer_there_is_no_plan_and_one_sentence_why(tmp_path: Path) -> None:
    with live(tmp_path, META_ACCESS_TOKEN="expired-token") as home, pytest.raises(ManualSyncError, match="expired"):
        plan_manual_sync(home.settings, DaysWanted(days_back=1))
