"""The published file open for reading, while new ones take its name."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.warehouse.reading.deadlines import Budget, Deadlines, QueryTimeoutError
from meta_insights_pipeline.warehouse.reading.snapshots import NoSnapshotError, QueryTooLargeError, Snapshot, Snapshots
from meta_insights_pipeline_tests.processes import wait_for
from meta_insights_pipeline_tests.warehouse.reading.publishing import publish_number

NUMBER = "SELECT max(number) FROM numbers"
# Goes on for hours in little memory: what is late must not be refused for its size before.
ENDLESS = "SELECT count(*) FROM range(1000000) AS a(i), range(1000000) AS b(j) WHERE (a.i * b.j) % 1000003 = 7"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return publish_number(tmp_path, 1)


@pytest.fixture
def snapshots(path: Path) -> Iterator[Snapshots]:
    with Snapshots(path) as snapshots:
        yield snapshots


def test_its_tables_and_macros_are_found_without_a_qualifier_and_values_are_bound(snapshots: Snapshots) -> None:
    with snapshots.lease() as snapshot:
        assert snapshot.rows("SELECT count(*) FROM below(?)", [4]) == [(4,)]
        assert snapshot.rows("SELECT count(*) FROM below($most)", {"most": 3}) == [(3,)]
        columns, rows = snapshot.columns_and_rows("SELECT i, number AS n FROM numbers ORDER BY i LIMIT 2")
        assert (columns, rows) == (["i", "n"], [(0, 1), (1, 1)])


def test_rows_come_in_arrow_batches_as_they_are_read(tmp_path: Path) -> None:
    with Snapshots(publish_number(tmp_path, 1, rows=5000)) as snapshots, snapshots.lease() as snapshot:
        reader = snapshot.arrow("SELECT i FROM numbers WHERE i < ? ORDER BY i", [4999], batch_rows=2048)
        batches = list(reader)
        assert reader.schema.names == ["i"]
        assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(4999))
        assert len(batches) > 1


def test_a_new_publication_is_read_at_once_and_an_open_lease_keeps_the_old_one(
    path: Path, snapshots: Snapshots
) -> None:
    with snapshots.lease() as old:
        publish_number(path.parent, 2)
        with snapshots.lease() as new:
            assert new.rows(NUMBER) == [(2,)]
            assert new.identity != old.identity
            assert new.published_at >= old.published_at
        assert old.rows(NUMBER) == [(1,)]
    with pytest.raises(duckdb.ConnectionException):
        old.rows(NUMBER)


def test_the_same_content_published_again_is_another_publication(path: Path) -> None:
    identities = []
    for _ in range(3):
        with Snapshots(publish_number(path.parent, 1)) as snapshots, snapshots.lease() as snapshot:
            identities.append(snapshot.identity)
    assert len(set(identities)) == 3


def test_every_process_knows_a_publication_by_the_same_identity(path: Path) -> None:
    with Snapshots(path) as one, Snapshots(path) as other, one.lease() as a, other.lease() as b:
        assert a.identity == b.identity


def test_opening_leaves_nothing_beside_the_file_and_clears_what_a_killed_process_left(path: Path) -> None:
    stray = path.with_name(f".{path.name}.reader-999999999-00")
    of_somebody_who_lives = path.with_name(f".{path.name}.reader-{os.getppid()}-00")
    for link in (stray, of_somebody_who_lives):
        link.hardlink_to(path)
    with Snapshots(path) as snapshots:
        snapshots.watch()
        assert [file.name for file in path.parent.glob(".*")] == [of_somebody_who_lives.name]


def test_without_a_publication_there_is_nothing_to_lease_until_there_is(tmp_path: Path) -> None:
    with Snapshots(tmp_path / "meta_insights.duckdb") as snapshots:
        with pytest.raises(NoSnapshotError, match="meta-insights sync"), snapshots.lease():
            pass
        publish_number(tmp_path, 1)
        with snapshots.lease() as snapshot:
            assert snapshot.rows(NUMBER) == [(1,)]


def test_what_is_no_database_is_told_once_and_the_old_one_goes_on(
    path: Path, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots.refresh()
    path.with_name("broken").write_bytes(b"no database" * 1000)
    path.with_name("broken").replace(path)
    for _ in range(3):
        with snapshots.lease() as snapshot:
            assert snapshot.rows(NUMBER) == [(1,)]
    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 1
    publish_number(path.parent, 3)
    with snapshots.lease() as snapshot:
        assert snapshot.rows(NUMBER) == [(3,)]


def test_a_file_that_is_gone_does_not_end_what_is_read(path: Path, snapshots: Snapshots) -> None:
    snapshots.refresh()
    path.unlink()
    with snapshots.lease() as snapshot:
        assert snapshot.rows(NUMBER) == [(1,)]


def test_under_load_every_reader_has_one_whole_publication_and_the_newest_within_a_second(path: Path) -> None:
    seen: list[Snapshot] = []
    errors: list[Exception] = []
    stop = threading.Event()
    with Snapshots(path, on_change=seen.append) as snapshots:
        snapshots.watch()

        def read() -> None:
            try:
                while not stop.is_set():
                    with snapshots.lease() as snapshot:
                        ((low, high),) = snapshot.rows("SELECT min(number), max(number) FROM numbers")
                        assert low == high
            except Exception as error:  # noqa: BLE001 - told by the assertion below
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 12):
            publish_number(path.parent, number)
            began = time.monotonic()

            def is_read(number: int = number) -> bool:
                with snapshots.lease() as snapshot:
                    return snapshot.rows(NUMBER) == [(number,)]

            wait_for(is_read, 5, f"publication {number}")
            assert time.monotonic() - began < 1
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(seen) == 11
    for old in seen:
        with pytest.raises(duckdb.ConnectionException):
            old.rows(NUMBER)


def test_a_query_that_takes_too_long_is_ended_and_the_next_one_runs(path: Path) -> None:
    with Snapshots(path, query_seconds=0.3) as snapshots, snapshots.lease() as snapshot:
        began = time.monotonic()
        with pytest.raises(QueryTimeoutError, match=r"longer than 0.3 s"):
            snapshot.rows(ENDLESS)
        assert time.monotonic() - began < 3
        assert snapshot.rows(NUMBER) == [(1,)]
        with pytest.raises(QueryTimeoutError):
            list(snapshot.arrow(ENDLESS))


def test_each_of_several_late_queries_is_ended_and_a_quick_one_between_them_is_not(path: Path) -> None:
    outcomes: list[object] = []
    with Snapshots(path, query_seconds=0.5, threads=1) as snapshots, snapshots.lease() as snapshot:

        def run(sql: str) -> None:
            try:
                outcomes.append(snapshot.rows(sql))
            except QueryTimeoutError:
                outcomes.append("late")

        threads = [threading.Thread(target=run, args=(sql,)) for sql in (ENDLESS, NUMBER, ENDLESS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert sorted(map(str, outcomes)) == ["[(1,)]", "late", "late"]


def test_all_queries_of_an_answer_have_one_time_together(path: Path) -> None:
    with Snapshots(path, query_seconds=0.4) as snapshots, snapshots.lease() as snapshot:
        answer = snapshot.for_one_answer()
        assert answer.identity == snapshot.identity
        assert answer.rows(NUMBER) == [(1,)]
        with pytest.raises(QueryTimeoutError):
            answer.rows(ENDLESS)
        # Nothing is left, however small what is asked then; another answer has all of it.
        for _ in range(2):
            with pytest.raises(QueryTimeoutError, match=r"longer than 0.4 s"):
                answer.rows(NUMBER)
            with pytest.raises(QueryTimeoutError):
                answer.arrow(NUMBER)
        assert snapshot.rows(NUMBER) == snapshot.for_one_answer().rows(NUMBER) == [(1,)]


def test_whoever_takes_a_long_table_slowly_gets_all_of_it(tmp_path: Path) -> None:
    with (
        Snapshots(publish_number(tmp_path, 1, rows=9000), query_seconds=0.5) as snapshots,
        snapshots.lease() as snapshot,
    ):
        rows = 0
        for batch in snapshot.for_one_answer().arrow("SELECT i FROM numbers", batch_rows=2048):
            time.sleep(0.2)
            rows += batch.num_rows
        assert rows == 9000


def test_queries_at_the_same_time_are_counted_once_and_pauses_not_at_all() -> None:
    budget = Budget(10.0)
    assert budget.begin(100.0) == 110.0
    assert budget.begin(103.0) == 110.0
    budget.end(104.0)
    budget.end(106.0)
    # Four seconds are left.
    assert budget.begin(500.0) == 504.0
    budget.end(501.0)
    assert budget.begin(600.0) == 603.0


def test_an_answer_that_has_little_time_left_is_ended_when_that_is_over(path: Path) -> None:
    deadlines = Deadlines(600.0)
    with duckdb.connect(str(path), read_only=True) as connection:
        # From now on it would look again in ten minutes.
        with connection.cursor() as cursor, deadlines.limited(cursor, deadlines.budget()):
            cursor.execute(NUMBER).fetchall()
        began = time.monotonic()
        with (
            connection.cursor() as cursor,
            pytest.raises(QueryTimeoutError),
            deadlines.limited(cursor, Budget(0.3)),
        ):
            cursor.execute(ENDLESS).fetchall()
        assert 0.3 <= time.monotonic() - began < 5
    deadlines.close()


def test_when_the_end_is_near_what_runs_is_ended_and_nothing_more_begins(path: Path) -> None:
    outcomes: list[str] = []
    with Snapshots(path, query_seconds=600) as snapshots, snapshots.lease() as snapshot:

        def run() -> None:
            with pytest.raises(QueryTimeoutError):
                snapshot.rows(ENDLESS)
            outcomes.append("ended")

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        snapshots.interrupt()
        for thread in threads:
            thread.join(10)
        assert time.monotonic() - began < 3
        assert outcomes == ["ended"] * 3
        with pytest.raises(QueryTimeoutError):
            snapshot.rows(NUMBER)


def test_a_query_that_needs_too_much_memory_is_refused_and_the_next_one_runs(path: Path) -> None:
    with Snapshots(path, memory_limit="20MB") as snapshots, snapshots.lease() as snapshot:
        with pytest.raises(QueryTooLargeError, match="20MB"):
            snapshot.rows("SELECT max(i), md5(i::VARCHAR) AS m FROM range(5000000) AS t(i) GROUP BY m ORDER BY m")
        assert snapshot.rows(NUMBER) == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/hostname'",
        "COPY numbers TO 'numbers.csv'",
        "ATTACH 'other.duckdb' AS other",
        "EXPORT DATABASE 'folder'",
        "INSTALL httpfs",
        "CREATE TABLE main.more AS SELECT 1",
        "DELETE FROM numbers",
        "SET enable_external_access = true",
        "SET memory_limit = '10GB'",
        "SET lock_configuration = false",
        "SET profiling_output = 'profile.json'",
    ],
)
def test_no_statement_reaches_another_file_changes_anything_or_lifts_a_limit(
    path: Path, snapshots: Snapshots, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    before = sorted(path.parent.iterdir())
    with snapshots.lease() as snapshot:
        with pytest.raises(duckdb.Error):
            snapshot.rows(statement)
        assert snapshot.rows("SELECT count(*) FROM numbers") == [(10,)]
    assert sorted(path.parent.iterdir()) == before
