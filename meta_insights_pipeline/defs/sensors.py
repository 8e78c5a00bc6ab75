"""What starts a sync beside the clock: parts that are missing and can be had by now."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.defs.jobs import sync_insights
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.instance.runs import running_syncs
from meta_insights_pipeline.resuming import AskedBook, newest_parts, next_parts
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE


@dg.sensor(
    job=sync_insights,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with what an earlier sync could not get, as soon as Meta's limits or its troubles should be over.",
)
def resume_missing_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run of days that are missing and due; its cursor tells what was asked for before."""
    settings, now = load_settings(), datetime.now(UTC)
    book, asked = MissingBook(settings.home), AskedBook.of_text(context.cursor)
    due = book.due(now)
    if not due:
        waiting = [part.retry_at for part in book.parts() if part.retry_at is not None]
        when = f"; the next part is due at {min(waiting):%Y-%m-%d %H:%M} UTC" if waiting else ""
        return dg.SkipReason(f"Nothing that is missing can be had now{when}.")
    running = running_syncs(context.instance, settings.home)
    if running:
        return dg.SkipReason(f"Run {running[0]} is still going; {len(due)} missing parts wait for its end.")
    parts = next_parts(due, asked, now)
    if not parts:
        return dg.SkipReason(_waiting(due, asked, now))
    return dg.SensorResult(run_requests=[resume_request(parts)], cursor=asked.after(parts, book.parts(), now).as_text())


def resume_request(due: Sequence[MissingPart]) -> dg.RunRequest:
    """The run that asks for the newest of the missing parts; far older ones get a run of their own later.

    It has no run key: Dagster never runs a key twice, and a run that failed must be followed by another one.
    """
    parts = newest_parts(due)
    days = DayRange(min(part.since for part in parts), max(part.until for part in parts))
    tables = {part.report for part in parts} | {ACTIONS_TABLE}
    accounts = sorted({part.account_id for part in parts})
    return dg.RunRequest(
        tags={**range_tags(days), "meta_insights/by": "resume"},
        asset_selection=[dg.AssetKey(table) for table in sorted(tables)],
        run_config={"ops": {"insights": {"config": {"accounts": accounts, "only_missing": True}}}},
    )


def _waiting(due: Sequence[MissingPart], asked: AskedBook, now: datetime) -> str:
    times = max(asked.times(part) for part in due)
    until = min(at for part in due if (at := asked.waits_until(part, now)) is not None)
    return (
        f"{len(due)} missing parts were asked for up to {times} times by runs that ended before they wrote anything; "
        f"look at these runs. The next one starts at {until:%Y-%m-%d %H:%M} UTC."
    )
