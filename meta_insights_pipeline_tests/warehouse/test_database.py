"""The warehouse file: who may have it, and what is said when it cannot be had."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.warehouse import database
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION
from meta_insights_pipeline_tests.warehouse.building import Desk, row


def test_a_second_process_waits_until_the_first_has_closed_the_file(desk: Desk) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from meta_insights_pipeline.warehouse.database import Warehouse\n"
        "folder = Path(sys.argv[1])\n"
        "with Warehouse(folder / 'warehouse.duckdb', folder / 'tmp').connect():\n"
        "    print('have it', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(desk.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "have it\n"
    release = threading.Timer(0.5, lambda: (holder.stdin.write("go\n"), holder.stdin.flush()))  # type: ignore[union-attr]
    release.start()
    began = time.monotonic()
    assert desk.ask("SELECT 1") == [(1,)]
    assert time.monotonic() - began >= 0.4
    release.join()
    holder.communicate()


def test_a_file_held_by_a_foreign_program_is_named_with_the_remedy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sync([row()])
    monkeypatch.setattr(database, "_FOREIGN_LOCK_SECONDS", 0.3)
    code = "import duckdb, sys\nconnection = duckdb.connect(sys.argv[1])\nprint('have it', flush=True)\nsys.stdin.readline()\n"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(desk.warehouse.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "have it\n"
    with pytest.raises(WarehouseError, match=rf"PID {holder.pid}.*meta_insights\.duckdb"):
        desk.ask("SELECT 1")
    holder.communicate("go\n")
    assert desk.ask("SELECT count(*) FROM campaign_insights") == [(1,)]


def test_the_connection_is_closed_when_its_user_fails(desk: Desk) -> None:
    with pytest.raises(RuntimeError), desk.warehouse.connect():
        raise RuntimeError
    with duckdb.connect(str(desk.warehouse.path)) as connection:
        assert connection.execute("SELECT version FROM pipeline.schema_version").fetchall() == [(SCHEMA_VERSION,)]


def test_a_warehouse_of_a_newer_schema_version_is_refused_and_left_as_it_is(desk: Desk) -> None:
    desk.sync([row()])
    newer = SCHEMA_VERSION + 1
    with desk.warehouse.connect() as connection:
        connection.execute(f"UPDATE pipeline.schema_version SET version = {newer}")
    before = desk.warehouse.path.read_bytes()
    with pytest.raises(WarehouseError, match=f"schema version {newer}, this program has {SCHEMA_VERSION}"):
        desk.ask("SELECT 1")
    assert desk.warehouse.path.read_bytes() == before
    assert list(desk.folder.glob("*.bak")) == []


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("dear diary, " * 500)
    warehouse = Warehouse(file, tmp_path / "tmp")
    with pytest.raises(WarehouseError, match="META_INSIGHTS_WAREHOUSE"), warehouse.connect():
        pass
    assert file.read_text() == "dear diary, " * 500


def test_a_place_that_cannot_be_written_is_said_before_anything_is_made(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    warehouse = Warehouse(blocker / "below" / "warehouse.duckdb", tmp_path / "tmp")
    with pytest.raises(WarehouseError, match=r"cannot be written.*META_INSIGHTS_WAREHOUSE"):
        warehouse.check_writable()
    assert list(tmp_path.iterdir()) == [blocker]


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").mkdir()
    with pytest.raises(WarehouseError, match="is not a file"):
        Warehouse(tmp_path / "warehouse.duckdb", tmp_path / "tmp").check_writable()
