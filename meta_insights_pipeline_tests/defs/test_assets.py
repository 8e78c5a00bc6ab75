"""Runs of the assets, with real Dagster runs in process and the simulated world of stub mode."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline_tests.comparison import read_rows
from meta_insights_pipeline_tests.live import TOKEN, live

TODAY = datetime.now(UTC).date()
DAYS = DayRange(TODAY - timedelta(days=5), TODAY - timedelta(days=3))
KEYS = {day.isoformat() for day in DAYS.days}


def run(instance: dg.DagsterInstance, days: DayRange, *assets: str, **options: object) -> dg.ExecuteInProcessResult:
    job = defs().resolve_job_def("sync_insights")
    return job.execute_in_process(
        instance=instance,
        tags=range_tags(days),
        asset_selection=[dg.AssetKey(name) for name in assets] or None,
        raise_on_error=False,
        **options,  # type: ignore[arg-type]
    )


def test_one_run_of_a_range_materialises_every_day_of_every_asset(home: Path, instance: dg.DagsterInstance) -> None:
    result = run(instance, DAYS)
    assert result.success
    for name in ("account_insights", "campaign_insights", "adset_insights", "ad_insights", "insight_actions"):
        assert instance.get_materialized_partitions(dg.AssetKey(name)) == KEYS
    assert instance.get_runs_count() == 1
    checks = result.get_asset_check_evaluations()
    assert len(checks) == 15
    assert all(check.passed for check in checks)
    assert read_rows(home / "meta_insights.duckdb", "SELECT count(DISTINCT date_start) AS n FROM ad_insights") == [
        {"n": 3}
    ]


def test_a_person_finds_rows_spend_calls_a_preview_and_the_receipt(home: Path, instance: dg.DagsterInstance) -> None:
    run(instance, DAYS)
    records = instance.fetch_materializations(dg.AssetKey("campaign_insights"), limit=10).records
    stored = {
        row["date_start"].isoformat(): row["n"]
        for row in read_rows(
            home / "meta_insights.duckdb", "SELECT date_start, count(*) AS n FROM campaign_insights GROUP BY ALL"
        )
    }
    found = {}
    for record in records:
        materialization = record.asset_materialization
        assert materialization is not None
        metadata = materialization.metadata
        found[materialization.partition] = metadata["dagster/partition_row_count"].value
        assert metadata["dagster/row_count"].value == sum(stored.values())
        assert int(str(metadata["calls"].value)) > 0
        assert float(str(metadata["spend USD"].value)) > 0
        assert "EUR" in str(metadata["spend of the run"].value)
        if materialization.partition == max(KEYS):
            assert str(metadata["preview"].value).count("\n") >= 5
        assert Path(str(metadata["receipt"].value)).is_file()
    assert found == stored


def test_any_subset_of_levels_can_be_materialised(home: Path, instance: dg.DagsterInstance) -> None:
    result = run(instance, DAYS, "adset_insights")
    assert result.success
    assert instance.get_materialized_partitions(dg.AssetKey("adset_insights")) == KEYS
    assert instance.get_materialized_partitions(dg.AssetKey("ad_insights")) == set()
    counts = read_rows(
        home / "meta_insights.duckdb",
        "SELECT (SELECT count(*) FROM adset_insights) > 0 AS adsets, (SELECT count(*) FROM ad_insights) AS ads",
    )
    assert counts == [{"adsets": True, "ads": 0}]


def test_a_single_partition_can_be_materialised(home: Path, instance: dg.DagsterInstance) -> None:
    job = defs().resolve_job_def("sync_insights")
    key = DAYS.since.isoformat()
    assert job.execute_in_process(instance=instance, partition_key=key).success
    assert instance.get_materialized_partitions(dg.AssetKey("ad_insights")) == {key}
    assert home.exists()


def test_days_to_come_are_left_out_of_a_range(home: Path, instance: dg.DagsterInstance) -> None:
    days = DayRange(TODAY - timedelta(days=1), TODAY + timedelta(days=30))
    assert run(instance, days, "account_insights").success
    newest = read_rows(home / "meta_insights.duckdb", "SELECT max(date_start) AS day FROM account_insights")
    assert newest[0]["day"] <= TODAY + timedelta(days=1)
    done = instance.get_materialized_partitions(dg.AssetKey("account_insights"))
    assert max(date.fromisoformat(key) for key in done) <= TODAY + timedelta(days=1)


def test_a_part_that_is_missing_fails_the_run_in_one_sentence_and_complete_levels_are_materialised(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live(home) as server:
        for name, value in {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": server.url,
        }.items():
            monkeypatch.setenv(name, value)
        forbidden = server.world.accounts[0].id
        server.simulator.faults.add(
            "graph_error", kind="create_run", path=f"act_{forbidden}/insights", code=200, status=403, times=1
        )
        result = run(instance, DayRange(server.at.date() - timedelta(days=2), server.at.date()))
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    data = failures[0].step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    assert f"act_{forbidden}" in data.description
    assert "ads_read" in data.description
    assert len(instance.get_materialized_partitions(dg.AssetKey("account_insights"))) == 3
    assert instance.get_materialized_partitions(dg.AssetKey("ad_insights")) == set()
    # Nothing of the token in anything that the run recorded.
    for entry in instance.all_logs(result.run_id):
        assert TOKEN not in dg.serialize_value(entry)
