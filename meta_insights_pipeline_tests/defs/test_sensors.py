"""Going on by itself with what an earlier sync could not get."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.sensors import resume_missing_sensor, resume_request
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.life import alive

NOW = datetime.now(UTC)


def part(
    report: str, account_id: str, since: date, days: int, retry_at: datetime | None = NOW - timedelta(minutes=1)
) -> MissingPart:
    return MissingPart(report, account_id, since, since + timedelta(days=days - 1), "blocked", "deferred", retry_at)


def evaluate(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance) as context:
        answer = resume_missing_sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_the_sensor_is_on_by_default() -> None:
    sensor = defs().resolve_sensor_def("resume_missing_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_nothing_missing_is_nothing_to_do(home: Path, kept_instance: dg.DagsterInstance) -> None:
    answer = evaluate(kept_instance)
    assert isinstance(answer, dg.SkipReason)
    assert not home.exists()


def test_what_is_missing_is_asked_for_when_it_is_due_and_not_before(
    home: Path, kept_instance: dg.DagsterInstance
) -> None:
    home.mkdir()
    later = NOW + timedelta(hours=1)
    MissingBook(home).save([part("ad_insights", "1", date(2026, 11, 1), 2, later)])
    answer = evaluate(kept_instance)
    assert isinstance(answer, dg.SkipReason)
    assert f"{later:%Y-%m-%d %H:%M} UTC" in str(answer.skip_message)
    MissingBook(home).save([part("ad_insights", "1", date(2026, 11, 1), 2)])
    answer = evaluate(kept_instance)
    assert isinstance(answer, dg.RunRequest)
    assert answer.tags["dagster/asset_partition_range_start"] == "2026-11-01"
    assert answer.tags["dagster/asset_partition_range_end"] == "2026-11-02"
    assert answer.run_config["ops"]["insights"]["config"] == {"accounts": ["1"], "only_missing": True}
    assert answer.asset_selection == [dg.AssetKey("ad_insights"), dg.AssetKey("insight_actions")]


def test_while_a_sync_is_going_the_missing_parts_wait(home: Path, kept_instance: dg.DagsterInstance) -> None:
    home.mkdir()
    MissingBook(home).save([part("ad_insights", "1", date(2026, 11, 1), 2)])
    run = kept_instance.create_run_for_job(defs().resolve_job_def("sync_insights"), status=dg.DagsterRunStatus.STARTED)
    with alive(home, run.run_id):
        answer = evaluate(kept_instance)
    assert isinstance(answer, dg.SkipReason)
    assert run.run_id in str(answer.skip_message)


def test_far_older_days_get_a_run_of_their_own_and_the_newest_go_first() -> None:
    new = part("ad_insights", "1", date(2026, 11, 20), 2)
    near = part("campaign_insights", "2", date(2026, 11, 14), 3)
    old = part("ad_insights", "3", date(2025, 1, 1), 400)
    far = part("ad_insights", "4", date(2024, 1, 1), 2)
    request = resume_request((far, new, near))
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-14"
    assert request.run_config["ops"]["insights"]["config"]["accounts"] == ["1", "2"]
    assert resume_request((far, old)).run_config["ops"]["insights"]["config"]["accounts"] == ["3"]


def test_the_same_parts_are_one_run_until_they_are_due_anew() -> None:
    first = part("ad_insights", "1", date(2026, 11, 20), 2)
    again = part("ad_insights", "1", date(2026, 11, 20), 2, NOW + timedelta(hours=6))
    assert resume_request((first,)).run_key == resume_request((first,)).run_key
    assert resume_request((first,)).run_key != resume_request((again,)).run_key
