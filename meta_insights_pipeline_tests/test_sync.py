"""A sync from end to end in one process: what it stores, what it reports, what is left when a part fails."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.days import DayRange, refresh_range
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError
from meta_insights_pipeline.home_files import AccountBook, MissingBook
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.sync import NothingToCollectError, SyncRequest, run_sync
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.knowledge import read_knowledge
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.comparison import assert_equals_truth, read_rows
from meta_insights_pipeline_tests.live import TOKEN, Live, live


def days_of(home: Live, count: int = 3) -> DayRange:
    return DayRange(home.at.date() - timedelta(days=count - 1), home.at.date())


def test_a_sync_stores_the_truth_and_its_receipt_says_what_it_cost(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = days_of(home)
        outcome = run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        served = sum(home.simulator.requests.counts().values())
    rows = assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.at)
    receipt = outcome.receipt
    assert outcome.complete
    assert receipt.published
    assert sum(table.inserted for table in receipt.tables.values()) == rows
    assert receipt.calls_total == served
    assert Receipt.model_validate_json(outcome.receipt_file.read_text("utf-8")) == receipt
    assert outcome.tables["ad_insights"].days[days.until].rows == 16
    assert all(check.passed for table in outcome.tables.values() for check in table.checks.values())


def test_spend_is_reported_by_currency_and_never_added_over_currencies(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = days_of(home, 1)
        outcome = run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
    figures = outcome.tables["account_insights"].days[days.until]
    stored = read_rows(home.settings.snapshot_path, "SELECT account_currency, spend FROM account_insights")
    assert dict(figures.spend) == {row["account_currency"]: row["spend"] for row in stored}
    assert len(figures.spend) == 2


def test_a_sync_without_entities_knows_currencies_and_zones_of_its_accounts(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        run_sync(home.settings, SyncRequest("run-1", days_of(home), reports_of_levels([Level.CAMPAIGN])))
    accounts = home.world.accounts
    conversions = "SELECT DISTINCT account_id, account_currency FROM conversions ORDER BY ALL"
    assert [tuple(row.values()) for row in read_rows(home.settings.snapshot_path, conversions)] == sorted(
        (account.id, account.currency) for account in accounts
    )
    report = (
        "SELECT DISTINCT account_id, timezone_name, days_since IS NULL AS is_unknown FROM campaign_report ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in read_rows(home.settings.snapshot_path, report)] == sorted(
        (account.id, account.timezone_name, False) for account in accounts
    )
    book = read_rows(home.settings.snapshot_path, "FROM pipeline.accounts")
    assert [(row["run_id"], row["seen_at"] is None) for row in book] == [("run-1", False)] * 2


def test_an_action_type_that_never_came_is_told_in_the_receipt_and_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = "purchase=omni_purchse,lead=offsite_conversion.fb_pixel_lead"
    with live(tmp_path, META_INSIGHTS_CONVERSIONS=chosen) as home:
        request = SyncRequest("run-1", days_of(home), reports_of_levels([Level.ACCOUNT]))
        receipt = run_sync(home.settings, request).receipt
    (warning,) = (text for text in receipt.warnings if "omni_purchse" in text)
    assert "counts purchase by omni_purchse, which has not been seen: purchases are 0 until it comes." in warning
    assert warning in caplog.messages
    # The other type is known to this program, whether or not it came.
    assert not any("fb_pixel_lead" in text for text in receipt.warnings)


def test_a_refresh_of_two_small_accounts_costs_one_call_a_level_once_their_size_is_known(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports()))
        second = run_sync(home.settings, SyncRequest("run-2", days_of(home, 2), builtin_reports())).receipt
    assert second.calls == {"account": 1, "insights_page": 8}


def test_some_levels_and_some_accounts_may_be_asked_for_alone(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        wanted = home.world.accounts[1].id
        request = SyncRequest("run-1", days_of(home), reports_of_levels([Level.CAMPAIGN]), (wanted,))
        receipt = run_sync(home.settings, request).receipt
    assert receipt.accounts == (wanted,)
    assert set(receipt.tables) == {"campaign_insights", "insight_actions"}
    assert {row["level"] for row in read_rows(home.settings.snapshot_path, "FROM insight_actions")} == {"campaign"}


def test_an_account_that_refuses_does_not_stop_the_other_and_a_later_sync_completes_it(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = days_of(home)
        forbidden, other = (account.id for account in home.world.accounts)
        home.simulator.set_account_state(forbidden, "forbidden")
        outcome = run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        # Nobody named the account, so nothing that was asked for is missing.
        assert outcome.complete
        assert outcome.receipt.published
        assert [account.account_id for account in outcome.receipt.refused] == [forbidden]
        assert "ads_read" in outcome.receipt.refused[0].reason
        assert read_rows(home.settings.snapshot_path, "SELECT DISTINCT account_id FROM ad_insights") == [
            {"account_id": other}
        ]
        missing = read_rows(
            home.settings.snapshot_path, "SELECT kind, count(*) AS n FROM pipeline.missing GROUP BY kind"
        )
        assert missing == [{"kind": "refused", "n": 4 * 3}]

        home.simulator.set_account_state(forbidden, "active")
        assert run_sync(home.settings, SyncRequest("run-2", days, builtin_reports())).receipt.refused == ()
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.at)
    assert read_rows(home.settings.snapshot_path, "FROM pipeline.missing") == []


def test_days_in_which_no_sync_ran_are_missing_and_completed_as_soon_as_one_runs_again(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        now = days_of(home, 1)
        # Since its last day was still going on when it was collected, it is asked for again, too.
        clock = SkippingClock(home.at - timedelta(days=5))
        last = clock.now().date()
        run_sync(home.settings, SyncRequest("before", DayRange(last, last), builtin_reports()), clock=clock)
        clock.sleep(timedelta(days=5).total_seconds())
        assert run_sync(home.settings, SyncRequest("after", now, builtin_reports()), clock=clock).complete
        due = MissingBook(tmp_path).due(datetime.now(UTC))
        assert {(part.since, part.until, part.kind) for part in due} == {
            (last, now.since - timedelta(days=1), "deferred")
        }
        assert len(due) == 4 * len(home.world.accounts)
        rest = SyncRequest("rest", DayRange(last, now.until), builtin_reports(), only_missing=True)
        assert run_sync(home.settings, rest, clock=clock).complete
        assert MissingBook(tmp_path).parts() == ()
    assert_equals_truth(home.settings.snapshot_path, home.world, last, now.until, home.at)


@pytest.mark.parametrize(
    ("day", "end"),
    [
        # 25 hours in New York, and 23.
        (date(2026, 11, 1), datetime(2026, 11, 2, 5, tzinfo=UTC)),
        (date(2026, 3, 8), datetime(2026, 3, 9, 4, tzinfo=UTC)),
    ],
)
def test_a_day_on_which_clocks_change_is_collected_to_its_last_hour(tmp_path: Path, day: date, end: datetime) -> None:
    with live(tmp_path, WorldSpec(accounts=1, campaigns=2, adsets_per_campaign=1, ads_per_adset=2), at=end) as home:
        (account,) = home.world.accounts
        assert account.timezone_name == "America/New_York"
        simulated = home.simulator.clock
        assert isinstance(simulated, SimulatedClock)
        for minutes, today, lacking_from in ((-30, day, day), (0, day + timedelta(days=1), day + timedelta(days=1))):
            now = end + timedelta(minutes=minutes)
            simulated.set(now)
            days = refresh_range(now, [account.timezone_name])
            assert days.until == today
            request = SyncRequest(f"at-{minutes}", DayRange(days.since, day), builtin_reports())
            assert run_sync(home.settings, request, clock=SkippingClock(now)).complete
            assert_equals_truth(home.settings.snapshot_path, home.world, days.since, day, now)
            warehouse = Warehouse(home.settings.warehouse_path, tmp_path / "tmp")
            known = read_knowledge(warehouse, "live").lacking_from
            # Half an hour before its end the day is not over, however long it is.
            assert known == {(account.id, report.name): lacking_from for report in builtin_reports()}


def test_an_account_that_somebody_named_and_that_refuses_is_missing(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        forbidden, other = (account.id for account in home.world.accounts)
        home.simulator.set_account_state(forbidden, "forbidden")
        outcome = run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports(), (forbidden, other)))
    assert outcome.receipt.state == "partial"
    assert {gap.account_id for gap in outcome.receipt.missing} == {forbidden}
    assert outcome.receipt.published


def test_when_every_account_refuses_the_sync_fails_at_the_first_time_and_at_every_other(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = days_of(home)
        for account in home.world.accounts:
            home.simulator.set_account_state(account.id, "forbidden")
        for number in range(2):
            outcome = run_sync(home.settings, SyncRequest(f"run-{number}", days, builtin_reports()))
            assert outcome.receipt.state == "failed"
            assert not outcome.receipt.published
            assert len(outcome.receipt.refused) == 2
            assert not outcome.whole_days("ad_insights")
    assert not home.settings.snapshot_path.exists()


def test_an_account_that_was_read_before_and_refuses_now_is_missing_and_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    with live(tmp_path) as home:
        days, lost = days_of(home), home.world.accounts[0].id
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        home.simulator.set_account_state(lost, "forbidden")
        outcome = run_sync(home.settings, SyncRequest("run-2", days, builtin_reports()))
    assert outcome.receipt.state == "partial"
    assert outcome.receipt.published
    assert {part.account_id for part in outcome.missing} == {lost}
    # What is built on the others goes on.
    assert outcome.whole_days("ad_insights") == set(days.days)


def test_an_account_that_is_gone_from_the_list_is_told_once_and_its_absence_is_filled_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meta_insights_pipeline")
    with live(tmp_path) as home:
        gone = home.world.accounts[0].id
        first = home.at.date() - timedelta(days=9)
        run_sync(home.settings, SyncRequest("run-1", DayRange(first, first + timedelta(days=1)), builtin_reports()))
        home.simulator.hide_account(gone)
        for number in range(3):
            since = first + timedelta(days=2 * number + 1)
            absent = SyncRequest(f"gone-{number}", DayRange(since, since + timedelta(days=1)), builtin_reports())
            receipt = run_sync(home.settings, absent).receipt
            assert receipt.state == "partial"
            assert receipt.published
            assert [one.account_id for one in receipt.refused] == [gone]
        told = [record for record in caplog.records if "no longer among those" in record.getMessage()]
        assert [record.levelname for record in told if record.levelname == "ERROR"] == ["ERROR"]
        assert MissingBook(tmp_path).due(datetime.now(UTC)) == ()

        home.simulator.show_account(gone)
        recent = days_of(home, 3)
        assert run_sync(home.settings, SyncRequest("back", recent, builtin_reports())).complete
        due = MissingBook(tmp_path).due(datetime.now(UTC))
        assert {(part.account_id, part.since, part.until) for part in due} == {
            (gone, first + timedelta(days=1), first + timedelta(days=6))
        }
        rest = SyncRequest("rest", DayRange(first, recent.until), builtin_reports(), (gone,), only_missing=True)
        assert run_sync(home.settings, rest).complete
        assert MissingBook(tmp_path).parts() == ()
    assert_equals_truth(home.settings.snapshot_path, home.world, first, first + timedelta(days=6), home.at)
    assert len([record for record in caplog.records if "can be read again" in record.getMessage()]) == 1


def test_of_an_account_that_is_gone_no_day_is_missing_that_has_not_begun_in_its_zone(tmp_path: Path) -> None:
    with live(tmp_path, WorldSpec(accounts=4, campaigns=1, adsets_per_campaign=1, ads_per_adset=1)) as home:
        clock = SkippingClock(home.at)
        todays = {one.id: home.at.astimezone(ZoneInfo(one.timezone_name)).date() for one in home.world.accounts}
        days = DayRange(home.at.date() - timedelta(days=1), home.at.date() + timedelta(days=1))
        run_sync(home.settings, SyncRequest("first", days, builtin_reports()), clock=clock)
        _, *gone = home.world.accounts
        for account in gone:
            home.simulator.hide_account(account.id)
        run_sync(home.settings, SyncRequest("second", days, builtin_reports()), clock=clock)
        parts = MissingBook(home.settings.home).parts()
        assert {part.account_id: part.until for part in parts} == {one.id: todays[one.id] for one in gone}


def test_an_account_that_the_rules_leave_out_is_not_gone(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days, denied = days_of(home), home.world.accounts[0]
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        settings = home.settings.model_copy(update={"deny_accounts": (denied.id,)})
        assert run_sync(settings, SyncRequest("run-2", days, builtin_reports())).receipt.refused == ()


def test_what_a_refusing_account_lacks_is_due_at_no_time_until_it_can_be_read_again(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account, _ = (account.id for account in home.world.accounts)
        month, recent = days_of(home, 12), days_of(home, 2)
        home.simulator.faults.add("graph_error", path=f"act_{account}/insights", code=3018, status=400, times=None)
        assert run_sync(home.settings, SyncRequest("run-1", month, builtin_reports())).receipt.state == "partial"
        home.simulator.faults.clear()
        assert any(part.retry_at for part in MissingBook(tmp_path).parts())
        home.simulator.set_account_state(account, "forbidden")
        run_sync(home.settings, SyncRequest("run-2", recent, builtin_reports()))
        assert {(part.kind, part.retry_at) for part in MissingBook(tmp_path).parts()} == {("refused", None)}


def test_an_account_that_refuses_is_an_error_in_the_log_once_and_not_at_every_sync(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live(tmp_path) as home:
        forbidden = home.world.accounts[0].id
        home.simulator.set_account_state(forbidden, "forbidden")
        for number in range(3):
            run_sync(home.settings, SyncRequest(f"run-{number}", days_of(home), builtin_reports()))
    told = [record for record in caplog.records if record.levelname == "ERROR" and forbidden in record.getMessage()]
    assert len(told) == 1


def test_a_closed_account_is_told_once_and_what_meta_still_gives_of_it_is_collected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live(tmp_path) as home:
        days, closed = days_of(home), home.world.accounts[0].id
        home.simulator.set_account_state(closed, "closed")
        for number in range(2):
            assert run_sync(home.settings, SyncRequest(f"run-{number}", days, builtin_reports())).complete
    assert len([record for record in caplog.records if "is closed" in record.getMessage()]) == 1
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.at)


def test_an_account_that_joins_is_collected_at_once_and_its_earlier_days_are_due(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        late = home.world.accounts[1].id
        home.simulator.hide_account(late)
        month = days_of(home, 20)
        run_sync(home.settings, SyncRequest("run-1", month, builtin_reports()))
        home.simulator.show_account(late)
        recent = days_of(home, 2)
        assert run_sync(home.settings, SyncRequest("run-2", recent, builtin_reports())).complete
        due = MissingBook(tmp_path).due(datetime.now(UTC))
        assert {(part.account_id, part.since, part.until) for part in due} == {
            (late, month.since, recent.since - timedelta(days=1))
        }
        rest = SyncRequest("run-3", month, builtin_reports(), (late,), only_missing=True)
        assert run_sync(home.settings, rest).complete
        assert MissingBook(tmp_path).parts() == ()
    assert_equals_truth(home.settings.snapshot_path, home.world, month.since, month.until, home.at)


def test_an_account_that_refused_from_the_beginning_joins_when_it_can_be_read(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        late, month, recent = home.world.accounts[1].id, days_of(home, 20), days_of(home, 2)
        home.simulator.set_account_state(late, "forbidden")
        run_sync(home.settings, SyncRequest("run-1", month, builtin_reports()))
        run_sync(home.settings, SyncRequest("run-2", recent, builtin_reports()))
        home.simulator.set_account_state(late, "active")
        assert run_sync(home.settings, SyncRequest("run-3", recent, builtin_reports())).complete
        due = MissingBook(tmp_path).due(datetime.now(UTC))
        assert {(part.account_id, part.since, part.until) for part in due} == {
            (late, month.since, recent.since - timedelta(days=1))
        }


def test_one_account_in_lasting_trouble_does_not_keep_the_others_from_readers(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = days_of(home)
        broken, other = (account.id for account in home.world.accounts)
        home.simulator.faults.add("graph_error", path=f"act_{broken}/insights", code=2500, status=400, times=None)
        outcome = run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        assert outcome.receipt.state == "partial"
        assert {gap.account_id for gap in outcome.receipt.missing} == {broken}
        assert all(gap.kind == "failed" and gap.retry_at for gap in outcome.receipt.missing)
        assert read_rows(home.settings.snapshot_path, "SELECT DISTINCT account_id FROM ad_insights") == [
            {"account_id": other}
        ]


def test_when_nothing_can_be_had_the_sync_fails_and_publishes_nothing(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("graph_error", kind="insights", code=2500, status=400, times=None)
        outcome = run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports()))
    assert outcome.receipt.state == "failed"
    assert not outcome.receipt.published
    assert not home.settings.snapshot_path.exists()
    assert "stored, the last published snapshot stays" in outcome.receipt.missing_text()


def test_a_refused_token_stops_the_sync_and_leaves_the_warehouse_as_it_was(tmp_path: Path) -> None:
    with (
        live(tmp_path, META_ACCESS_TOKEN="expired-token") as home,
        pytest.raises(AuthError, match="META_ACCESS_TOKEN") as caught,
    ):
        run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports()))
    assert caught.value.fbtrace_id
    assert not home.settings.warehouse_path.exists()


def test_days_that_have_begun_nowhere_are_refused(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        future = DayRange(home.at.date() + timedelta(days=30), home.at.date() + timedelta(days=31))
        with pytest.raises(NothingToCollectError, match="have not begun"):
            run_sync(home.settings, SyncRequest("run-1", future, builtin_reports()))


def test_a_sync_leaves_no_working_files_and_no_secret_on_disk(tmp_path: Path) -> None:
    secret = "live-test-app-secret"
    with live(tmp_path, META_APP_SECRET=secret) as home:
        run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports()))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if "sync-run-1" in str(file) or "draft" in file.name or "alive" in file.name]
    for file in files:
        content = file.read_bytes()
        assert TOKEN.encode() not in content, file
        assert secret.encode() not in content, file


def test_stub_mode_needs_nothing_and_gives_the_same_world_again(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    days = DayRange(date_ago(7), date_ago(6))
    first = run_sync(settings, SyncRequest("run-1", days, reports_of_levels([Level.ACCOUNT]))).receipt
    second = run_sync(settings, SyncRequest("run-2", days, reports_of_levels([Level.ACCOUNT]))).receipt
    assert first.tables["account_insights"].inserted == 8
    # Days that are six and seven days old no longer change in what a row holds, only conversions still arrive.
    assert second.tables["account_insights"].unchanged == 8


def date_ago(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)


def test_a_sync_of_one_account_makes_nobody_forget_the_others(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        run_sync(home.settings, SyncRequest("run-1", days_of(home), builtin_reports()))
        zones = AccountBook(tmp_path).zones()
        one = SyncRequest("run-2", days_of(home), builtin_reports(), (home.world.accounts[0].id,))
        outcome = run_sync(home.settings, one)
    assert len(zones) == 2
    assert AccountBook(tmp_path).zones() == zones
    # Rows of an account that is ahead are not taken for rows of the future.
    assert all(check.passed for table in outcome.tables.values() for check in table.checks.values())


# ---- what comes to nothing ----


def test_a_sync_whose_token_is_refused_leaves_a_receipt_that_says_so_and_no_secret(tmp_path: Path) -> None:
    with live(tmp_path, META_ACCESS_TOKEN=f"wrong-{TOKEN}") as home:
        days = days_of(home)
        with pytest.raises(AuthError) as caught:
            run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
    text = (tmp_path / "receipts" / "run-1.json").read_text("utf-8")
    receipt = Receipt.model_validate_json(text)
    assert (receipt.state, receipt.error, receipt.published) == ("failed", str(caught.value), False)
    assert (receipt.since, receipt.until) == (days.since, days.until)
    assert receipt.calls_total == 1
    assert TOKEN not in text


def test_a_sync_that_reaches_nobody_or_cannot_write_leaves_a_receipt_too(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        away = home.settings.model_copy(update={"graph_api_url": "http://127.0.0.1:1"})
        clock = SkippingClock(home.at)
        with pytest.raises(GraphApiError):
            run_sync(away, SyncRequest("run-1", days_of(home), builtin_reports()), clock=clock)
        (tmp_path / "warehouse.duckdb").write_bytes(b"no database")
        with pytest.raises(WarehouseError):
            run_sync(home.settings, SyncRequest("run-2", days_of(home), builtin_reports()))
    for run_id in ("run-1", "run-2"):
        receipt = Receipt.model_validate_json((tmp_path / "receipts" / f"{run_id}.json").read_text("utf-8"))
        assert receipt.state == "failed"
        assert receipt.error


def test_receipts_that_are_old_enough_go_with_the_next_sync(tmp_path: Path) -> None:
    with live(tmp_path, META_INSIGHTS_RECEIPT_DAYS=30) as home:
        clock = SkippingClock(home.at)
        for name, wait in (("run-1", 0), ("run-2", 20), ("run-3", 11)):
            clock.sleep(wait * 86_400)
            request = SyncRequest(name, days_of(home, 1), reports_of_levels([Level.ACCOUNT]))
            run_sync(home.settings, request, clock=clock)
    assert sorted(file.stem for file in (tmp_path / "receipts").iterdir()) == ["run-2", "run-3"]
