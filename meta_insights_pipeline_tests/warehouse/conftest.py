"""Fixtures of the warehouse's tests."""

from pathlib import Path

import pytest

from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline_tests.warehouse.building import Desk


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse file without rows."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    return warehouse.path


@pytest.fixture
def desk(tmp_path: Path, empty_warehouse: Path) -> Desk:
    return Desk(tmp_path, empty_warehouse)
