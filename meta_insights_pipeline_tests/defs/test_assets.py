"""Runs of the assets, with real Dagster runs in process and the simulated world of stub mode."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline.defs.sensors import resume_request
from meta_insights_pipeline.home_files import MissingBook
from meta_insights_pipeline_tests.comparison import read_rows
from meta_insights_pipeline_tests.live import TOKEN, Live, live

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
    # Whether a report adds up, which the account's own has no total for, whether it is as long as usual, and what is new in it.
    # And of the four levels, whether reach stays within impressions.
    assert len(checks) == 5 * 5 + 5 * 3 + 3 + 4 + 5 + 4
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


def test_entities_are_whole_without_partitions_and_may_be_refreshed_alone(
    home: Path, instance: dg.DagsterInstance
) -> None:
    assert run(instance, DAYS).success
    for name in ("ad_accounts", "campaigns", "adsets", "ads", "creatives"):
        (record,) = instance.fetch_materializations(dg.AssetKey(name), limit=10).records
        materialization = record.asset_materialization
        assert materialization is not None
        assert materialization.partition is None
        assert int(str(materialization.metadata["dagster/row_count"].value)) > 0
    job = defs().resolve_job_def("sync_insights")
    alone = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("campaigns")])
    assert alone.success
    assert len(instance.fetch_materializations(dg.AssetKey("campaigns"), limit=10).records) == 2
    assert read_rows(home / "meta_insights.duckdb", "SELECT count(*) > 0 AS filled FROM ads") == [{"filled": True}]


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


def last_days(server: Live) -> DayRange:
    return DayRange(server.at.date() - timedelta(days=2), server.at.date())


def missing_check(result: dg.ExecuteInProcessResult, table: str) -> dg.AssetCheckEvaluation:
    checks = {
        (check.asset_key.to_user_string(), check.check_name): check for check in result.get_asset_check_evaluations()
    }
    return checks[table, "nothing_is_missing"]


def test_a_blocked_account_is_no_failed_run_and_what_came_is_published(
    home: Path, instance: dg.DagsterInstance, server: Live
) -> None:
    blocked = server.world.accounts[0].id
    server.simulator.faults.add("block", account=blocked, query="level=ad", kind="insights", code=80000, seconds=1200)
    result = run(instance, last_days(server))
    assert result.success
    check = missing_check(result, "ad_insights")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert f"act_{blocked}" in str(check.description)
    assert instance.get_materialized_partitions(dg.AssetKey("ad_insights")) == set()
    rows = read_rows(home / "meta_insights.duckdb", "SELECT DISTINCT account_id FROM ad_insights")
    assert rows == [{"account_id": server.world.accounts[1].id}]
    # What it lacks is noted for the sensor, and the run of the sensor completes it.
    server.simulator.clock.advance(timedelta(seconds=1300))  # type: ignore[attr-defined]
    server.simulator.faults.clear()
    forget_block(home)
    request = resume_request(MissingBook(home).parts())
    job = defs().resolve_job_def("sync_insights")
    again = job.execute_in_process(
        instance=instance, tags=request.tags, asset_selection=request.asset_selection, run_config=request.run_config
    )
    assert again.success
    assert MissingBook(home).parts() == ()
    assert missing_check(again, "ad_insights").passed
    assert len(instance.get_materialized_partitions(dg.AssetKey("ad_insights"))) == 3
    assert len(read_rows(home / "meta_insights.duckdb", "SELECT DISTINCT account_id FROM ad_insights")) == 2


def forget_block(home: Path) -> None:
    """Let the pipeline's own book of budgets begin anew, since its clock has not moved with the simulated one."""
    for file in home.glob("collector-live.sqlite*"):
        file.unlink()


def test_what_cannot_be_had_of_any_account_fails_the_run_in_one_sentence_and_complete_levels_are_materialised(
    instance: dg.DagsterInstance, server: Live
) -> None:
    server.simulator.faults.add("graph_error", query="level=ad", kind="insights", code=3018, times=None)
    server.simulator.faults.add("graph_error", query="level=ad", kind="create_run", code=3018, times=None)
    result = run(instance, last_days(server))
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    data = failures[0].step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    assert f"act_{server.world.accounts[0].id}" in data.description
    assert "37 months" in data.description
    assert len(instance.get_materialized_partitions(dg.AssetKey("account_insights"))) == 3
    assert instance.get_materialized_partitions(dg.AssetKey("ad_insights")) == set()
    # Nothing of the token in anything that the run recorded.
    for entry in instance.all_logs(result.run_id):
        assert TOKEN not in dg.serialize_value(entry)
