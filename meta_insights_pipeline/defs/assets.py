"""The insights assets: one a level, and the actions of all; a run collects any subset of them over any range of days.

One multi-asset, since all levels of a run share a process, a session with Meta and one transaction of the warehouse.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import Field

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.collector.days import DayRange, refresh_range
from meta_insights_pipeline.defs.marts import mart_events
from meta_insights_pipeline.defs.metadata import (
    check_result,
    column_schema,
    day_metadata,
    entity_metadata,
    missing_result,
    table_metadata,
    version_result,
)
from meta_insights_pipeline.defs.partitions import account_days
from meta_insights_pipeline.defs.resources import InsightsSync
from meta_insights_pipeline.defs.trust_checks import trust_checks, trust_result
from meta_insights_pipeline.gaps import FAILED
from meta_insights_pipeline.sync import COMES_TO_NOTHING, SyncOutcome, SyncRequest
from meta_insights_pipeline.warehouse.entity_checks import CHECKS as ENTITY_CHECKS
from meta_insights_pipeline.warehouse.freshness import STALE_AFTER
from meta_insights_pipeline.warehouse.inspection import CHECKS, LEVEL_CHECKS
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, Table, actions_table, entity_table, fact_table

GROUP = "meta_insights"
ENTITY_TABLES = frozenset(kind.value for kind in EntityKind)
COMPLETE_CHECK = "nothing_is_missing"
VERSION_CHECK = "answered_by_the_version_asked_for"
INSIGHTS_CHECKS = {
    **CHECKS,
    VERSION_CHECK: "Meta answered with the version of the API that was asked for, and announced no end of it.",
    COMPLETE_CHECK: "Every account has everything that was asked for of these days; what it lacks is collected later.",
}


# The checks are made by syncs; this tells when there are none. It goes by the last sync that left no gap, whichever its days.
_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=STALE_AFTER, fail_window=4 * STALE_AFTER)


class SyncConfig(dg.Config):
    """What may be set for a run in the launchpad."""

    accounts: list[str] = Field([], description="Only these ad accounts (ids without act_); empty: all.")
    only_missing: bool = Field(False, description="Only what earlier syncs could not get of the days.")
    entities_every_minutes: int = Field(
        55,
        ge=0,
        description="Campaigns, ad sets and ads of an account are refreshed when the last time is so long ago.",
    )


def _spec(
    table: Table,
    tags: dict[str, str],
    *,
    deps: Iterable[str] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    freshness: dg.FreshnessPolicy | None = None,
) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=f"{table.description}\n\nKey: `{', '.join(table.key)}`.",
        group_name=GROUP,
        owners=["team:marketing-data"],
        kinds={"duckdb", "python"},
        tags={"source": "meta", **tags},
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": f"main.{table.name}"},
        deps=list(deps),
        partitions_def=partitions,
        freshness_policy=freshness,
        skippable=True,
    )


def insights_specs() -> list[dg.AssetSpec]:
    """Every table that holds insights; partitioned by the day of the account."""
    names = [(fact_table(report), report.level.value) for report in builtin_reports()]
    return [
        _spec(table, {"level": level}, partitions=account_days(), freshness=_FRESHNESS)
        for table, level in [*names, (actions_table(), "all")]
    ]


def entity_specs() -> list[dg.AssetSpec]:
    """Every table of current attributes; whole at any time, and so without partitions."""
    return [_spec(entity_table(kind), {"entity": kind.value}) for kind in EntityKind]


def insights_checks_of(table: str) -> dict[str, str]:
    """The checks of a table of insights that look at the run's rows, with their descriptions."""
    return {**INSIGHTS_CHECKS, **({} if table == ACTIONS_TABLE else LEVEL_CHECKS)}


def check_specs() -> list[dg.AssetCheckSpec]:
    """The checks that every table has after each sync."""
    insights_checks = [
        (spec, {**insights_checks_of(name), **trust_checks(name)})
        for spec in insights_specs()
        for name in (spec.key.to_user_string(),)
    ]
    return [
        dg.AssetCheckSpec(name, asset=spec.key, description=description)
        for spec, checks in [*insights_checks, *((spec, ENTITY_CHECKS) for spec in entity_specs())]
        for name, description in checks.items()
    ]


def selected_reports(names: Collection[str]) -> tuple[Report, ...]:
    """The reports that a selection of tables needs; the actions alone need all."""
    reports = tuple(report for report in builtin_reports() if report.name in names)
    return builtin_reports() if not reports and ACTIONS_TABLE in names else reports


def range_of_keys(keys: Sequence[str]) -> DayRange:
    """The days of a run's partitions."""
    days = sorted(date.fromisoformat(key) for key in keys)
    return DayRange(days[0], days[-1])


@dg.multi_asset(
    name="insights",
    specs=[*insights_specs(), *entity_specs()],
    check_specs=check_specs(),
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def insights(
    context: dg.AssetExecutionContext, config: SyncConfig, insights_sync: InsightsSync
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Collect the selected levels for the run's days, and the accounts' entities, and merge them into the warehouse."""
    names = {key.to_user_string() for key in context.selected_asset_keys}
    reports = selected_reports(names)
    keys = _partition_keys(context) if reports else []
    request = SyncRequest(
        context.run.run_id,
        range_of_keys(keys) if keys else refresh_range(datetime.now(UTC)),
        reports,
        tuple(config.accounts),
        only_missing=config.only_missing,
        entities_every=timedelta(minutes=config.entities_every_minutes) if names & ENTITY_TABLES else None,
    )
    outcome = _run(insights_sync, request)
    for name in sorted(names & outcome.entity_rows.keys()):
        yield dg.MaterializeResult(asset_key=name, metadata=entity_metadata(outcome, name))
    for name in sorted(names - ENTITY_TABLES):
        if _is_whole(outcome, name, keys) and not config.only_missing:
            for key in keys:
                metadata = day_metadata(outcome.tables[name], date.fromisoformat(key), newest=key == keys[-1])
                context.add_asset_metadata(metadata, asset_key=name, partition_key=key)
            yield dg.MaterializeResult(asset_key=name, metadata=table_metadata(outcome, name))
        else:
            _log_whole_days(context, outcome, name, keys)
    if outcome.receipt.published:
        for event in mart_events(names, outcome.receipt.snapshot):
            context.log_event(event)
    wanted = [check for check in context.selected_asset_check_keys if check.asset_key.to_user_string() in names]
    yield from _checks(outcome, wanted)
    if outcome.receipt.state == FAILED:
        raise dg.Failure(
            outcome.receipt.missing_text(),
            metadata={"receipt": dg.MetadataValue.path(str(outcome.receipt_file))},
            allow_retries=False,
        )


def _log_whole_days(context: dg.AssetExecutionContext, outcome: SyncOutcome, table: str, keys: Sequence[str]) -> None:
    """Mark the days that are whole; a result of the whole table would mark every day of the run."""
    for day in sorted(_whole_days(outcome, table, keys)):
        metadata = {**table_metadata(outcome, table), **day_metadata(outcome.tables[table], day, newest=False)}
        context.log_event(dg.AssetMaterialization(table, metadata=metadata, partition=day.isoformat()))


def _partition_keys(context: dg.AssetExecutionContext) -> list[str]:
    # Dagster takes any range: keys of days to come are not partitions, so leave them out.
    valid = set(account_days().get_partition_keys())
    keys = [key for key in context.partition_keys if key in valid]
    if not keys:
        raise dg.Failure(f"None of the days {context.partition_keys[0]} and after has begun yet.", allow_retries=False)
    return keys


def _reports_behind(outcome: SyncOutcome, table: str) -> tuple[str, ...]:
    """The reports from which a table is filled; the actions come with all of them."""
    if table == ACTIONS_TABLE:
        return tuple(f"{level}_insights" for level in outcome.receipt.levels)
    return (table,)


def _is_whole(outcome: SyncOutcome, table: str, keys: Sequence[str]) -> bool:
    return len(_whole_days(outcome, table, keys)) == len(keys)


def _whole_days(outcome: SyncOutcome, table: str, keys: Sequence[str]) -> set[date]:
    """The days of the run of which no account lacks anything, and which this run has collected."""
    days = {date.fromisoformat(key) for key in keys}
    for report in _reports_behind(outcome, table):
        days &= outcome.whole_days(report)
    return days


def _checks(outcome: SyncOutcome, wanted: Iterable[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
    """What the sync found; nothing for a check of which it says nothing."""
    for check in sorted(wanted):
        table = check.asset_key.to_user_string()
        if table not in ENTITY_TABLES or table in outcome.entity_checks:
            result = _check(outcome, table, check.name)
            if result is not None:
                yield result


def _check(outcome: SyncOutcome, table: str, name: str) -> dg.AssetCheckResult | None:
    if table in ENTITY_TABLES:
        return check_result(table, name, outcome.entity_checks[table][name])
    if name in trust_checks(table):
        return trust_result(outcome, table, name)
    if name == VERSION_CHECK:
        return version_result(table, name, outcome.receipt.version_warnings)
    if name == COMPLETE_CHECK:
        return missing_result(
            table, [part for part in outcome.missing if part.report in _reports_behind(outcome, table)]
        )
    return check_result(table, name, outcome.tables[table].checks[name])


def _run(insights_sync: InsightsSync, request: SyncRequest) -> SyncOutcome:
    """Run the sync; what a person can mend becomes one sentence instead of a stack trace."""
    try:
        return insights_sync.run(request)
    except COMES_TO_NOTHING as error:
        raise dg.Failure(str(error), allow_retries=False) from None
