"""A sync by hand: what it costs before its run begins, and that nothing of that is hidden or bought twice."""

import os
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.graph_api.errors import BlockedError, ThrottleError
from meta_insights_pipeline.manual_sync import DaysWanted, run_manual_sync, zones_of
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


def test_zones_are_not_asked_for_while_the_app_is_closed(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("block", code=4, seconds=1200)
        with pytest.raises(ThrottleError):
            zones_of(home.settings, [])
        home.simulator.requests.clear()
        with pytest.raises(BlockedError):
            zones_of(home.settings, [])
        assert home.simulator.requests.count() == 0
