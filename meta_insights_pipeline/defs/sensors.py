"""What starts a sync beside the clock: parts that are missing and can be had by now."""

import hashlib
from datetime import UTC, datetime

import dagster as dg

from meta_insights_pipeline.collector.days import cluster
from meta_insights_pipeline.defs.jobs import sync_insights
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.instance.runs import running_syncs
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE


@dg.sensor(
    job=sync_insights,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with what an earlier sync could not get, as soon as Meta's limits or its troubles should be over.",
)
def resume_missing_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run of the newest days that are missing and due."""
    settings, now = load_settings(), datetime.now(UTC)
    book = MissingBook(settings.home)
    due = book.due(now)
    if not due:
        waiting = [part.retry_at for part in book.parts() if part.retry_at is not None]
        when = f"; the next part is due at {min(waiting):%Y-%m-%d %H:%M} UTC" if waiting else ""
        return dg.SkipReason(f"Nothing that is missing can be had now{when}.")
    running = running_syncs(context.instance, settings.home)
    if running:
        return dg.SkipReason(f"Run {running[0]} is still going; {len(due)} missing parts wait for its end.")
    return resume_request(due)


def resume_request(due: tuple[MissingPart, ...]) -> dg.RunRequest:
    """The run that asks for the newest of the missing parts; far older ones get a run of their own later."""
    days = cluster([(part.since, part.until) for part in due])
    parts = [part for part in due if days.since <= part.since and part.until <= days.until]
    tables = {part.report for part in parts} | {ACTIONS_TABLE}
    accounts = sorted({part.account_id for part in parts})
    identity = "\n".join(sorted(repr(part) for part in parts))
    return dg.RunRequest(
        run_key=hashlib.sha256(identity.encode()).hexdigest(),
        tags={**range_tags(days), "meta_insights/by": "resume"},
        asset_selection=[dg.AssetKey(table) for table in sorted(tables)],
        run_config={"ops": {"insights": {"config": {"accounts": accounts, "only_missing": True}}}},
    )
