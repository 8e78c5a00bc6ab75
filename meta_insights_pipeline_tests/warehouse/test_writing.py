"""A sync's writing as a whole: one transaction and atomic publication. Crashes at any point are in `proofs/test_kills.py`."""

from datetime import timedelta
from decimal import Decimal

import pytest

from meta_insights_pipeline.catalog.conversions import choices
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.writing import write
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Desk, row


def test_a_snapshot_has_the_tables_the_comments_and_the_computed_columns(desk: Desk) -> None:
    desk.sync([row()])
    with desk.reading() as reader:
        tables = {
            name
            for (name,) in reader.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'"
            ).fetchall()
        }
        ratios = reader.execute("SELECT ctr, cpc, cpm, cpp, frequency FROM campaign_insights").fetchone()
        comment = reader.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'campaign_insights' AND column_name = 'reach'"
        ).fetchone()
    promised = {"account_insights", "campaign_insights", "adset_insights", "ad_insights", "insight_actions"}
    assert promised | {f"{name}_history" for name in promised} <= tables
    assert ratios == pytest.approx((10.0, 1.24, 124.0, 155.0, 1.25))
    assert comment is not None
    assert "never sum" in comment[0]


def test_a_computed_column_is_null_where_its_denominator_is_zero(desk: Desk) -> None:
    desk.sync([row(clicks="0", impressions="0", reach="0")])
    assert desk.ask("SELECT ctr, cpc, cpm, cpp, frequency FROM campaign_insights") == [(None,) * 5]


def test_the_caller_decides_whether_the_result_is_published(desk: Desk) -> None:
    desk.sync([row()])
    gap = Gap("campaign_insights", "2", DAY, DAY, "reason")
    assert not desk.write(desk.stage([row(spend="99")], at=LATE), gaps=[gap], publish_result=False).published
    assert desk.ask("SELECT spend FROM campaign_insights") == [(Decimal(99),)]
    with desk.reading() as reader:
        assert reader.execute("SELECT spend FROM campaign_insights").fetchall() == [(Decimal("12.4"),)]
    assert desk.write(gaps=[gap], publish_result=True).published
    with desk.reading() as reader:
        assert reader.execute("SELECT spend FROM campaign_insights").fetchall() == [(Decimal(99),)]
        assert reader.execute("SELECT count(*) FROM pipeline.missing").fetchall() == [(1,)]


def test_a_snapshot_that_cannot_be_written_is_said_in_one_sentence_and_the_last_one_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.sync([row()])

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meta_insights_pipeline.warehouse.publication.shutil.copyfile", full)
    with pytest.raises(WarehouseError, match=r"No space left on device.*the last one stays"):
        desk.sync([row(spend="99")], at=LATE)
    with desk.reading() as reader:
        assert reader.execute("SELECT spend FROM campaign_insights").fetchall() == [(Decimal("12.4"),)]


def test_live_rows_replace_simulated_ones_whole_and_simulated_ones_never_join_live_ones(desk: Desk) -> None:
    for spend, at in (("1", EARLY), ("2", LATE)):
        desk.write(desk.stage([row("stub", spend=spend)], at=at), source="stub")
    assert desk.ask("SELECT count(*) FROM campaign_insights_history") == [(1,)]
    desk.write(desk.stage([row(account_id="2")], account="2", at=LATE), source="live")
    assert desk.ask("SELECT account_id FROM campaign_insights") == [("2",)]
    assert desk.ask("SELECT account_id FROM pipeline.coverage") == [("2",)]
    assert desk.ask("SELECT count(*) FROM campaign_insights_history") == [(0,)]
    with pytest.raises(WarehouseError, match=r"META_INSIGHTS_HOME"):
        desk.write(desk.stage([row("stub")]), source="stub")


def test_a_failed_write_leaves_the_warehouse_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sync([row()])
    staged = [desk.stage([row(spend="99")], at=LATE), desk.stage([row(account_id="2")], account="2", at=LATE)]
    staged[1].files.facts[0].unlink()
    with pytest.raises(Exception, match="No files found"):
        desk.write(*staged)
    assert desk.ask("SELECT spend FROM campaign_insights") == [(Decimal("12.4"),)]


def test_what_does_not_fit_into_the_memory_is_merged_with_more_of_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row(str(number)) for number in range(3000)]
    desk.write(desk.stage(rows), memory_limits=("8MB", "256MB"))
    assert desk.ask("SELECT count(*) FROM campaign_insights") == [(3000,)]
    assert "Merging takes more than 8MB of memory; it begins again with 256MB." in caplog.messages
    with pytest.raises(WarehouseError, match=r"more than 8MB of memory; nothing was changed"):
        desk.write(desk.stage(rows[:5], at=LATE), memory_limits=("8MB",))
    assert desk.ask("SELECT count(*) FROM campaign_insights") == [(3000,)]


def test_another_choice_of_action_types_has_the_ledger_compare_every_day_by_it(desk: Desk) -> None:
    actions = [{"action_type": "omni_purchase", "value": "2"}, {"action_type": "purchase", "value": "3"}]
    accounts = builtin_reports()[0]
    for number, chosen in enumerate(("omni_purchase", "purchase", "purchase")):
        day = DAY + timedelta(days=number)
        campaigns = row(day=day, actions=actions)
        total = {name: value for name, value in campaigns.items() if not name.startswith(("campaign", "objective"))}
        staged = desk.stage_good(
            desk.answer([total], since=day, until=day, report=accounts), desk.answer([campaigns], since=day, until=day)
        )
        write(
            desk.warehouse,
            desk.snapshot,
            staged,
            [],
            run_id=f"run-{number}",
            source="live",
            counted_by=choices([f"purchase={chosen}"]),
            publish_result=False,
            now=LATE,
        )
    ledger = "SELECT date_start, account_value, level_sum, run_id FROM reconciliation WHERE metric = 'purchases' ORDER BY ALL"
    assert desk.ask(ledger) == [
        (DAY, 3, 3, "run-1"),
        (DAY + timedelta(days=1), 3, 3, "run-1"),
        # The choice is the same as before, so that only the days that were touched are compared.
        (DAY + timedelta(days=2), 3, 3, "run-2"),
    ]
