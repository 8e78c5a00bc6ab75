"""Report runs: their states, their snapshot, their end, their quirks."""

from datetime import date, timedelta
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, World
from meta_insights_pipeline_tests.simulator.support import NOW, Api, api, span

WEEK = {"level": "ad", "time_increment": 1, "time_range": span(date(2026, 11, 14), date(2026, 11, 22))}
FIELDS = {"fields": "ad_id,impressions,spend,actions"}


class Seconds:
    """Real time as a test moves it."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


def _create(graph: Api, account: Account, **params: Any) -> str:
    answer = graph.call("POST", f"act_{account.id}/insights", **{**WEEK, **FIELDS, **params}).json()
    assert set(answer) == {"report_run_id"}
    return str(answer["report_run_id"])


def test_a_run_is_complete_at_the_first_look_and_reads_like_the_synchronous_answer(
    graph: Api, account: Account
) -> None:
    run = _create(graph, account)
    assert run.isdecimal()
    status = graph.get(run)
    assert status == {
        "id": run,
        "account_id": account.id,
        "time_ref": int(NOW.timestamp()),
        "time_completed": int(NOW.timestamp()),
        "async_status": "Job Completed",
        "async_percent_completion": 100,
    }
    asked = graph.get(run, fields="async_status,is_running,date_start,date_stop")
    assert asked == {
        "id": run,
        "async_status": "Job Completed",
        "is_running": False,
        "date_start": "2026-11-14",
        "date_stop": "2026-11-22",
    }
    rows = graph.rows(f"{run}/insights", limit=50)
    assert rows == graph.rows(f"act_{account.id}/insights", **WEEK, **FIELDS)


def test_a_run_passes_through_its_states(world: World, account: Account) -> None:
    seconds = Seconds()
    with api(world, report_seconds=10.0, monotonic=seconds) as graph:
        run = _create(graph, account)
        seen = []
        for moment in (0.0, 1.5, 2.0, 5.0, 9.99, 10.0):
            seconds.passed = moment
            status = graph.get(run)
            seen.append((status["async_status"], status["async_percent_completion"]))
            if moment < 10.0:
                assert status["time_completed"] == 0
                error = graph.error(f"{run}/insights")
                assert (error["status"], error["code"], error["error_subcode"]) == (400, 2601, 1815107)
                assert error["is_transient"] is True
        assert seen == [
            ("Job Not Started", 0),
            ("Job Started", 0),
            ("Job Running", 20),
            ("Job Running", 50),
            ("Job Running", 99),
            ("Job Completed", 100),
        ]
        assert graph.get(f"{run}/insights")["data"]


def test_a_result_is_a_snapshot_of_when_the_run_was_made(graph: Api, account: Account, clock: SimulatedClock) -> None:
    run = _create(graph, account)
    before = graph.rows(f"{run}/insights", limit=500)
    clock.advance(timedelta(hours=30))
    assert graph.rows(f"{run}/insights", limit=500) == before
    assert graph.rows(f"act_{account.id}/insights", **WEEK, **FIELDS, limit=500) != before


def test_results_live_for_thirty_days(graph: Api, account: Account, clock: SimulatedClock) -> None:
    run = _create(graph, account)
    clock.advance(timedelta(days=30))
    assert graph.get(f"{run}/insights")["data"]
    clock.advance(timedelta(seconds=1))
    error = graph.error(f"{run}/insights")
    assert error["code"] == 2601
    assert error["is_transient"] is False
    assert "error_subcode" not in error


def test_runs_of_campaigns_can_be_made_and_unknown_runs_do_not_exist(graph: Api, account: Account) -> None:
    campaign = graph.rows(f"act_{account.id}/insights", level="campaign", fields="campaign_id")[0]["campaign_id"]
    run = graph.call("POST", f"{campaign}/insights", **WEEK).json()["report_run_id"]
    assert graph.get(f"{run}/insights")["data"]
    assert graph.error("6023920149999999")["error_subcode"] == 33
    assert graph.error("6023920149999999/insights")["error_subcode"] == 33


def test_a_summary_may_be_asked_for_at_creation(graph: Api, account: Account) -> None:
    run = _create(graph, account, summary="spend")
    assert set(graph.get(f"{run}/insights")["summary"]) == {"account_id", "spend", "date_start", "date_stop"}


def test_an_identifier_may_be_a_bare_number(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("numeric_run_id")
    answer = graph.call("POST", f"act_{account.id}/insights", **WEEK).json()
    assert isinstance(answer["report_run_id"], int)
    assert graph.get(str(answer["report_run_id"]))["async_status"] == "Job Completed"


def test_a_run_may_say_completed_before_it_is_at_100_percent(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("completed_below_100")
    run = _create(graph, account)
    assert graph.error(f"{run}/insights")["error_subcode"] == 1815107
    seen = [(graph.get(run)["async_status"], graph.get(run)["async_percent_completion"])]
    seen.append((graph.get(run)["async_status"], graph.get(run)["async_percent_completion"]))
    assert seen == [("Job Completed", 98), ("Job Completed", 100)]
    assert graph.get(f"{run}/insights")["data"]


def test_a_run_may_hang_at_100_percent(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("stuck_at_100_running")
    run = _create(graph, account)
    for _ in range(3):
        status = graph.get(run)
        assert (status["async_status"], status["async_percent_completion"]) == ("Job Running", 100)
    assert graph.error(f"{run}/insights")["code"] == 2601


@pytest.mark.parametrize("code", [None, -3])
def test_a_run_may_fail_and_tells_why(graph: Api, account: Account, code: int | None) -> None:
    graph.simulator.faults.add("job_failed", code=code, subcode=1504045 if code else None, message="Report too large")
    failed, fine = _create(graph, account), _create(graph, account)
    status = graph.get(failed)
    assert status["async_status"] == "Job Failed"
    expected = (-3, 1504045) if code else (-2, 2490547)
    assert (status["error_code"], status["error_subcode"]) == expected
    assert status["error_message"]
    assert graph.error(f"{failed}/insights")["code"] == 2601
    assert graph.get(fine)["async_status"] == "Job Completed"


def test_a_run_may_be_skipped(graph: Api, account: Account) -> None:
    graph.simulator.faults.add("job_skipped")
    assert graph.get(_create(graph, account))["async_status"] == "Job Skipped"


def test_a_fresh_run_may_not_be_found_at_first(world: World, account: Account) -> None:
    seconds = Seconds()
    with api(world, monotonic=seconds) as graph:
        graph.simulator.faults.add("fresh_run_not_found")
        run = _create(graph, account)
        assert graph.error(run)["error_subcode"] == 33
        seconds.passed = 1.0
        assert graph.get(run)["async_status"] == "Job Completed"


def test_runs_are_forgotten_after_two_months_and_their_ids_not_used_again(
    graph: Api, account: Account, clock: SimulatedClock
) -> None:
    first = _create(graph, account)
    clock.advance(timedelta(days=59))
    second = _create(graph, account)
    assert graph.get(first)["async_status"] == "Job Completed"
    assert graph.error(f"{first}/insights")["code"] == 2601
    clock.advance(timedelta(days=2))
    third = _create(graph, account)
    assert graph.error(first)["error_subcode"] == 33
    assert graph.get(second)["async_status"] == "Job Completed"
    assert len({first, second, third}) == 3
