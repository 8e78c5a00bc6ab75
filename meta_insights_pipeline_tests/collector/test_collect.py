"""Making the requests: pages on disk, failures as answers, second tries, and a stop when the token is refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.accounts import NoAccountError, find_accounts
from meta_insights_pipeline.collector.collect import Answer, Arrival, Collector
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import plan
from meta_insights_pipeline.graph_api.errors import AuthError, PermissionDeniedError, ReportRunError, TooMuchDataError
from meta_insights_pipeline.graph_api.report_runs import PollPolicy
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline_tests.live import TOKEN, Live, live


def collect(home: Live, folder: Path, levels: list[Level] | None = None, days: int = 3) -> list[Answer]:
    """Collect the last days of all accounts and give the answers."""
    return [event for event in events(home, folder, levels, days) if isinstance(event, Answer)]


def events(home: Live, folder: Path, levels: list[Level] | None = None, days: int = 3) -> list[Arrival | Answer]:
    """Collect the last days of all accounts, as asynchronous reports."""
    today = home.at.date()
    reports = reports_of_levels(levels) if levels else builtin_reports()
    with open_graph_api(home.settings) as api:
        accounts = find_accounts(api, ())
        tasks = plan(accounts, reports, DayRange(today - timedelta(days=days - 1), today), home.at, {})
        return list(Collector(api, folder, poll=PollPolicy(first=0.01, stalled=0.3)).collect(tasks))


def test_every_task_is_answered_by_pages_without_token_or_paging(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        arrivals = [event for event in events(home, tmp_path) if isinstance(event, Arrival)]
    assert len({arrival.attempt.task for arrival in arrivals}) == 2 * 4
    for arrival in arrivals:
        text = arrival.page.read_text("utf-8")
        assert TOKEN not in text
        assert "paging" not in text
        assert isinstance(json.loads(text), list)


@pytest.mark.parametrize("action", ["job_failed", "job_skipped"])
def test_a_report_that_meta_gave_up_once_is_asked_for_again(tmp_path: Path, action: str) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add(action, code=-2, subcode=2490547)
        answers = collect(home, tmp_path, [Level.AD])
    assert [answer.error for answer in answers] == [None, None]


def test_a_report_that_never_ends_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("stuck_at_100_running", times=None, path=f"act_{home.world.accounts[0].id}")
        answers = {answer.attempt.task.account.id: answer for answer in collect(home, tmp_path, [Level.AD])}
    first, second = (account.id for account in home.world.accounts)
    assert isinstance(answers[first].error, ReportRunError)
    assert answers[second].error is None


def test_a_report_that_is_too_large_is_an_answer_with_its_own_class(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("job_failed", times=None, code=-3, subcode=1504045)
        answers = collect(home, tmp_path, [Level.AD])
    assert all(isinstance(answer.error, TooMuchDataError) for answer in answers)


def test_a_cursor_that_meta_no_longer_accepts_starts_the_report_again(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("graph_error", kind="run_insights", code=2642, status=400)
        answers = collect(home, tmp_path, [Level.AD])
    assert [answer.error for answer in answers] == [None, None]


def test_one_account_without_permission_does_not_stop_the_other(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        forbidden = home.world.accounts[0].id
        home.simulator.faults.add("graph_error", path=f"act_{forbidden}/insights", code=200, status=403, times=None)
        answers = collect(home, tmp_path)
    errors = {answer.attempt.task.account.id for answer in answers if answer.error is not None}
    assert errors == {forbidden}
    assert all(isinstance(answer.error, PermissionDeniedError) for answer in answers if answer.error is not None)


def test_once_the_token_is_refused_no_further_call_is_made(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("graph_error", path="insights", code=190, subcode=463, status=400, times=None)
        answers = collect(home, tmp_path, days=20)
        calls = home.simulator.requests.count("create_run") + home.simulator.requests.count("insights")
    assert all(isinstance(answer.error, AuthError) for answer in answers)
    assert len(answers) == 8
    assert calls <= 8


def test_a_token_without_an_account_is_told_what_to_do(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        home.simulator.faults.add("text", kind="accounts", status=200, body='{"data":[]}')
        with pytest.raises(NoAccountError, match=r"META_ACCESS_TOKEN.*META_AD_ACCOUNT_IDS"):
            find_accounts(api, ())


def test_an_account_in_an_unknown_time_zone_is_named_instead_of_guessed(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        row = '{"id":"act_5","account_id":"5","name":"A","currency":"EUR","timezone_name":"Mars/Olympus"}'
        home.simulator.faults.add("text", kind="accounts", status=200, body=f'{{"data":[{row}]}}')
        with pytest.raises(NoAccountError, match=r"act_5 .*'Mars/Olympus'.*tzdata"):
            find_accounts(api, ())


def test_named_accounts_are_read_once_each(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        wanted = home.world.accounts[1].id
        accounts = find_accounts(api, (wanted, wanted))
        assert [(account.id, account.node) for account in accounts] == [(wanted, f"act_{wanted}")]
        assert api.meter.counts().calls == {"account": 1}


def test_the_number_of_running_ads_is_one_call_an_account(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        accounts = find_accounts(api, ())
        counts = Collector(api, tmp_path).count_ads(accounts)
        assert set(counts.values()) == {8}
        assert api.meter.counts().calls["size"] == 2
