"""After a sync in stub mode every figure equals what a query of its own over the published file gives."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshots
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.live import live
from meta_insights_pipeline_tests.read_api.oracle import Oracle, assert_figures
from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi

DAYS = 4


@pytest.mark.slow
def test_every_figure_of_a_sync_is_the_sum_of_its_rows(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        until = home.at.date()
        days = DayRange(until - timedelta(days=DAYS - 1), until)
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        path = home.settings.snapshot_path
    asked = {"date_from": str(days.since), "date_to": str(until)}
    with Snapshots(path) as snapshots, snapshots.lease() as snapshot, duckdb.connect(str(path), read_only=True) as own:
        api = ReadingApi(snapshot, home.settings.home)
        api.clock = SkippingClock(home.at)
        overview = api.get("overview", **asked)
        assert len(overview["currencies"]) == 2
        for entry in overview["currencies"]:
            where = f"f.account_currency = '{entry['account_currency']}'"
            assert_figures(entry["totals"], Oracle(own, Level.ACCOUNT, where, days.since, until).figures())
            assert len(entry["daily"]) == DAYS
            for row in entry["top_campaigns"]:
                of_campaign = f"f.campaign_id = '{row['campaign_id']}'"
                assert_figures(row, Oracle(own, Level.CAMPAIGN, of_campaign, days.since, until).figures())
        assert all(row["collected_days"] == DAYS for row in overview["freshness"])
        for level in Level:
            ids = own.execute(
                f"SELECT DISTINCT {level.id_field} FROM {level.value}_insights ORDER BY 1 LIMIT 4"
            ).fetchall()
            for (entity_id,) in ids:
                content = api.get(f"{level.value}/{entity_id}", **asked)
                where = f"f.{level.id_field} = '{entity_id}'"
                assert_figures(content["summary"], Oracle(own, level, where, days.since, until).figures())
                for row in content["daily"]:
                    day = date.fromisoformat(row["date_start"])
                    assert_figures(row, Oracle(own, level, where, day, day).figures())
                assert [parent["level"] for parent in content["parents"]] == [
                    each.value for each in list(Level)[: level.depth]
                ]
        (sync,) = api.get("syncs")["items"]
        assert sync["rows_read"] > 0
