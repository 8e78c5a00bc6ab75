"""The file that processes share: transactions, damaged files, and several who open it at once."""

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meta_insights_pipeline.state import VERSION, State

DDL = ("CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",)
ADD = "INSERT INTO numbers VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
ALL = "SELECT name, value FROM numbers ORDER BY name"

COUNT = f"""
import sys
from pathlib import Path
from meta_insights_pipeline.state import State
with State(Path(sys.argv[1])) as state:
    state.ensure({DDL!r})
    for _ in range(200):
        with state.transaction() as connection:
            (before,) = connection.execute("SELECT coalesce(max(value), 0) FROM numbers").fetchone()
            connection.execute("INSERT OR REPLACE INTO numbers VALUES ('all', ?)", (before + 1,))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture(params=["file", "memory"])
def state(request: pytest.FixtureRequest, file: Path) -> Iterator[State]:
    with State(file) if request.param == "file" else State.in_memory() as state:
        state.ensure(DDL)
        yield state


def test_what_was_written_can_be_read(state: State) -> None:
    with state.transaction() as connection:
        connection.execute(ADD, ("a",))
        connection.execute(ADD, ("a",))
        connection.execute(ADD, ("b",))
    assert state.read(ALL) == [("a", 2), ("b", 1)]
    assert state.read("SELECT value FROM numbers WHERE name = ?", ("a",)) == [(2,)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_undoes_the_transaction(state: State, error: type[BaseException]) -> None:
    with pytest.raises(error), state.transaction() as connection:
        connection.execute(ADD, ("a",))
        raise error
    assert state.read(ALL) == []
    with state.transaction() as connection:
        connection.execute(ADD, ("b",))
    assert state.read(ALL) == [("b", 1)]


def test_a_transaction_inside_a_transaction_is_an_error_and_no_standstill(state: State) -> None:
    with (
        pytest.raises(sqlite3.OperationalError, match="within a transaction"),
        state.transaction(),
        state.transaction(),
    ):
        pass
    assert state.read(ALL) == []


def test_a_reader_inside_a_transaction_sees_what_it_wrote(state: State) -> None:
    with state.transaction() as connection:
        connection.execute(ADD, ("a",))
        assert state.read(ALL) == [("a", 1)]


def test_tables_can_be_ensured_again_and_keep_what_they_hold(state: State) -> None:
    with state.transaction() as connection:
        connection.execute(ADD, ("a",))
    state.ensure(DDL)
    state.ensure(())
    assert state.read(ALL) == [("a", 1)]


def test_threads_take_turns(state: State) -> None:
    def add(_: int) -> None:
        with state.transaction() as connection:
            (before,) = connection.execute("SELECT coalesce(max(value), 0) FROM numbers").fetchone()
            connection.execute("INSERT OR REPLACE INTO numbers VALUES ('all', ?)", (before + 1,))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(400)))
    assert state.read(ALL) == [("all", 400)]


def test_the_file_keeps_what_it_holds(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with State(file) as state:
            state.ensure(DDL)
            with state.transaction() as connection:
                connection.execute(ADD, ("a",))
    with State(file) as state:
        assert state.read(ALL) == [("a", 3)]
        assert state.read("PRAGMA user_version") == [(VERSION,)]
        assert state.read("PRAGMA journal_mode") == [("wal",)]
    assert caplog.records == []


def test_a_reader_does_not_wait_for_a_writer(file: Path) -> None:
    with State(file) as writer, State(file) as reader:
        writer.ensure(DDL)
        with writer.transaction() as connection:
            connection.execute(ADD, ("a",))
            assert reader.read(ALL) == []
        assert reader.read(ALL) == [("a", 1)]


def test_processes_take_turns_and_may_open_a_new_file_at_once(file: Path) -> None:
    command = [sys.executable, "-c", COUNT, str(file)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, told = process.communicate(timeout=60)
        assert (process.returncode, told) == (0, "")
    with State(file) as state:
        assert state.read(ALL) == [("all", 600)]


# ---- files that cannot be used ----


def _no_database(file: Path) -> None:
    file.write_bytes(b"This is a letter and not a database. " * 200)


def _another_version(file: Path) -> None:
    with State(file) as state:
        state.ensure(DDL)
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def _foreign_database(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE letters (name TEXT)")
    connection.commit()
    connection.close()


def _damaged(file: Path) -> None:
    with State(file) as state:
        state.ensure(DDL)
        with state.transaction() as connection:
            connection.executemany(ADD, [(f"name {number}",) for number in range(2000)])
        state.read("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[4096:-4096] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)


def _cut_off(file: Path) -> None:
    with State(file) as state:
        state.ensure(DDL)
        with state.transaction() as connection:
            connection.executemany(ADD, [(f"name {number}",) for number in range(2000)])
    file.write_bytes(file.read_bytes()[:5000])


UNUSABLE = [_no_database, _another_version, _foreign_database, _damaged, _cut_off]


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_file_that_cannot_be_used_is_set_aside_with_one_warning(
    spoil: Callable[[Path], None], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(file)
    content = file.read_bytes()
    for _ in range(2):
        with State(file) as state:
            state.ensure(DDL)
            assert state.read(ALL) == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "state.sqlite.broken-1 and a new one is begun" in record.getMessage()
    assert (file.parent / "state.sqlite.broken-1").read_bytes() == content


def test_files_that_were_set_aside_are_all_kept(file: Path) -> None:
    for number in (1, 2, 3):
        file.write_text(f"{number}. letter, and not a database" * 100)
        State(file).close()
        assert (file.parent / f"state.sqlite.broken-{number}").read_text().startswith(f"{number}. letter")


def test_an_empty_file_is_a_new_one(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.touch()
    with State(file) as state:
        state.ensure(DDL)
    assert caplog.records == []


def test_of_many_who_find_a_damaged_file_one_sets_it_aside(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    _no_database(file)
    barrier = threading.Barrier(8)

    def add(_: int) -> None:
        barrier.wait()
        with State(file) as state:
            state.ensure(DDL)
            with state.transaction() as connection:
                connection.execute(ADD, ("a",))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    with State(file) as state:
        assert state.read(ALL) == [("a", 8)]
    assert len(caplog.records) == 1
    assert [one.name for one in file.parent.glob("*broken*")] == ["state.sqlite.broken-1"]


def test_a_place_where_no_file_can_be_is_told_and_nothing_is_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "state.sqlite"
    folder.mkdir()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        State(folder)
    assert folder.is_dir()
