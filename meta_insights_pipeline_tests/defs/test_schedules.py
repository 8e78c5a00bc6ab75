"""The half-hourly refresh: which days, in which run, and when not."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.schedules import sync_every_30_minutes
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.life import alive

TICK = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


def tick(instance: dg.DagsterInstance, at: datetime = TICK) -> dg.RunRequest | dg.SkipReason:
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
        answer = sync_every_30_minutes(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def window(answer: dg.RunRequest | dg.SkipReason) -> tuple[str, str]:
    assert isinstance(answer, dg.RunRequest)
    return (
        answer.tags["dagster/asset_partition_range_start"],
        answer.tags["dagster/asset_partition_range_end"],
    )


def test_a_tick_asks_for_today_and_yesterday_of_the_known_accounts_in_one_run(
    home: Path, kept_instance: dg.DagsterInstance
) -> None:
    home.mkdir()
    AccountBook(home).save([AdAccount("1", "Shop", "EUR", "Europe/Berlin")])
    answer = tick(kept_instance)
    assert window(answer) == ("2026-11-21", "2026-11-22")
    assert isinstance(answer, dg.RunRequest)
    assert answer.run_key == TICK.isoformat()
    AccountBook(home).save(
        [AdAccount("1", "Shop", "EUR", "Europe/Berlin"), AdAccount("2", "Surf", "AUD", "Australia/Sydney")]
    )
    assert window(tick(kept_instance)) == ("2026-11-21", "2026-11-23")


def test_a_late_tick_asks_for_the_days_of_its_own_time(home: Path, kept_instance: dg.DagsterInstance) -> None:
    home.mkdir()
    AccountBook(home).save([AdAccount("1", "Shop", "EUR", "Europe/Berlin")])
    assert window(tick(kept_instance, datetime(2026, 10, 1, 8, 0, tzinfo=UTC))) == ("2026-09-30", "2026-10-01")


def _somebody_elses() -> dg.JobDefinition:
    @dg.job
    def theirs() -> None:
        pass

    return theirs


def test_before_the_first_sync_every_zone_on_earth_is_covered(home: Path, kept_instance: dg.DagsterInstance) -> None:
    assert window(tick(kept_instance)) == ("2026-11-21", "2026-11-23")
    assert not home.exists()


def test_a_tick_is_skipped_while_a_sync_is_going(home: Path, kept_instance: dg.DagsterInstance) -> None:
    run = kept_instance.create_run_for_job(defs().resolve_job_def("sync_insights"), status=dg.DagsterRunStatus.STARTED)
    with alive(home, run.run_id):
        answer = tick(kept_instance)
    assert isinstance(answer, dg.SkipReason)
    assert run.run_id in str(answer.skip_message)


def test_a_run_that_was_started_from_an_assets_page_counts_too(home: Path, kept_instance: dg.DagsterInstance) -> None:
    job = defs().resolve_implicit_global_asset_job_def()
    selection = frozenset([dg.AssetKey("ad_insights")])
    run = kept_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=selection)
    assert run.job_name != "sync_insights"
    assert isinstance(tick(kept_instance), dg.SkipReason)
    kept_instance.report_run_failed(run)
    kept_instance.create_run_for_job(_somebody_elses(), status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(kept_instance), dg.RunRequest)
    assert not home.exists()


def test_a_sync_that_was_killed_does_not_stop_the_schedule_and_is_marked_as_failed(
    home: Path, kept_instance: dg.DagsterInstance
) -> None:
    run = kept_instance.create_run_for_job(defs().resolve_job_def("sync_insights"), status=dg.DagsterRunStatus.STARTED)
    (home / "tmp").mkdir(parents=True)
    (home / "tmp" / f"alive-{run.run_id}.lock").touch()
    assert isinstance(tick(kept_instance), dg.RunRequest)
    stored = kept_instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status is dg.DagsterRunStatus.FAILURE


def test_the_request_is_valid_for_the_job(home: Path, kept_instance: dg.DagsterInstance) -> None:
    schedule = defs().resolve_schedule_def("sync_every_30_minutes")
    with dg.build_schedule_context(instance=kept_instance, scheduled_execution_time=TICK) as context:
        data = schedule.evaluate_tick(context)
    assert data.run_requests is not None
    assert len(data.run_requests) == 1
    assert not home.exists()
