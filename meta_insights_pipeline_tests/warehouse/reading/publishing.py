"""Published files for tests of reading: small ones, whose number tells them apart."""

from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.publication import publish


def publish_number(folder: Path, number: int, rows: int = 10) -> Path:
    """Publish a file with a table `numbers` that holds so many rows of a number; give its name, always the same."""
    warehouse, snapshot = folder / "warehouse.duckdb", folder / "meta_insights.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            f"CREATE OR REPLACE TABLE numbers AS SELECT {number} AS number, i FROM range({rows}) AS t(i)"
        )
        connection.execute("CREATE OR REPLACE MACRO below(most) AS TABLE SELECT * FROM numbers WHERE i < most")
    publish(warehouse, snapshot)
    return snapshot
