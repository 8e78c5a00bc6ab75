"""The resource that runs a sync, stub or live by META_INSIGHTS_MODE; and the published file for assets of the user."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from meta_insights_pipeline.settings import Settings, load_settings
from meta_insights_pipeline.sync import SyncOutcome, SyncRequest, run_sync


class InsightsSync(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Collects insights into the warehouse.

    It has no fields: the settings, the token among them, are read from the environment when a run starts, and so never get
    into Dagster's configuration.
    """

    def settings(self) -> Settings:
        """The settings of this process."""
        return load_settings()

    def run(self, request: SyncRequest) -> SyncOutcome:
        """Bring the warehouse up to date."""
        return run_sync(self.settings(), request)


@dg.definitions
def resources() -> dg.Definitions:
    """Resources and executor of the code location.

    `insights_snapshot` is for assets that read what was published: a reader never blocks the pipeline.
    """
    snapshot = DuckDBResource(
        database=str(load_settings().snapshot_path), connection_config={"access_mode": "READ_ONLY"}
    )
    # A step in a process of its own costs seconds, and one process must hold the warehouse anyway.
    return dg.Definitions(
        resources={"insights_sync": InsightsSync(), "insights_snapshot": snapshot}, executor=dg.in_process_executor
    )
