"""The job that schedules, the command line and the read API run."""

import dagster as dg

from meta_insights_pipeline.defs.assets import GROUP

sync_insights = dg.define_asset_job(
    "sync_insights",
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    description="Collect insights for a range of days into the warehouse and publish a snapshot.",
)
