"""Going on by itself with what an earlier sync could not get."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import dagster as dg
import pytest

from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs import sensors
from meta_insights_pipeline.defs.sensors import resume_missing_sensor, resume_request
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.life import alive
from meta_insights_pipeline.resuming import LONGEST_WAIT, AskedBook, next_parts

NOW = datetime.now(UTC)


def part(
    report: str, account_id: str, since: date, days: int, retry_at: datetime | None = NOW - timedelta(minutes=1)
) -> MissingPart:
    return MissingPart(report, account_id, since, since + timedelta(days=days - 1), "blocked", "deferred", retry_at)


def evaluate(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        answer = resume_missing_sensor(context)
    assert isinstance(answer, dg.SensorResult | dg.SkipReason)
    return answer


def set_clock(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(at.timestamp(), tz)

    monkeypatch.setattr(sensors, "datetime", Clock)


def asked_for(answer: dg.SensorResult | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(answer, dg.SensorResult)
    (request,) = answer.run_requests or ()
    return request


def fail_before_it_writes(instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    """What the daemon does with a request, and a run that dies at once."""
    if request.run_key is not None:
        tags = {"dagster/run_key": request.run_key}
        assert not instance.get_runs(dg.RunsFilter(tags=tags)), "Dagster would skip this request"
        request = request.with_replaced_attrs(tags={**request.tags, **tags})
    job = defs().resolve_job_def("sync_insights")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=request.tags)
    instance.report_run_failed(run)


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
    request = asked_for(evaluate(kept_instance))
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-01"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-02"
    assert request.run_config["ops"]["insights"]["config"] == {"accounts": ["1"], "only_missing": True}
    assert request.asset_selection == [dg.AssetKey("ad_insights"), dg.AssetKey("insight_actions")]


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


def test_what_a_failed_run_was_to_get_is_asked_for_again_after_a_wait_that_grows(
    home: Path, kept_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    # The run's process dies before it writes, so the book stays as it is.
    MissingBook(home).save([part("ad_insights", "1", date(2026, 11, 1), 2)])
    at, cursor, waits = NOW, None, []
    for _ in range(6):
        set_clock(monkeypatch, at)
        answer = evaluate(kept_instance, cursor)
        fail_before_it_writes(kept_instance, asked_for(answer))
        assert isinstance(answer, dg.SensorResult)
        cursor, began = answer.cursor, at
        while isinstance(skipped := evaluate(kept_instance, cursor), dg.SkipReason):
            assert "ended before they wrote" in str(skipped.skip_message)
            at += timedelta(minutes=1)
            set_clock(monkeypatch, at)
        waits.append((at - began) // timedelta(minutes=1))
    assert waits == [5, 10, 20, 40, 60, 60]


def test_parts_that_no_run_can_get_do_not_keep_older_ones_from_their_turn() -> None:
    stuck = part("ad_insights", "1", date(2026, 11, 20), 2)
    old, older = part("ad_insights", "1", date(2026, 9, 1), 2), part("ad_insights", "2", date(2026, 7, 1), 2)
    due, book, at = (stuck, old, older), AskedBook(), NOW
    first = []
    for _ in range(3):
        chosen = next_parts(due, book, at)
        book = book.after(chosen, due, at)
        at += timedelta(minutes=1)
        first += list(chosen)
    assert first == [stuck, old, older]
    assert next_parts(due, book, at) == ()
    # What has just become missing goes before what was asked for in vain, even when the latter is due.
    fresh = part("ad_insights", "3", date(2026, 5, 1), 2)
    later = at + LONGEST_WAIT
    assert next_parts((*due, fresh), book, later) == (fresh,)
    assert next_parts(due, book, later) == (stuck,)


def test_a_part_that_a_sync_has_written_anew_was_never_asked_for() -> None:
    before = part("ad_insights", "1", date(2026, 11, 20), 2)
    book = AskedBook().after([before], [before], NOW)
    assert next_parts([before], book, NOW) == ()
    put_off = part("ad_insights", "1", date(2026, 11, 20), 2, NOW)
    assert next_parts([put_off], book, NOW) == (put_off,)
    assert AskedBook.of_text(book.after([], [put_off], NOW).as_text()).times(before) == 0


def test_a_cursor_that_cannot_be_read_is_begun_anew() -> None:
    one = part("ad_insights", "1", date(2026, 11, 20), 2)
    for text in (None, "", "nonsense", "[1]", '{"a": 1}', '{"a": [1, "x"]}'):
        assert next_parts([one], AskedBook.of_text(text), NOW) == (one,)
    book = AskedBook().after([one], [one], NOW)
    assert AskedBook.of_text(book.as_text()).times(one) == 1


def test_the_daemon_takes_what_the_sensor_gives(home: Path, kept_instance: dg.DagsterInstance) -> None:
    home.mkdir()
    MissingBook(home).save([part("ad_insights", "1", date(2026, 11, 1), 2)])
    sensor = defs().resolve_sensor_def("resume_missing_sensor")
    with dg.build_sensor_context(instance=kept_instance, definitions=defs()) as context:
        data = sensor.evaluate_tick(context)
    assert data.run_requests is not None
    assert len(data.run_requests) == 1
    assert data.cursor
