"""What all tests share: their order, and an empty warehouse."""

from pathlib import Path

import pytest

from meta_insights_pipeline.warehouse.database import Warehouse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, so that no worker is left with a long one when all others have ended; else the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse file with all tables and no row, to be copied: making the tables takes as long as a small sync."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        return warehouse.path
