"""The marts in Dagster: views, so nobody runs them; they are as fresh as the tables below them.

They are assets without a function of their own: a sync that has renewed the tables tells of the reports above them.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.defs.metadata import column_schema
from meta_insights_pipeline.warehouse.mart_columns import facts_of
from meta_insights_pipeline.warehouse.marts import Mart, reports
from meta_insights_pipeline.warehouse.schema import tables

MARTS_GROUP = "marts"
# What the reports are made of, as far as it is an asset; the pipeline's own books are not.
_ASSETS = frozenset({table.name for table in tables()} | {kind.value for kind in EntityKind})


def column_lineage(mart: Mart) -> dg.TableColumnLineage:
    """From which columns of other assets each column is made."""
    return dg.TableColumnLineage(
        {
            column.name: [
                dg.TableColumnDep(asset_key=table, column_name=name)
                for table, _, name in (source.rpartition(".") for source in column.sources)
                if table in _ASSETS
            ]
            for column in mart.columns
        }
    )


def mart_specs() -> list[dg.AssetSpec]:
    """The reports as assets that a sync of others keeps fresh."""
    return [
        dg.AssetSpec(
            mart.name,
            description=f"{mart.description}\n\nKey: `{', '.join(mart.key)}`.",
            group_name=MARTS_GROUP,
            owners=["team:marketing-data"],
            kinds={"duckdb", "sql"},
            tags={"source": "meta"},
            metadata={
                "dagster/column_schema": column_schema(mart.table),
                "dagster/column_lineage": column_lineage(mart),
                "dagster/table_name": f"main.{mart.name}",
            },
            deps=sorted({dep.asset_key for deps in column_lineage(mart).deps_by_column.values() for dep in deps}),
        )
        for mart in reports()
    ]


def mart_events(renewed: Collection[str], snapshot: str) -> Iterator[dg.AssetMaterialization]:
    """What a sync tells of the reports above the tables of insights that it has renewed.

    Args:
        renewed: Names of tables.
        snapshot: The published file in which readers find the reports.
    """
    for level, mart in zip(Level, reports(), strict=True):
        if facts_of(level) in renewed:
            yield dg.AssetMaterialization(
                mart.name,
                description=f"A view, as fresh as {facts_of(level)}.",
                metadata={"published file": dg.MetadataValue.path(snapshot)},
            )


@dg.definitions
def marts() -> dg.Definitions:
    """The reports beside the tables."""
    return dg.Definitions(assets=mart_specs())
