"""The clock: every half hour, today and yesterday of every account, in one run."""

import dagster as dg

from meta_insights_pipeline.collector.days import DayRange, refresh_range
from meta_insights_pipeline.defs.jobs import sync_insights
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.instance.runs import running_syncs
from meta_insights_pipeline.settings import load_settings


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags by which Dagster makes one run of a range of partitions."""
    return {
        "dagster/asset_partition_range_start": days.since.isoformat(),
        "dagster/asset_partition_range_end": days.until.isoformat(),
    }


@dg.schedule(
    job=sync_insights,
    cron_schedule="*/30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Today and yesterday of every ad account, unless a sync is still going.",
)
def sync_every_30_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run, with the window taken from the tick's own time."""
    settings = load_settings()
    running = running_syncs(context.instance, settings.home)
    if running:
        return dg.SkipReason(f"Run {running[0]} is still going; the next tick refreshes the same days.")
    at = context.scheduled_execution_time
    zones = AccountBook(settings.home).zones()
    days = refresh_range(at, zones)
    return dg.RunRequest(run_key=at.isoformat(), tags=range_tags(days))
