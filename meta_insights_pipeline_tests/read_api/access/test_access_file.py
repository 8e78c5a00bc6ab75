"""The file of the keys: nothing of it is lost, nobody else reads it, and whatever is wrong with it is one sentence."""

import logging
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meta_insights_pipeline.read_api.access.access_file import VERSION, AccessFile
from meta_insights_pipeline.read_api.access.errors import AccessFileError

INSERT = "INSERT INTO keys (id, name, role, hash, created_at, created_by) VALUES (?, 'n', 'viewer', x'00', 't', 'b')"
IDS = "SELECT id FROM keys ORDER BY id"


def add(file: AccessFile, key_id: str) -> None:
    with file.transaction() as connection:
        connection.execute(INSERT, (key_id,))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a" / "home" / "access.sqlite"
    add(AccessFile(path), "a")
    assert mode(path) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == ["access.sqlite", "access.sqlite.lock"]


def test_a_file_that_others_could_read_is_closed_to_them_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    AccessFile(path)
    path.chmod(0o644)
    AccessFile(path)
    assert mode(path) == 0o600
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_is_written_beside_it_during_a_transaction_is_for_its_owner_too(path: Path) -> None:
    file = AccessFile(path)
    with file.transaction() as connection:
        connection.execute(INSERT, ("a",))
        connection.execute("PRAGMA cache_spill = 1")
        connection.executemany(INSERT, [(f"k{number}",) for number in range(20_000)])
        companions = [one for one in path.parent.iterdir() if one.name.startswith("access.sqlite-")]
        assert companions
        assert {mode(one) for one in companions} == {0o600}


def test_what_was_written_is_kept_and_an_exception_undoes_it(path: Path) -> None:
    add(AccessFile(path), "a")
    file = AccessFile(path)
    with pytest.raises(KeyboardInterrupt), file.transaction() as connection:
        connection.execute(INSERT, ("b",))
        raise KeyboardInterrupt
    assert file.read(IDS) == [("a",)]


def test_a_reader_does_not_wait_for_a_writer_and_a_second_writer_gives_up(path: Path) -> None:
    writer, other = AccessFile(path), AccessFile(path)
    with writer.transaction() as connection:
        connection.execute(INSERT, ("a",))
        assert other.read(IDS) == []
        with pytest.raises(AccessFileError, match="being written by another process"), other.transaction(patience=0):
            pass
    assert other.read(IDS) == [("a",)]


def test_many_may_make_the_file_at_once_and_all_find_the_same(path: Path) -> None:
    barrier = threading.Barrier(8)

    def make(number: int) -> None:
        barrier.wait()
        add(AccessFile(path), str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    assert AccessFile(path).read(IDS) == [(str(number),) for number in range(8)]


def test_a_file_that_was_exchanged_or_removed_counts_at_once(path: Path) -> None:
    file = AccessFile(path)
    add(file, "old")
    other = AccessFile(path.with_name("restored.sqlite"))
    add(other, "restored")
    other.path.rename(path)
    assert file.read(IDS) == [("restored",)]
    path.unlink()
    with pytest.raises(AccessFileError, match="cannot be opened"):
        file.read(IDS)
    assert not path.exists(), "a file that is gone is not made again behind anybody's back"


def test_the_audit_log_cannot_be_changed_or_shortened(file: AccessFile) -> None:
    with file.transaction() as connection:
        connection.execute(
            "INSERT INTO audit (at, principal, action, details, outcome) VALUES ('t', 'p', 'a', '', 'o')"
        )
    for statement in ("UPDATE audit SET principal = 'q'", "DELETE FROM audit"):
        with pytest.raises(AccessFileError, match="append-only"), file.transaction() as connection:
            connection.execute(statement)
    assert file.read("SELECT principal FROM audit") == [("p",)]


# ---- files that cannot be used ----


def _no_database(path: Path) -> None:
    path.write_bytes(b"This is a letter and not a database. " * 200)


def _emptied(path: Path) -> None:
    path.touch()


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE keys (id TEXT)")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.close()


def _newer(path: Path) -> None:
    AccessFile(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def _filled(path: Path) -> bytearray:
    file = AccessFile(path)
    with file.transaction() as connection:
        connection.executemany(INSERT, [(f"key {number}",) for number in range(2000)])
    return bytearray(path.read_bytes())


def _damaged(path: Path) -> None:
    content = _filled(path)
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    path.write_bytes(content)


def _cut_off(path: Path) -> None:
    path.write_bytes(_filled(path)[:30_000])


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (_no_database, "is damaged"),
        (_emptied, "or it was emptied"),
        (_foreign, "is not the file of the API's keys"),
        (_newer, f"is of version {VERSION + 1}"),
        (_damaged, "is damaged"),
        (_cut_off, "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence_and_stays_as_it_is(
    spoil: Callable[[Path], None], cause: str, path: Path
) -> None:
    spoil(path)
    path.chmod(0o600)
    content, names = path.read_bytes(), sorted(path.parent.iterdir())
    for _ in range(2):
        with pytest.raises(AccessFileError, match=cause) as caught:
            AccessFile(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    assert path.read_bytes() == content
    assert sorted(path.parent.iterdir()) == names


def test_a_place_where_no_file_can_be_is_told_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("no folder")
    with pytest.raises(AccessFileError, match="META_INSIGHTS_HOME"):
        AccessFile(tmp_path / "letter" / "access.sqlite")


def test_a_folder_in_its_place_is_told(path: Path) -> None:
    path.mkdir(0o700)
    with pytest.raises(AccessFileError, match="cannot be opened"):
        AccessFile(path)
    assert path.is_dir()


def test_half_a_file_of_a_process_that_died_is_begun_anew(path: Path) -> None:
    path.with_name("access.sqlite.draft").write_bytes(b"half")
    assert AccessFile(path).read(IDS) == []
    assert not path.with_name("access.sqlite.draft").exists()
