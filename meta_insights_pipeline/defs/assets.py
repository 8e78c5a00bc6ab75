"""The insights assets: one a level, and the actions of all; a run collects any subset of them over any range of days.

One multi-asset, since all levels of a run share a process, a session with Meta and one transaction of the warehouse.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
from pydantic import Field

from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.defs.metadata import (
    check_result,
    column_schema,
    day_metadata,
    missing_text,
    table_metadata,
)
from meta_insights_pipeline.defs.partitions import account_days
from meta_insights_pipeline.defs.resources import InsightsSync
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.settings import SettingsError
from meta_insights_pipeline.sync import NothingToCollectError, SyncOutcome, SyncRequest
from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.inspection import CHECKS
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table, actions_table, fact_table

GROUP = "meta_insights"


class SyncConfig(dg.Config):
    """What may be set for a run in the launchpad."""

    accounts: list[str] = Field([], description="Only these ad accounts (ids without act_); empty: all.")


def _spec(table: Table, tags: dict[str, str], deps: list[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=f"{table.description}\n\nKey: `{', '.join(table.key)}`.",
        group_name=GROUP,
        owners=["team:marketing-data"],
        kinds={"duckdb", "python"},
        tags={"source": "meta", **tags},
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": f"main.{table.name}"},
        deps=deps,
        partitions_def=account_days(),
        skippable=True,
    )


def asset_specs() -> list[dg.AssetSpec]:
    """Every table that a sync writes."""
    specs = [_spec(fact_table(report), {"level": report.level.value}, []) for report in builtin_reports()]
    return [*specs, _spec(actions_table(), {"level": "all"}, [])]


def check_specs() -> list[dg.AssetCheckSpec]:
    """The checks that every table has after each sync."""
    return [
        dg.AssetCheckSpec(name, asset=spec.key, description=description)
        for spec in asset_specs()
        for name, description in CHECKS.items()
    ]


def selected_reports(names: set[str]) -> tuple[Report, ...]:
    """The reports that a selection of tables needs; the actions alone need all."""
    reports = tuple(report for report in builtin_reports() if report.name in names)
    return reports or builtin_reports()


def range_of_keys(keys: list[str]) -> DayRange:
    """The days of a run's partitions."""
    days = sorted(date.fromisoformat(key) for key in keys)
    return DayRange(days[0], days[-1])


@dg.multi_asset(
    name="insights",
    specs=asset_specs(),
    check_specs=check_specs(),
    can_subset=True,
    partitions_def=account_days(),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def insights(
    context: dg.AssetExecutionContext, config: SyncConfig, insights_sync: InsightsSync
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Collect the selected levels for the run's days and merge them into the warehouse."""
    names = {key.to_user_string() for key in context.selected_asset_keys}
    # Dagster takes any range: keys of days to come are not partitions, so leave them out.
    valid = set(account_days().get_partition_keys())
    keys = [key for key in context.partition_keys if key in valid]
    if not keys:
        raise dg.Failure(f"None of the days {context.partition_keys[0]} and after has begun yet.", allow_retries=False)
    request = SyncRequest(context.run.run_id, range_of_keys(keys), selected_reports(names), tuple(config.accounts))
    outcome = _run(insights_sync, request)
    incomplete = {gap.report for gap in outcome.receipt.missing}
    for name in sorted(names):
        if name in incomplete or (name == ACTIONS_TABLE and incomplete):
            continue
        for key in keys:
            metadata = day_metadata(outcome.tables[name], date.fromisoformat(key), newest=key == keys[-1])
            context.add_asset_metadata(metadata, asset_key=name, partition_key=key)
        yield dg.MaterializeResult(asset_key=name, metadata=table_metadata(outcome, name))
    for check in sorted(context.selected_asset_check_keys):
        name = check.asset_key.to_user_string()
        if name in names:
            yield check_result(name, check.name, outcome.tables[name].checks[check.name])
    if incomplete:
        raise dg.Failure(
            missing_text(outcome.receipt),
            metadata={"receipt": dg.MetadataValue.path(str(outcome.receipt_file))},
            allow_retries=False,
        )


def _run(insights_sync: InsightsSync, request: SyncRequest) -> SyncOutcome:
    """Run the sync; what a person can mend becomes one sentence instead of a stack trace."""
    try:
        return insights_sync.run(request)
    except (SettingsError, NoAccountError, NothingToCollectError, WarehouseError, GraphApiError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
