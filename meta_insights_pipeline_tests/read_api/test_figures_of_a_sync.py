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
from meta_insights_pipeline_tests.read_api.oracle import Oracle, Question, assert_row, between
from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi

DAYS = 4


@pytest.mark.slow
def test_every_figure_of_a_sync_is_the_sum_of_its_rows(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        until = home.at.date()
        days = DayRange(until - timedelta(days=DAYS - 1), until)
        run_sync(home.settings, SyncRequest("run-1", days, builtin_reports()))
        path = home.settings.snapshot_path
    question = Question(home.at, (days.since, until))
    asked = question.parameters
    with Snapshots(path) as snapshots, snapshots.lease() as snapshot, duckdb.connect(str(path), read_only=True) as own:
        api, oracle = ReadingApi(snapshot, home.settings.home), Oracle(own, question)
        api.app.state.clock = SkippingClock(home.at)
        overview = api.get("overview", **asked)
        assert len(overview["currencies"]) == 2
        for entry in overview["currencies"]:
            totals, _, _, _, is_comparable = oracle.totals(entry["account_currency"])
            assert_row(entry["totals"], totals)
            # The days before were never collected.
            assert not is_comparable
            assert entry["change"] is None
            assert len(entry["daily"]) == DAYS
        assert all(row["collected_days"] == DAYS for row in overview["freshness"])
        for level in Level:
            rows = own.execute(
                f"SELECT DISTINCT account_id, {level.id_field} FROM {level.value}_insights ORDER BY 2 LIMIT 4"
            ).fetchall()
            for account_id, entity_id in rows:
                content = api.get(f"{level.value}/{entity_id}", **asked)
                where = f"f.{level.id_field} = '{entity_id}'"
                summary = {name: value for name, value in content["summary"].items() if name != "account_currency"}
                assert_row(summary, oracle.summed(level, where, account_id, (days.since, until)))
                for row in content["daily"]:
                    day = date.fromisoformat(row["date_start"])
                    figures = oracle.figures(level, f"{where} AND {between((day, day))}", is_one_day=True)
                    shared = set(row) & set(figures)
                    assert {"spend", "reach", "purchases", "collected_at", "roas"} <= shared
                    assert_row({name: row[name] for name in shared}, {name: figures[name] for name in shared})
                assert [parent["level"] for parent in content["parents"]] == [
                    each.value for each in list(Level)[: level.depth]
                ]
        (sync,) = api.get("syncs")["items"]
        assert sync["rows_read"] > 0
