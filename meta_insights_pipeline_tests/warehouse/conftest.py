"""Fixtures of the warehouse's tests."""

from pathlib import Path

import pytest

from meta_insights_pipeline_tests.warehouse.building import Desk


@pytest.fixture
def desk(tmp_path: Path, empty_warehouse: Path) -> Desk:
    return Desk(tmp_path, empty_warehouse)
