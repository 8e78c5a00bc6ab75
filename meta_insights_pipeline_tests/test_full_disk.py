"""A disk that is full: readers keep the last good copy, a person reads one sentence, and with room again the next sync completes.

The kernel itself refuses to write: by the limit on the length of files, which anybody may set for a process, by the device that
is always full, and, where a file system may be mounted, on one that is small.
"""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline import archiving, receipt, sync
from meta_insights_pipeline.collector.report_book import ReportBook
from meta_insights_pipeline.full_disk import FullDiskError, full_disk_reason
from meta_insights_pipeline.replay import run_replay
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.sync import SyncOutcome
from meta_insights_pipeline.warehouse import writing
from meta_insights_pipeline.warehouse.archived_pages import write_pages
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.rebuilding import Rebuilder
from meta_insights_pipeline.warehouse.staging import Staging
from meta_insights_pipeline_tests.comparison import assert_equals_truth
from meta_insights_pipeline_tests.processes import COMMAND, environment
from meta_insights_pipeline_tests.reconciling import Bench, bench

SPEC = WorldSpec(seed=3, accounts=1, campaigns=1, adsets_per_campaign=2, ads_per_adset=2, always_on=True)
REMEDY = r"Make room or mend the permissions, then sync again\.$"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without rows; making the tables takes as long as a small sync."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    return warehouse.path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[Bench]:
    """A home with a published file; every test leaves it good, and three hours later than it was."""
    with bench(tmp_path_factory.mktemp("home"), empty, SPEC) as running:
        refresh(running)
        yield running


@pytest.fixture
def good(home: Bench) -> bytes:
    """The published file, three hours before the test."""
    home.pass_time(timedelta(hours=3))
    return home.settings.snapshot_path.read_bytes()


@contextmanager
def full_from(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """From the moment at which a function is called until the end of the block, no file takes a byte more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    function: Callable[..., Any] = getattr(owner, name)
    called: list[str] = []

    def on_a_full_disk(*arguments: Any, **options: Any) -> Any:
        called.append(name)
        # Python ignores the signal that comes with it, so that the write fails as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        return function(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, on_a_full_disk)
        try:
            yield called
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refresh(home: Bench) -> SyncOutcome:
    """Sync three days and the entities."""
    return home.sync(home.days(0, 3), entities_every=timedelta(0))


def assert_good(home: Bench) -> None:
    """The published file holds what Meta has now."""
    days = home.days(0, 3)
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())


def assert_nothing_is_left(home: Bench) -> None:
    """No file of a sync that is over is left."""
    signs = ("draft", "sync-run", "spill", "merge-", "alive-", "probe")
    files = [file.relative_to(home.settings.home) for file in home.settings.home.rglob("*")]
    assert not [file for file in files if any(sign in str(file) for sign in signs)]


STEPS = {
    "a page comes": (ReportBook, "add_page"),
    "rows are staged": (Staging, "finish"),
    "rows are merged": (writing, "merge_slices"),
    "the transaction is committed": (writing, "reconcile"),
    "the warehouse is written down": (writing, "_thin"),
    "entities are merged": (sync, "refresh_entities"),
    "the copy for readers is made": (sync, "publish"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_is_full_when(home: Bench, good: bytes, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    with full_from(*STEPS[step], monkeypatch) as called, pytest.raises(WarehouseError, match=REMEDY) as told:
        refresh(home)
    assert called
    assert "\n" not in str(told.value)
    assert home.settings.snapshot_path.read_bytes() == good
    assert not (home.settings.home / "receipts" / f"run-{home.runs}.json").exists()

    assert refresh(home).complete
    assert_good(home)
    assert_nothing_is_left(home)


@pytest.mark.usefixtures("good")
def test_a_disk_that_is_full_when_the_receipt_is_written(home: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_from(receipt.Receipt, "save", monkeypatch), pytest.raises(FullDiskError, match=REMEDY):
        refresh(home)
    # All but the receipt was done.
    assert_good(home)
    assert_nothing_is_left(home)
    assert not (home.settings.home / "receipts" / f"run-{home.runs}.json").exists()
    home.pass_time(timedelta(minutes=20))
    assert refresh(home).complete
    assert_nothing_is_left(home)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.usefixtures("good")
def test_an_archive_on_a_full_disk_is_a_warning_and_the_next_one_is_archived(
    home: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_full_disk(file: Path, **options: Any) -> None:
        file.symlink_to("/dev/full")
        write_pages(file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(archiving, "write_pages", on_a_full_disk)
        outcome = refresh(home)
    assert outcome.complete
    (warning,) = outcome.receipt.warnings
    assert os.strerror(errno.ENOSPC) in warning
    assert_good(home)
    assert not [file for file in (home.settings.home / "archive").rglob("*") if file.is_symlink()]
    assert refresh(home).receipt.warnings == ()


def test_a_replay_on_a_full_disk_leaves_everything_as_it_was(
    home: Bench, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        full_from(Rebuilder, "take", monkeypatch) as called,
        pytest.raises(WarehouseError, match="then replay again"),
    ):
        run_replay(home.settings)
    assert called
    assert home.settings.snapshot_path.read_bytes() == good
    assert refresh(home).complete
    assert_good(home)
    assert_nothing_is_left(home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command mount")
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_small_disk_a_sync_completes_or_changes_nothing_however_much_is_free(
    small_disk: Path, empty: Path
) -> None:
    (small_disk / "home").mkdir()
    with bench(small_disk / "home", empty, SPEC) as home:
        refresh(home)
        for kilobytes in (0, 300, 1_000, 2_500):
            home.pass_time(timedelta(minutes=30))
            good = home.settings.snapshot_path.read_bytes()
            filler = small_disk / "filler"
            space = os.statvfs(small_disk)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - kilobytes * 1024 or 1)
            with pytest.raises(WarehouseError, match=REMEDY):
                refresh(home)
            assert home.settings.snapshot_path.read_bytes() == good
            filler.unlink()
        assert refresh(home).complete
        assert_good(home)
        assert_nothing_is_left(home)


@pytest.mark.slow
def test_the_command_says_it_in_one_sentence_and_exits_with_1(tmp_path: Path) -> None:
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    done = subprocess.run(
        [COMMAND, "sync", "--days-back", "0", "--level", "account"],
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("meta-insights: The disk does not take what is written below ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "meta_insights.duckdb").exists()


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    for error in (OSError(errno.EACCES, "Permission denied"), ValueError("No space left on device"), KeyError("full")):
        assert full_disk_reason(error) is None
    outer = RuntimeError("storing failed")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/home/file")
    assert full_disk_reason(outer) == "/home/file: No space left on device"
