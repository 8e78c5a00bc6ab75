"""The plan before a call is made, and how close it comes to what is spent."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.days import DayRange, days_back_range
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError
from meta_insights_pipeline.planning import plan_manual_sync
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import SyncRequest, run_sync
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


def test_a_person_sees_each_report_the_cost_by_kind_and_the_budgets(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = month(home)
        report = plan_manual_sync(home.settings, DaysWanted(start=days.since, end=days.until), ["campaign"])
    text = report.as_text()
    assert "2 accounts, 2 reports" in text
    assert f"act_{home.world.accounts[0].id}" in text
    assert "directly" in text
    assert f"in all{report.plan.calls_total:>22}" in text
    assert "app " in text
    told = json.loads(json.dumps(report.as_json()))
    assert told["planned_calls_total"] == report.plan.calls_total == sum(told["planned_calls"].values())
    assert {row["report"] for row in told["reports"]} == {"campaign_insights"}


def test_without_an_answer_there_is_no_plan_and_one_sentence_why(tmp_path: Path) -> None:
    with live(tmp_path, META_ACCESS_TOKEN="expired-token") as home, pytest.raises(ManualSyncError, match="expired"):
        plan_manual_sync(home.settings, DaysWanted(days_back=1))
