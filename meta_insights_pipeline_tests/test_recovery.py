"""The ledger after whole syncs: what adds up, what is explained and by which evidence, and what is left unexplained."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline import recovery
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.reconciliation import Status
from meta_insights_pipeline_tests.comparison import assert_equals_truth
from meta_insights_pipeline_tests.reconciling import NOW, Bench, bench

BELOW = ("campaign", "adset", "ad")
ORDINARY = {"account": 1, "insights_page": 8}
"""What a sync of two small accounts costs once their size is known."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without rows; making the tables takes as long as a small sync."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    return warehouse.path


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> Iterator[Bench]:
    with bench(tmp_path, empty) as running:
        yield running


def add_spend(level: str, amount: str, ad: str = "") -> Callable[[str, list[dict[str, Any]]], None]:
    """A change of the spend of one row of a level, always by the same amount."""

    def change(of: str, rows: list[dict[str, Any]]) -> None:
        for row in rows if of == level else ():
            if row.get(f"{level}_id") == ad:
                row["spend"] = str(Decimal(row["spend"]) + Decimal(amount))

    return change


def make_ads_stale(home: Bench, hours: float, skip: int = 0) -> None:
    """Two reports at ad level, one an account, hold the numbers of some time ago."""
    rule = {"kind": "insights", "query": "level=ad", "without_query": "level=adset"}
    home.simulator.faults.add("stale", **rule, seconds=hours * 3600, skip=skip, times=2)


# ---- everything adds up ----


def test_on_a_normal_world_every_account_day_level_and_metric_is_equal_and_nothing_is_asked_twice(home: Bench) -> None:
    days = home.days(0, 8)
    outcome = home.sync(days)
    ledger = home.rows("FROM reconciliation")
    assert {(row["status"], row["explanation"], row["residual"]) for row in ledger} == {("equal", None, 0)}
    assert all(row["account_value"] == row["level_sum"] for row in ledger)
    keys = {(row["account_id"], row["date_start"], row["level"], row["metric"]) for row in ledger}
    assert len(keys) == len(ledger)
    for place in (0, 1):
        for day in days.days:
            for level in BELOW:
                found = {key[3] for key in keys if key[:3] == (home.account(place), day, level)}
                assert found >= {"spend", "impressions", "clicks"}
    assert {key[3] for key in keys} >= {"purchases", "purchase_value", "leads"}
    counts = outcome.receipt.reconciliation
    assert (counts.compared, counts.equal) == (len(ledger), len(ledger))
    assert "reconcile" not in outcome.receipt.seconds
    assert home.calls(home.sync(days)) == ORDINARY


def test_the_ledger_holds_the_values_of_the_tables(home: Bench) -> None:
    home.sync(home.days(0, 1))
    for row in home.rows(
        "SELECT r.*, a.spend, a.impressions, v.value AS purchases FROM reconciliation AS r "
        "JOIN account_insights AS a USING (account_id, date_start) LEFT JOIN insight_actions AS v ON v.level = 'account' "
        "AND v.account_id = r.account_id AND v.date_start = r.date_start AND v.field = 'actions' "
        "AND v.action_type = 'omni_purchase' WHERE metric IN ('spend', 'impressions', 'purchases')"
    ):
        assert row["account_value"] == row[row["metric"]]


def test_two_currencies_stay_apart_and_counts_have_none(home: Bench) -> None:
    home.sync(home.days(0, 1))
    rows = home.rows(
        "SELECT account_id, account_currency, list(DISTINCT metric) AS metrics FROM reconciliation GROUP BY ALL"
    )
    found = {(row["account_id"], row["account_currency"]): set(row["metrics"]) for row in rows}
    assert found.keys() == {
        (home.account(place), currency) for place, own in enumerate(("USD", "EUR")) for currency in (own, None)
    }
    assert "spend" in found[home.account(1), "EUR"]
    assert "impressions" in found[home.account(1), None]


# ---- read again ----


def test_what_is_equal_when_both_are_read_again_was_restated_between_the_calls(home: Bench) -> None:
    days = home.days(0, 2)
    home.sync(days)
    make_ads_stale(home, hours=6)
    outcome = home.sync(days)
    lines = home.rows(f"FROM reconciliation WHERE date_start = DATE '{NOW.date()}' AND explanation IS NOT NULL")
    assert {(row["level"], row["status"], row["explanation"]) for row in lines} == {
        ("ad", "explained", "restated_between_calls")
    }
    for row in lines:
        assert row["residual"] == 0
        assert row["residual_before"] > 0
        assert "both are equal" in row["details"]
    assert outcome.receipt.reconciliation.unexplained == 0
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())
    # All four levels of both accounts once more, and nothing else.
    assert home.calls(outcome) == {**ORDINARY, "insights_page": 16}
    # The next sync finds them equal, with nothing left to explain; what was explained is still known.
    home.sync(days)
    assert home.rows("FROM reconciliation WHERE status <> 'equal'") == []
    earlier = home.rows("SELECT * EXCLUDE (superseded_at) FROM reconciliation_history WHERE explanation IS NOT NULL")
    assert all(line in earlier for line in lines)


def test_what_still_moves_between_two_readings_is_left_open_and_is_no_alarm(home: Bench) -> None:
    days = home.days(0, 1)
    for hours, skip in ((6, 0), (3, 2)):
        make_ads_stale(home, hours, skip)
    outcome = home.sync(days)
    assert "read_apart" in home.explanations()[home.account(), "ad"] <= {"read_apart", None}
    (row,) = home.rows(
        f"FROM reconciliation WHERE account_id = '{home.account()}' AND level = 'ad' AND metric = 'impressions'"
    )
    assert (row["status"], row["explanation"]) == ("incomplete", "read_apart")
    assert row["residual"] == row["account_value"] - row["level_sum"] > 0
    assert "when the day still changed" in row["details"]
    assert outcome.receipt.reconciliation.incomplete > 0
    assert outcome.receipt.reconciliation.unexplained == 0
    assert outcome.trust.ledger["ad_insights"].read_apart.count == 0, "today still moves"
    # The next sync reads both again anyway.
    home.sync(days)
    assert home.rows("FROM reconciliation WHERE status <> 'equal'") == []


def test_a_second_reading_is_made_for_as_many_accounts_as_the_calls_allow(
    home: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "ASK_AGAIN_CALLS", 4)
    days = home.days(0, 1)
    home.sync(days)
    make_ads_stale(home, hours=6)
    outcome = home.sync(days)
    assert home.calls(outcome) == {**ORDINARY, "insights_page": 12}
    found = sorted((home.explanations()[home.account(place), "ad"] - {None} for place in (0, 1)), key=str)
    assert found == [{"read_apart"}, {"restated_between_calls"}]
    waiting = {row["details"] for row in home.rows("FROM reconciliation WHERE explanation = 'read_apart'")}
    assert all(
        text.endswith("Not read again yet, since a sync spends 4 calls on that at most; the next sync goes on.")
        for text in waiting
    )


def test_a_large_account_is_read_again_day_by_day_and_later_syncs_of_other_days_go_on(
    home: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The four levels of a day take four calls, so that not even one account day is within the limit.
    monkeypatch.setattr(recovery, "ASK_AGAIN_CALLS", 3)
    days, newest = home.days(2, 3), home.days(0, 1)
    # Too much, so that no row is searched for.
    home.simulator.change = add_spend("ad", "1.50", home.world.graph(home.account()).ads.ids[0])
    home.sync(newest)
    outcome = home.sync(days)
    assert home.calls(outcome)["insights_page"] == 8 + 4
    unread = (
        "FROM reconciliation WHERE explanation = 'read_apart' AND date_start < DATE '2026-11-20' ORDER BY date_start"
    )
    assert len(home.rows(unread)) == 2
    for left in (1, 0):
        outcome = home.sync(newest)
        assert home.calls(outcome)["insights_page"] == 8 + 4
        assert [row["details"].count("Not read again yet") for row in home.rows(unread)] == [1] * left
        assert outcome.trust.ledger["ad_insights"].read_apart.count == left, "days that are over are told"
    asked = home.rows(
        "FROM reconciliation WHERE explanation = 'unexplained' AND date_start < DATE '2026-11-20' "
        "AND asked_again_at IS NOT NULL"
    )
    assert [row["residual"] for row in asked] == [Decimal("-1.50")] * 3


# ---- deleted ads ----


def hidden(home: Bench, where: str) -> str:
    """Delete an ad an hour from now, sync two days before that, and hide its rows; the ad's id."""
    ad = home.delete("ad", 3, home.now() + timedelta(hours=1))
    home.sync(home.days(40, 2), entities_every=timedelta(0))
    home.pass_time(timedelta(hours=2))
    home.simulator.set_deleted_rows(where)
    return ad


@pytest.mark.parametrize("where", ["by_parent", "by_id"])
def test_rows_of_deleted_ads_that_no_report_lists_are_recovered_and_stay(home: Bench, where: str) -> None:
    ad, days = hidden(home, where), home.days(40, 2)
    outcome = home.sync(days)
    lines = home.rows("FROM reconciliation WHERE status <> 'equal'")
    assert {(row["level"], row["status"], row["explanation"]) for row in lines} == {
        ("ad", "explained", "deleted_ads_recovered")
    }
    (spend,) = home.rows(f"SELECT sum(spend) AS spend FROM ad_insights WHERE ad_id = '{ad}'")
    assert sum(row["residual_before"] for row in lines if row["metric"] == "spend") == spend["spend"] > 0
    assert all(row["residual"] == 0 and ad in row["details"] for row in lines)
    assert outcome.receipt.reconciliation.unexplained == 0
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())
    marked = home.rows("SELECT DISTINCT report, entity_id FROM pipeline.recovered_rows")
    assert marked == [{"report": "ad_insights", "entity_id": ad}]

    # An ordinary sync takes them neither for vanished nor asks for them again.
    again = home.sync(days)
    assert home.calls(again) == ORDINARY
    assert again.receipt.tables["ad_insights"].removed == 0
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())
    assert home.explanations()[home.account(), "ad"] == {"deleted_ads_recovered", None}

    # Once a report lists them again, they are rows like all others.
    home.simulator.set_deleted_rows("filtered")
    home.sync(days)
    assert home.rows("FROM pipeline.recovered_rows") == []
    assert home.rows("FROM reconciliation WHERE status <> 'equal'") == []
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())


def test_recovered_rows_are_brought_up_to_date_once_the_totals_have_moved(home: Bench) -> None:
    ad = home.delete("ad", 3, NOW + timedelta(hours=1))
    days = home.days(0, 2)
    home.sync(days, entities_every=timedelta(0))
    home.pass_time(timedelta(hours=2))
    home.simulator.set_deleted_rows("by_id")
    home.sync(days)
    before = home.rows(f"SELECT date_start, spend FROM ad_insights WHERE ad_id = '{ad}' ORDER BY date_start")
    home.pass_time(timedelta(hours=20))
    home.sync(days)
    after = home.rows(f"SELECT date_start, spend FROM ad_insights WHERE ad_id = '{ad}' ORDER BY date_start")
    assert len(before) == len(after) == 2
    assert before != after
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())
    assert home.explanations()[home.account(), "ad"] == {"deleted_ads_recovered", None}


def test_a_deleted_campaign_is_recovered_with_its_ad_sets_and_ads(home: Bench) -> None:
    campaign = home.delete("campaign", 1, NOW + timedelta(hours=1))
    days = home.days(40, 1)
    home.sync(days, entities_every=timedelta(0))
    home.pass_time(timedelta(hours=2))
    home.simulator.set_deleted_rows("by_id")
    outcome = home.sync(days)
    for level in BELOW:
        assert home.explanations()[home.account(), level] == {"deleted_ads_recovered", None}
    marked = home.rows("SELECT report, count(*) AS n FROM pipeline.recovered_rows GROUP BY ALL ORDER BY ALL")
    assert marked == [
        {"report": "ad_insights", "n": 4},
        {"report": "adset_insights", "n": 2},
        {"report": "campaign_insights", "n": 1},
    ]
    assert home.rows(f"SELECT count(*) AS n FROM ad_insights WHERE campaign_id = '{campaign}'") == [{"n": 4}]
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())
    assert outcome.receipt.reconciliation.unexplained == 0


def test_a_deleted_ad_that_nobody_knows_is_unexplained_and_the_ledger_says_where_it_lies(home: Bench) -> None:
    ad = home.delete("ad", 3, NOW - timedelta(days=1))
    home.simulator.set_deleted_rows("by_id")
    days = home.days(40, 1)
    outcome = home.sync(days)
    (row,) = home.rows("FROM reconciliation WHERE status = 'unexplained' AND metric = 'impressions'")
    adset = home.world.graph(home.account()).adsets.ids[1]
    assert row["residual"] == row["account_value"] - row["level_sum"] > 0
    assert f"It lies in ad set {adset} ({row['residual']:.0f})." in row["details"]
    assert ad not in row["details"]
    # What changed nothing is not archived.
    assert not list(home.settings.archive_path.glob("act_*/*.by_id"))
    assert outcome.trust.ledger["ad_insights"].counts[Status.UNEXPLAINED] == outcome.receipt.reconciliation.unexplained
    # Nothing has changed, so a sync soon after does not ask again; one much later does.
    calls = home.calls(home.sync(days))
    assert calls == ORDINARY
    home.pass_time(timedelta(hours=7))
    assert home.calls(home.sync(days))["insights_page"] > ORDINARY["insights_page"]


def test_what_could_not_be_asked_in_one_sync_is_asked_in_the_next(home: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (0, 3):
        home.delete("ad", place, NOW - timedelta(days=1))
    home.simulator.set_deleted_rows("by_parent")
    days = home.days(40, 1)
    monkeypatch.setattr(recovery, "RECOVERY_CALLS", 1)
    home.sync(days)
    (row,) = home.rows("FROM reconciliation WHERE status = 'unexplained' AND metric = 'impressions'")
    assert "sync these days again to go on" in row["details"]
    home.sync(days)
    assert home.rows("FROM reconciliation WHERE status = 'unexplained'") == []
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())


def test_a_limit_of_calls_ends_the_search_and_the_ledger_says_so(home: Bench) -> None:
    home.delete("ad", 3, NOW - timedelta(days=1))
    home.simulator.set_deleted_rows("by_parent")
    home.simulator.faults.add("block", path=r"v26.0/\d+/insights", code=80000, seconds=1200)
    outcome = home.sync(home.days(40, 1))
    assert outcome.complete
    (row,) = home.rows("FROM reconciliation WHERE status = 'unexplained' AND metric = 'spend'")
    assert "could not be asked" in row["details"]
    home.pass_time(timedelta(hours=1))
    home.sync(home.days(40, 1))
    assert home.rows("FROM reconciliation WHERE status = 'unexplained'") == []


# ---- withheld, missing, unexplained ----


def test_a_field_that_meta_withholds_explains_its_own_metric_and_no_other(home: Bench) -> None:
    home.simulator.withheld = ("campaign", "spend")
    home.sync(home.days(40, 1))
    lines = home.rows("FROM reconciliation WHERE status <> 'equal'")
    assert {(row["level"], row["metric"], row["status"], row["explanation"]) for row in lines} == {
        ("campaign", "spend", "explained", "withheld_by_meta")
    }
    assert len(lines) == 2
    for row in lines:
        assert row["account_value"] > 0
        assert (row["level_sum"], row["residual"]) == (None, None)
        assert row["details"] == "Meta does not give spend in campaign_insights (2 of 2 rows lack it)."


def test_a_level_that_could_not_be_collected_is_incomplete_with_the_reason(home: Bench) -> None:
    rule = {"query": "level=adset", "account": home.account(), "code": 3018, "times": None}
    home.simulator.faults.add("graph_error", kind="insights", **rule)
    home.sync(home.days(0, 1))
    lines = home.rows("FROM reconciliation WHERE status <> 'equal'")
    assert {(row["level"], row["status"], row["explanation"]) for row in lines} == {
        ("adset", "incomplete", "not_collected")
    }
    for row in lines:
        assert row["account_id"] == home.account()
        assert row["level_sum"] is None
        assert row["account_value"] is not None
        assert row["details"].startswith("Not collected for this day: adset_insights. GET /")


def test_levels_that_nobody_asked_for_are_not_in_the_ledger_and_a_total_that_is_not_there_is_said(home: Bench) -> None:
    home.sync(home.days(0, 1), Level.CAMPAIGN)
    assert {(row["level"], row["explanation"]) for row in home.rows("FROM reconciliation")} == {
        ("campaign", "not_collected")
    }
    home.sync(home.days(0, 1), Level.ACCOUNT)
    assert {(row["level"], row["explanation"]) for row in home.rows("FROM reconciliation")} == {("campaign", None)}


def test_a_residual_that_nothing_explains_is_unexplained_with_all_its_numbers(home: Bench) -> None:
    ad = home.world.graph(home.account()).ads.ids[0]
    home.simulator.change = add_spend("ad", "-1.50", ad)
    # A day that is over: one that was still going on would be asked for again.
    outcome = home.sync(home.days(1, 1))
    (row,) = home.rows("FROM reconciliation WHERE status <> 'equal'")
    assert (row["level"], row["metric"], row["account_currency"]) == ("ad", "spend", "USD")
    assert (row["status"], row["explanation"]) == ("unexplained", "unexplained")
    assert row["residual"] == row["account_value"] - row["level_sum"] == Decimal("1.50")
    assert row["asked_again_at"] is not None
    adset = home.world.graph(home.account()).adsets.ids[0]
    assert row["details"].endswith(f"It lies in ad set {adset} (1.5).")
    (line,) = outcome.trust.ledger["ad_insights"].unexplained.lines
    assert (line.account_id, line.metric, line.residual) == (home.account(), "spend", Decimal("1.50"))
    assert outcome.receipt.reconciliation.unexplained == 1
    assert "1 residuals are unexplained" in outcome.receipt.as_text()
    # The sync did what it was asked to do.
    assert outcome.complete
    # It stays in sight when two days later the schedule asks for other days, which add up.
    home.simulator.change = None
    home.pass_time(timedelta(days=2))
    later = home.sync(home.days(-2, 2))
    assert later.receipt.reconciliation.unexplained == 0
    assert [one.residual for one in later.trust.ledger["ad_insights"].unexplained.lines] == [Decimal("1.50")]


def test_too_much_is_a_residual_too_and_nothing_is_searched_for(home: Bench) -> None:
    ad = home.world.graph(home.account()).ads.ids[0]
    home.simulator.change = add_spend("ad", "2", ad)
    outcome = home.sync(home.days(40, 1))
    (row,) = home.rows("FROM reconciliation WHERE status <> 'equal'")
    assert (row["explanation"], row["residual"]) == ("unexplained", Decimal(-2))
    # Days that no longer change are not read again, and no row can be lacking.
    assert home.calls(outcome)["insights_page"] == ORDINARY["insights_page"]
