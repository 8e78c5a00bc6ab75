"""Fixtures of the proofs."""

from pathlib import Path

import pytest

from meta_insights_pipeline.warehouse.database import Warehouse


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without rows; making the tables takes as long as a small sync."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    return warehouse.path
