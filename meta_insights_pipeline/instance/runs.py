"""Which syncs are going on, and clearing away those whose process has died."""

from pathlib import Path

import dagster as dg

from meta_insights_pipeline.life import forget_dead, is_dead
from meta_insights_pipeline.warehouse.schema import entity_tables, tables

JOB = "sync_insights"
_TABLES = frozenset(dg.AssetKey(table.name) for table in (*tables(), *entity_tables()))
_GOING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def running_syncs(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Ids of the syncs that are queued or going on.

    A sync that was killed leaves its run as "started" for ever, which would stop the schedule; such runs are marked as failed.
    """
    going = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_GOING)):
        # A run that was started from an asset's page belongs to a job that Dagster makes up, and names its assets.
        if run.job_name != JOB and not _TABLES & set(run.asset_selection or ()):
            continue
        if is_dead(home, run.run_id):
            forget_dead(home, run.run_id)
            instance.report_run_failed(
                run, "The process of this sync has ended without a word (killed, or out of memory)."
            )
        else:
            going.append(run.run_id)
    return going
