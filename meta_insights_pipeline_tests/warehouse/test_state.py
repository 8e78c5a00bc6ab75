"""What a warehouse file says of itself."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION
from meta_insights_pipeline.warehouse.state import WarehouseInUseError, WarehouseState, read_only, read_state

AT = datetime(2026, 11, 20, 12, 0)  # noqa: DTZ001 - stored in UTC without a zone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A warehouse without rows."""
    with Warehouse(tmp_path / "warehouse.duckdb", tmp_path / "tmp").connect():
        pass
    return tmp_path / "warehouse.duckdb"


def execute(path: Path, statement: str, *values: object) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement, values)


def test_a_new_warehouse_has_a_version_and_nothing_else(path: Path) -> None:
    assert read_state(path) == WarehouseState(SCHEMA_VERSION)


def test_the_state_tells_where_rows_come_from_and_when_they_were_collected(path: Path) -> None:
    execute(path, "INSERT INTO pipeline.source (mode) VALUES ('stub')")
    columns = "report, account_id, date_start, collected_at, run_id, row_count"
    for day, at in ((1, AT), (2, AT.replace(hour=9))):
        execute(
            path,
            f"INSERT INTO pipeline.coverage ({columns}) VALUES ('ad_insights', '1', ?, ?, 'run', 5)",
            date(2026, 11, day),
            at,
        )
    state = read_state(path)
    assert state.mode == "stub"
    assert state.collected_at == AT.replace(tzinfo=UTC)
    assert state.missing_days == 0


def test_the_largest_missing_part_is_shown(path: Path) -> None:
    columns = "report, account_id, date_start, noticed_at, run_id, reason, kind"
    for report, day in (("ad_insights", 3), ("ad_insights", 4), ("campaign_insights", 4)):
        execute(
            path,
            f"INSERT INTO pipeline.missing ({columns}) VALUES (?, '7', ?, ?, 'run', 'Meta said no.', 'failed')",
            report,
            date(2026, 11, day),
            AT,
        )
    execute(path, "UPDATE pipeline.missing SET kind = 'deferred' WHERE report = 'campaign_insights'")
    state = read_state(path)
    assert state.missing_days == 3
    assert state.deferred_days == 1
    assert state.missing_example == "ad_insights of act_7, 2026-11-03 to 2026-11-04: Meta said no."


def test_a_duckdb_file_of_something_else_has_no_version_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    execute(path, "CREATE TABLE mine (x INTEGER)")
    before = path.read_bytes()
    assert read_state(path) == WarehouseState(None)
    assert path.read_bytes() == before


def test_a_file_that_is_no_duckdb_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(WarehouseError, match=r"cannot be read .* META_INSIGHTS_WAREHOUSE"):
        read_state(path)


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_of_another_schema_version_nothing_but_that_is_told(path: Path, version: int) -> None:
    execute(path, "UPDATE pipeline.schema_version SET version = ?", version)
    execute(path, "INSERT INTO pipeline.source (mode) VALUES ('stub')")
    assert read_state(path) == WarehouseState(version)


def test_tables_of_another_form_are_told_and_not_a_bug(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    execute(path, "CREATE SCHEMA pipeline; CREATE TABLE pipeline.schema_version (version INTEGER)")
    execute(path, "INSERT INTO pipeline.schema_version VALUES (?)", SCHEMA_VERSION)
    with pytest.raises(WarehouseError, match="cannot be read"):
        read_state(path)


def test_a_file_that_another_process_writes_is_in_use(path: Path) -> None:
    hold = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(WarehouseInUseError, match="Another process has the warehouse"):
            read_state(path)
        process.communicate("")
    assert read_state(path).schema_version == SCHEMA_VERSION


def test_nothing_can_be_written_through_a_reading_connection(path: Path) -> None:
    with pytest.raises(WarehouseError, match="read-only"), read_only(path) as connection:
        connection.execute("DELETE FROM warehouse.pipeline.source")
