"""One run of the job `sync_insights` in this process, recorded like any other; and its receipt."""

import warnings
from collections.abc import Sequence

import dagster as dg

# Imported here and not when Dagster asks for it by name, so that whoever imports this module has paid for all of it.
import meta_insights_pipeline.instance.storage  # noqa: F401
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.schedules import range_tags
from meta_insights_pipeline.full_disk import FullDiskError, telling_full_disk
from meta_insights_pipeline.instance.home import open_instance, prepare_dagster_home
from meta_insights_pipeline.instance.runs import JOB, running_syncs
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE


class RunFailedError(Exception):
    """The run failed; the message is one sentence, the receipt is there if anything was collected."""

    def __init__(self, message: str, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


def run_recorded(
    settings: Settings,
    days: DayRange,
    levels: Sequence[Level],
    accounts: Sequence[str] = (),
    *,
    only_missing: bool = False,
) -> Receipt:
    """Run the job for a range of days and wait for its end.

    Args:
        settings: Where and how.
        days: Account days.
        levels: Insights of these alone; when none is named, of all levels, and the entities too.
        accounts: Only these; empty: all.
        only_missing: Only what earlier syncs could not get of the days.

    Raises:
        RunFailedError: The run failed, or something is missing.
        KeyboardInterrupt: Ctrl-C.
    """
    warnings.filterwarnings("ignore", module="dagster")
    try:
        # Dagster writes down every step of a run, below the home as well.
        with telling_full_disk(settings.home):
            result = _execute(settings, days, levels, accounts, only_missing=only_missing)
    except FullDiskError as error:
        raise RunFailedError(str(error)) from None
    file = settings.home / "receipts" / f"{result.run_id}.json"
    receipt = Receipt.model_validate_json(file.read_text("utf-8")) if file.exists() else None
    if not result.success or receipt is None:
        raise RunFailedError(_cause(result), receipt)
    return receipt


def _execute(
    settings: Settings, days: DayRange, levels: Sequence[Level], accounts: Sequence[str], *, only_missing: bool
) -> dg.ExecuteInProcessResult:
    names = [*(report.name for report in reports_of_levels(levels or list(Level))), ACTIONS_TABLE]
    if not levels and not only_missing:
        names += [kind.value for kind in EntityKind]
    with open_instance(prepare_dagster_home(settings)) as instance:
        # Runs whose process was killed are marked as failed, as a side effect of asking.
        running_syncs(instance, settings.home)
        job = defs().resolve_job_def(JOB)
        config = {"accounts": list(accounts), "entities_every_minutes": 0, "only_missing": only_missing}
        return job.execute_in_process(
            instance=instance,
            tags={**range_tags(days), "meta_insights/by": "command line"},
            asset_selection=[dg.AssetKey(name) for name in names],
            run_config={
                "ops": {"insights": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )


def _cause(result: dg.ExecuteInProcessResult) -> str:
    """The sentence of the step that failed, or Dagster's own."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return error.message.strip()
    return f"Run {result.run_id} failed; look at it in the Dagster UI."
