"""One book of Meta's budgets for one home, or for several."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collection import open_collection
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.live import TOKEN, Live, live

APP_SECRET = "budget-test-app-secret"


def calls_into(home: Live, account_id: str) -> int:
    return len([one for one in home.simulator.requests if f"act_{account_id}/insights" in one.path])


def settings_of(home: Live, folder: Path, **changed: object) -> Settings:
    return home.settings.model_copy(update={"home": folder, **changed})


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_block_that_one_home_ran_into_holds_for_the_other_when_they_share_a_book(
    tmp_path: Path, is_shared: bool
) -> None:
    book = tmp_path / "machine" / "budgets.sqlite" if is_shared else None
    with live(tmp_path / "one", META_INSIGHTS_BUDGET_PATH=book) as home:
        blocked = home.world.accounts[0].id
        home.simulator.faults.add("block", account=blocked, kind="insights", code=80000, seconds=1200)
        days = DayRange(home.at.date() - timedelta(days=1), home.at.date())
        assert run_sync(home.settings, SyncRequest("run-1", days, builtin_reports())).receipt.state == "partial"
        home.simulator.requests.clear()
        other = settings_of(home, tmp_path / "two")
        receipt = run_sync(other, SyncRequest("run-2", days, builtin_reports())).receipt
        assert receipt.state == "partial"
        assert (calls_into(home, blocked) == 0) is is_shared


def test_a_shared_book_holds_no_secret_and_keeps_apps_apart(tmp_path: Path) -> None:
    file = tmp_path / "budgets.sqlite"
    with live(tmp_path / "one", META_INSIGHTS_BUDGET_PATH=file) as home:
        days = DayRange(home.at.date(), home.at.date())
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        assert known(settings_of(home, tmp_path / "two"))
        assert not known(settings_of(home, tmp_path / "three", access_token=SecretStr("another token")))
        # Where the app's secret is set, it names the app, whatever the token.
        with_secret = {"app_secret": SecretStr(APP_SECRET)}
        run_sync(settings_of(home, tmp_path / "four", **with_secret), SyncRequest("run-2", days, builtin_reports()))
        assert known(settings_of(home, tmp_path / "five", **with_secret, access_token=SecretStr("another token")))
    written = b"".join(each.read_bytes() for each in tmp_path.glob("budgets.sqlite*"))
    assert TOKEN.encode() not in written
    assert APP_SECRET.encode() not in written


def known(settings: Settings) -> int:
    with open_collection(settings, "look") as collection:
        return len(collection.budget.levels())


def test_stub_mode_keeps_its_budgets_in_its_home(tmp_path: Path) -> None:
    file = tmp_path / "budgets.sqlite"
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path / "home", META_INSIGHTS_BUDGET_PATH=file)
    with open_collection(settings, "look"):
        pass
    assert not file.exists()


def test_a_book_that_cannot_be_opened_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        live(tmp_path / "one", META_INSIGHTS_BUDGET_PATH=tmp_path / "file" / "budgets.sqlite") as home,
        pytest.raises(SettingsError, match="META_INSIGHTS_BUDGET_PATH"),
        open_collection(home.settings, "look"),
    ):
        pass
