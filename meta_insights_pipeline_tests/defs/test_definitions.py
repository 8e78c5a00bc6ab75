"""What the code location offers: names that users and scripts hold on to, and what a person reads in the UI."""

import tomllib
from datetime import timedelta
from pathlib import Path

import dagster as dg
import yaml
from dagster_duckdb import DuckDBResource

from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.assets import insights_checks_of
from meta_insights_pipeline.defs.trust_checks import trust_checks
from meta_insights_pipeline.warehouse.entity_checks import CHECKS as ENTITY_CHECKS

INSIGHTS = {"account_insights", "campaign_insights", "adset_insights", "ad_insights", "insight_actions"}
ENTITIES = {"ad_accounts", "campaigns", "adsets", "ads", "creatives"}
MARTS = {"account_report", "campaign_report", "adset_report", "ad_report"}
ROOT = Path(__file__).parents[2]


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}


def test_everything_loads_with_nothing_set() -> None:
    dg.Definitions.validate_loadable(defs())


def test_the_graph_of_assets_jobs_and_schedules_has_the_promised_names() -> None:
    loaded = defs()
    assert set(specs()) == INSIGHTS | ENTITIES | MARTS
    assert loaded.resolve_job_def("sync_insights").name == "sync_insights"
    schedule = loaded.resolve_schedule_def("sync_every_30_minutes")
    assert schedule.cron_schedule == "*/30 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_every_asset_says_what_it_is() -> None:
    for name, spec in specs().items():
        assert spec.description
        assert spec.group_name == ("marts" if name in MARTS else "meta_insights")
        assert spec.owners
        assert spec.kinds == {"duckdb", "sql" if name in MARTS else "python"}
        assert spec.tags["source"] == "meta"
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns), name
        columns = {column.name for column in schema.columns}
        assert "account_id" in columns
        assert ("date_start" in columns) == (name in INSIGHTS | MARTS)


def test_insights_are_partitioned_by_day_and_entities_are_not() -> None:
    for name, spec in specs().items():
        assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition) == (name in INSIGHTS), name


def test_insights_are_marked_when_no_sync_has_come_for_hours() -> None:
    for name, spec in specs().items():
        policy = spec.freshness_policy
        if name in INSIGHTS:
            assert policy == dg.FreshnessPolicy.time_window(
                warn_window=timedelta(hours=3), fail_window=timedelta(hours=12)
            )
        else:
            assert policy is None, name


def test_every_asset_has_every_check() -> None:
    checks = {
        (spec.asset_key.to_user_string(), spec.name)
        for checks_definition in defs().resolve_asset_graph().assets_defs
        for spec in checks_definition.check_specs
    }
    expected = {(asset, check) for asset in INSIGHTS for check in (*insights_checks_of(asset), *trust_checks(asset))}
    assert checks == expected | {(asset, check) for asset in ENTITIES for check in ENTITY_CHECKS}


def test_all_entry_points_name_the_same_code_location() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text("utf-8"))["load_from"][0]["python_module"]
    name, module = "meta_insights_pipeline", "meta_insights_pipeline.definitions"
    assert (workspace["location_name"], workspace["module_name"]) == (name, module)
    assert (project["dagster"]["code_location_name"], project["dagster"]["module_name"]) == (name, module)
    assert project["dg"]["project"]["code_location_name"] == name
    assert project["dg"]["project"]["code_location_target_module"] == module


def test_assets_of_the_user_find_the_snapshot_as_a_duckdb_resource(home: Path) -> None:
    resource = (defs().resources or {})["insights_snapshot"]
    assert isinstance(resource, DuckDBResource)
    assert resource.database == str(home / "meta_insights.duckdb")
