"""The reports in Dagster: what they are made of, column by column, and how they show that they are fresh."""

import dagster as dg

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.marts import mart_events, mart_specs
from meta_insights_pipeline.warehouse.marts import reports

NAMES = ["account_report", "campaign_report", "adset_report", "ad_report"]


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in mart_specs()}


def lineage(name: str) -> dict[str, set[tuple[str, str]]]:
    """The columns from which each column of a report is made."""
    found = specs()[name].metadata["dagster/column_lineage"]
    assert isinstance(found, dg.TableColumnLineage)
    return {
        column: {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}
        for column, deps in found.deps_by_column.items()
    }


def test_the_code_location_has_the_four_reports_in_a_group_of_their_own_and_no_job_runs_them() -> None:
    loaded = defs()
    graph = loaded.resolve_asset_graph()
    for name in NAMES:
        node = graph.get(dg.AssetKey(name))
        assert node.group_name == "marts"
        assert not node.is_executable
    selected = set(loaded.resolve_job_def("sync_insights").asset_layer.executable_asset_keys)
    assert not selected & {dg.AssetKey(name) for name in NAMES}


def test_a_report_depends_on_the_insights_the_actions_and_the_entities_of_its_level() -> None:
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs().items()}
    assert upstream == {
        "account_report": {"account_insights", "insight_actions", "ad_accounts"},
        "campaign_report": {"campaign_insights", "insight_actions", "ad_accounts", "campaigns"},
        "adset_report": {"adset_insights", "insight_actions", "ad_accounts", "campaigns", "adsets"},
        "ad_report": {"ad_insights", "insight_actions", "ad_accounts", "campaigns", "adsets", "ads"},
    }


def test_every_column_is_described_and_has_a_lineage_to_columns_that_the_upstream_assets_have() -> None:
    repository = {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}
    for mart in reports():
        schema = repository[mart.name].metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns)
        found = lineage(mart.name)
        assert list(found) == [column.name for column in schema.columns]
        for column, deps in found.items():
            # When the day was collected is in the pipeline's books, which are no asset.
            assert deps or column == "collected_at", f"{mart.name}.{column}"
            for table, name in deps:
                upstream = repository[table].metadata["dagster/column_schema"]
                assert name in {each.name for each in upstream.columns}, f"{mart.name}.{column}: {table}.{name}"


def test_the_lineage_of_a_name_a_sum_and_a_ratio() -> None:
    found = lineage("campaign_report")
    assert found["campaign_name"] == {("campaigns", "name"), ("campaign_insights", "campaign_name")}
    assert found["spend"] == {("campaign_insights", "spend")}
    assert found["ctr"] == {("campaign_insights", "clicks"), ("campaign_insights", "impressions")}
    assert {("insight_actions", "value"), ("campaign_insights", "spend")} <= found["roas"]


def test_a_sync_tells_of_the_reports_of_the_levels_that_it_renewed() -> None:
    events = list(mart_events({"campaign_insights", "insight_actions", "ad_insights"}, "/data/meta_insights.duckdb"))
    assert [event.asset_key.to_user_string() for event in events] == ["campaign_report", "ad_report"]
    assert all("published file" in event.metadata for event in events)
    assert len(list(mart_events({f"{level}_insights" for level in Level}, "x"))) == 4
