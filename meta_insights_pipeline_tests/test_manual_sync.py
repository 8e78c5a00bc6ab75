"""A sync by hand: what it costs before its run begins, and that nothing of that is hidden or bought twice."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.graph_api.errors import BlockedError, ThrottleError
from meta_insights_pipeline.home_files import MissingBook
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError, run_manual_sync, run_missing, zones_of
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline_tests.live import TOKEN, Live, live


def in_the_environment(monkeypatch: pytest.MonkeyPatch, home: Live, folder: Path) -> None:
    """The run reads its settings itself, as any run of Dagster does."""
    for name in [name for name in os.environ if name.startswith(("META_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    values = {
        "META_INSIGHTS_MODE": "live",
        "META_ACCESS_TOKEN": TOKEN,
        "META_GRAPH_API_URL": home.url,
        "META_INSIGHTS_HOME": str(folder),
        # The run sets it; what is set here is what the test leaves behind.
        "DAGSTER_HOME": str(folder / "dagster"),
    }
    (folder / "dagster").mkdir(parents=True)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)


def test_the_first_sync_by_hand_lists_the_accounts_once_and_its_receipt_counts_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live(tmp_path) as home:
        in_the_environment(monkeypatch, home, tmp_path)
        receipt = run_manual_sync(load_settings(), DaysWanted(days_back=1), [Level.ACCOUNT])
        served = sum(home.simulator.requests.counts().values())
    assert receipt.state == "complete"
    assert receipt.calls_total == served
    assert receipt.calls["account"] == 1


def test_what_is_missing_and_due_is_asked_for_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(tmp_path) as home:
        in_the_environment(monkeypatch, home, tmp_path)
        settings = load_settings()
        assert run_missing(settings) is None
        lost, other = (account.id for account in home.world.accounts)
        home.simulator.set_account_state(lost, "forbidden")
        day = home.at.date() - timedelta(days=1)
        with pytest.raises(ManualSyncError, match=f"ad_insights of act_{lost}"):
            run_manual_sync(settings, DaysWanted(start=day, end=day), [Level.AD], [lost, other])
        home.simulator.set_account_state(lost, "active")
        assert run_missing(settings) is None, "it is not due yet"
        make_due(settings.home)
        home.simulator.requests.clear()
        receipt = run_missing(settings)
        assert receipt is not None
        assert (receipt.state, receipt.levels, receipt.accounts) == ("complete", ("ad",), (lost,))
        assert {one.params.get("level") for one in home.simulator.requests} <= {"ad", None}
        assert MissingBook(settings.home).parts() == ()


def make_due(home: Path) -> None:
    """As time does."""
    book = MissingBook(home)
    book.save([replace(part, retry_at=datetime.now(UTC)) for part in book.parts()])


def test_zones_are_not_asked_for_while_the_app_is_closed(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("block", code=4, seconds=1200)
        with pytest.raises(ThrottleError):
            zones_of(home.settings, [])
        home.simulator.requests.clear()
        with pytest.raises(BlockedError):
            zones_of(home.settings, [])
        assert home.simulator.requests.count() == 0
