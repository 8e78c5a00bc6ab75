"""What a sync gives to the archive, and that nothing about the archive stops a sync."""

from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.archiving import SyncArchive
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.life import alive
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.sync import SyncOutcome, SyncRequest, run_sync
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive, ArchivedFile
from meta_insights_pipeline.warehouse.archive_files import open_file, write_file
from meta_insights_pipeline.warehouse.archive_names import Question
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN, Live, live

ACCOUNTS = reports_of_levels([Level.ACCOUNT])
DAY = timedelta(days=1)


def sync(home: Live, run_id: str, *, entities: bool = False) -> SyncOutcome:
    """Collect the accounts' today and yesterday as of the simulator's clock."""
    clock = home.simulator.clock
    assert isinstance(clock, SimulatedClock)
    today = clock.now().date()
    request = SyncRequest(
        run_id, DayRange(today - DAY, today), ACCOUNTS, entities_every=timedelta(0) if entities else None
    )
    return run_sync(home.settings, request, clock=SharedClock(clock))


def archived(home: Live) -> list[ArchivedFile]:
    return [file for file in Archive(home.settings.archive_path).files() if isinstance(file, ArchivedFile)]


def test_every_answer_of_a_sync_is_archived_under_account_report_and_day_without_the_token(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        assert sync(home, "run-1", entities=True).receipt.warnings == ()
        at = home.at
    files = archived(home)
    assert {(file.account_id, file.report) for file in files} == {
        (account.id, report) for account in home.world.accounts for report in ("account_insights", ENTITIES)
    }
    for file in files:
        assert file.path.parent == home.settings.archive_path / f"act_{file.account_id}" / file.report
        assert file.path.name.startswith(at.date().isoformat())
        assert file.name.run_id == "run-1"
        with open_file(file.path) as (header, blobs):
            text = str(header).encode() + b"".join(blobs)
        assert header["mode"] == "live"
        assert header["api_version"] == "v26.0"
        assert file.account_id.encode() in text
        assert TOKEN.encode() not in text
    assert Archive(home.settings.archive_path).unsettled() == []


def test_with_a_retention_of_no_days_nothing_is_archived(tmp_path: Path) -> None:
    with live(tmp_path, META_INSIGHTS_ARCHIVE_DAYS="0") as home:
        assert sync(home, "run-1", entities=True).receipt.warnings == ()
    assert not (tmp_path / "archive").exists()


def test_an_archive_that_cannot_be_written_is_a_warning_and_the_sync_is_complete(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"in the way")
    with live(tmp_path) as home:
        outcome = sync(home, "run-1", entities=True)
    assert outcome.complete
    assert outcome.receipt.tables["account_insights"].inserted == 4
    (warning,) = outcome.receipt.warnings
    assert "4 answers are in the warehouse and not in the archive" in warning
    assert "Not a directory" in warning


def test_a_sync_removes_what_is_too_old_once_a_day(tmp_path: Path) -> None:
    with live(tmp_path, META_INSIGHTS_ARCHIVE_DAYS="3") as home:
        clock = home.simulator.clock
        assert isinstance(clock, SimulatedClock)
        clock.set(home.at - 6 * DAY)
        for day in range(6):
            sync(home, f"run-{day}")
            clock.advance(DAY)
        assert {file.name.run_id for file in archived(home)} == {"run-2", "run-3", "run-4", "run-5"}


def test_what_cannot_be_read_is_not_archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(tmp_path) as home:
        spoiled = home.world.accounts[0].id
        answer = type(home.simulator).handle

        def answer_of_another(self: object, request: object) -> object:
            response = answer(self, request)  # type: ignore[arg-type]
            if f"act_{spoiled}/insights" in str(request):
                other = home.world.accounts[1].id
                return type(response)(
                    response.status, response.headers, response.body.replace(spoiled.encode(), other.encode())
                )
            return response

        monkeypatch.setattr(type(home.simulator), "handle", answer_of_another)
        receipt = sync(home, "run-1").receipt
    assert {gap.account_id for gap in receipt.missing} == {spoiled}
    assert {file.account_id for file in archived(home)} == {home.world.accounts[1].id}
    assert Archive(home.settings.archive_path).unsettled() == []


def test_what_a_sync_left_that_stored_nothing_is_removed_and_no_warehouse_is_made_for_it(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        archive = Archive(home.settings.archive_path)
        intake = archive.intake("dead-run")
        intake.add("1", "account_insights", Question(home.at), lambda file: write_file(file, {}, [b"x"], [1]))
        SyncArchive(home.settings, "run-1").settle_earlier(Warehouse(home.settings.warehouse_path, tmp_path / "tmp"))
        assert (archive.unsettled(), list(archive.files())) == ([], [])
        assert not home.settings.warehouse_path.exists()


def test_the_empty_folder_of_a_sync_that_died_while_it_cleared_up_is_removed(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        dead, living = (home.settings.archive_path / ".pending" / run_id for run_id in ("dead-run", "living-run"))
        for folder in (dead, living):
            folder.mkdir(parents=True)
        with alive(home.settings.home, "living-run"):
            SyncArchive(home.settings, "run-1").settle_earlier(
                Warehouse(home.settings.warehouse_path, tmp_path / "tmp")
            )
            assert (dead.exists(), living.exists()) == (False, True)
