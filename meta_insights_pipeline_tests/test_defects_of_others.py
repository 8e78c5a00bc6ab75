"""Ten defects that were found in other connectors, each as a whole sync here that would fail if we had it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.catalog.breakdowns import breakdowns
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.catalog.windows import default_windows
from meta_insights_pipeline.collector import fetching
from meta_insights_pipeline.simulator.entity_truth import entity_truth
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.warehouse import staging
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.mart_columns import all_ratios
from meta_insights_pipeline.warehouse.schema import fact_table
from meta_insights_pipeline_tests.comparison import Row, assert_equals_truth
from meta_insights_pipeline_tests.reconciling import NOW, Bench, Bent, bench

LEVELS = (Level.CAMPAIGN, Level.ADSET, Level.AD)
Rows = list[dict[str, Any]]
"""As Meta writes them."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without rows; making the tables takes as long as a small sync."""
    folder = tmp_path_factory.mktemp("empty")
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    return warehouse.path


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> Iterator[Bench]:
    with bench(tmp_path, empty) as running:
        yield running


@dataclass
class Served:
    """The rows of insights that have left the simulator."""

    pages: list[Rows] = field(default_factory=list)
    """Of direct answers and of reports."""

    def keys(self) -> Counter[tuple[str, ...]]:
        """How often each row was served: level, account, entity, day."""
        return Counter(_key(row) for page in self.pages for row in page)


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    level = next(level for level in reversed(Level) if level.id_field in row)
    return level.value, row["account_id"], row[level.id_field], row["date_start"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """What the simulator serves from now on."""
    heard, handle = Served(), Bent.handle

    def listening(self: Bent, request: SimRequest) -> SimResponse:
        response = handle(self, request)
        data = json.loads(response.body).get("data", []) if response.status == 200 else []
        rows = [row for row in data if isinstance(row, dict) and "date_start" in row]
        if rows:
            heard.pages.append(rows)
        return response

    monkeypatch.setattr(Bent, "handle", listening)
    return heard


def at_level(level: Level, change: Callable[[Rows], None]) -> Callable[[str, Rows], None]:
    """A change of the rows of one level."""

    def changed(of: str, rows: Rows) -> None:
        if of == level.value:
            change(rows)

    return changed


def test_the_oldest_of_many_days_is_stored_like_every_other(home: Bench, served: Served) -> None:
    """Dlt compared a moment with a bare date and threw the first day of every run away."""
    days = home.days(0, 29)
    receipt = home.sync(days, *LEVELS).receipt
    for level in LEVELS:
        table = f"{level}_insights"
        assert home.rows(
            f"SELECT account_id, min(date_start) AS first, count(DISTINCT date_start) AS days FROM {table} GROUP BY 1 ORDER BY 1"
        ) == [
            {"account_id": account, "first": days.since, "days": 29}
            for account in sorted(account.id for account in home.world.accounts)
        ]
        assert receipt.tables[table].inserted == sum(key[0] == level for key in served.keys().elements())


def test_the_key_of_a_report_by_parts_tells_the_parts_apart() -> None:
    """The dlt source had a key that left the parts out, so that of six cells by age and gender one was left."""
    values: dict[str, Any] = {"name": "r", "level": Level.AD, "fields": ("spend",), "windows": default_windows()}
    known = [name for name, one in breakdowns().items() if not one.removed_on]
    assert {"age", "gender", "country"} < set(known)
    for parts in (("age", "gender"), *((name,) for name in known)):
        # Whether Meta allows it at this level is not the question.
        report = Report.model_construct(**values, breakdowns=parts)
        assert report.key == ("account_id", "ad_id", "date_start", *parts)


def test_of_rows_split_by_what_nobody_asked_for_none_is_passed_off_as_the_whole(home: Bench) -> None:
    """Dlt kept one cell of six and called it the ad's spend; here it would be an unexplained residual, in numbers."""

    def split(rows: Rows) -> None:
        for row in rows.copy():
            cells = [(age, gender) for age in ("18-24", "25-34", "35-44") for gender in ("female", "male")]
            share = {name: f"{float(row[name]) / 6:.2f}" for name in ("spend",) if name in row}
            rows += [{**row, **share, "age": age, "gender": gender} for age, gender in cells]
            rows.remove(row)

    home.simulator.change = at_level(Level.CAMPAIGN, split)
    receipt = home.sync(home.days(40, 1)).receipt
    lines = home.rows("FROM reconciliation WHERE level = 'campaign' AND metric = 'spend'")
    assert [line["status"] for line in lines] == ["unexplained"] * 2
    for line in lines:
        assert line["residual"] == line["account_value"] - line["level_sum"] > 0
    assert receipt.reconciliation.unexplained >= 2
    assert receipt.repeated_rows == 5 * receipt.tables["campaign_insights"].inserted
    assert {one.name for one in receipt.drift if one.kind == "field"} == {"age", "gender"}


@pytest.mark.parametrize("level", list(Level))
def test_every_level_can_be_had_alone(home: Bench, served: Served, level: Level) -> None:
    """Dlt's tables wanted the id of an ad in every row, which Meta gives at no other level, and failed after all calls."""
    days = home.days(0, 2)
    receipt = home.sync(days, level).receipt
    assert receipt.state == "complete"
    assert receipt.tables[f"{level}_insights"].inserted == len(served.keys()) > 0
    deeper = [other.id_field for other in Level if other.depth > level.depth]
    assert not [name for page in served.pages for row in page for name in deeper if name in row]
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, NOW, [level])


def test_no_day_is_bought_twice_where_ranges_meet(home: Bench, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meltano's tap took the last day of a range, which is inclusive, for the first of the next one too."""
    # No direct answer and no long range is given, so that there are many reports.
    monkeypatch.setattr(fetching, "PAGE_ROWS", 1)
    home.simulator.faults.add("graph_error", kind="insights", code=100, subcode=1487534, times=None)
    home.simulator.faults.add("graph_error", kind="create_run", code=100, subcode=1487534, days_above=2, times=None)
    days = home.days(30, 6)
    receipt = home.sync(days, *LEVELS).receipt
    assert home.simulator.requests.count("run_insights") == len(served.pages)
    assert set(served.keys().values()) == {1}
    assert receipt.repeated_rows == 0
    rows = assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, NOW, LEVELS)
    assert sum(table.inserted for table in receipt.tables.values()) == rows
    assert sum(receipt.tables[f"{level}_insights"].read for level in LEVELS) == len(served.keys())


def test_a_second_sync_replaces_rows_by_the_key_of_their_own_level(home: Bench) -> None:
    """Meltano's tap declared the ad's id as the key of reports of campaigns and ad sets, which have no such column."""
    days = home.days(0, 2)
    first = home.sync(days).receipt
    home.pass_time(timedelta(hours=3))
    second = home.sync(days).receipt
    for report in builtin_reports():
        table = fact_table(report)
        assert set(table.key) == {"account_id", report.level.id_field, "date_start"}
        assert second.tables[table.name].inserted == 0
        assert second.tables[table.name].updated > 0
        keys = ", ".join(table.key)
        (found,) = home.rows(
            f"SELECT count(*) AS rows, count(DISTINCT ({keys})) AS keys, count_if(({keys}) IS NULL) AS null FROM {table.name}"
        )
        assert found == {"rows": first.tables[table.name].inserted, "keys": found["rows"], "null": 0}
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, home.now())


def test_the_first_row_of_every_batch_and_page_is_stored(
    home: Bench, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """target-duckdb took the first record of a batch for a header: one row was gone, and it exited with 0."""
    monkeypatch.setattr(fetching, "PAGE_ROWS", 5)
    # Every page is read, written and merged as a batch of its own.
    monkeypatch.setattr(staging, "BYTES_AT_ONCE", 1)
    monkeypatch.setattr(staging, "PAGES_AT_ONCE", 1)
    days = home.days(0, 5)
    receipt = home.sync(days, *LEVELS).receipt
    assert receipt.calls["report_page"] > 20
    for level in LEVELS:
        stored = {
            (level.value, row["account_id"], row["entity_id"], str(row["date_start"]))
            for row in home.rows(f"SELECT account_id, {level.id_field} AS entity_id, date_start FROM {level}_insights")
        }
        firsts = {_key(page[0]) for page in served.pages if _key(page[0])[0] == level}
        assert len(firsts) > 2
        assert firsts <= stored
        assert len(stored) == receipt.tables[f"{level}_insights"].inserted
    assert_equals_truth(home.settings.snapshot_path, home.world, days.since, days.until, NOW, LEVELS)


def test_entities_cost_calls_by_the_page_and_not_by_the_object(tmp_path: Path, empty: Path) -> None:
    """Singer's tap listed 560 objects, and then asked for each of them once more."""
    calls: dict[int, dict[str, int]] = {}
    for ads in (1, 4):
        folder = tmp_path / str(ads)
        folder.mkdir()
        spec = WorldSpec(seed=3, accounts=1, campaigns=4, adsets_per_campaign=4, ads_per_adset=ads, always_on=True)
        with bench(folder, empty, spec) as home:
            home.sync(home.days(0, 1), Level.ACCOUNT)
            home.simulator.requests.clear()
            home.sync(home.days(0, 1), Level.ACCOUNT, entities_every=timedelta(0))
            calls[ads] = home.simulator.requests.counts()
            for kind in ("campaigns", "adsets", "ads"):
                listed = {one["id"] for one in entity_truth(home.world, kind, home.account(), home.now())}
                own = f"{kind.removesuffix('s')}_id"
                assert {row["id"] for row in home.rows(f"SELECT {own} AS id FROM {kind}")} == listed
    assert calls[4] == calls[1]
    assert sum(calls[1].values()) < 4 + 16
    assert calls[1].get("object", 0) == 0


@pytest.mark.parametrize("name", ["objective", "campaign_name", "reach"])
def test_a_row_that_lacks_a_value_is_stored_without_it(home: Bench, served: Served, name: str) -> None:
    """Airbyte's connector skips rows that lack a value, and nobody is told how many."""
    home.simulator.change = at_level(Level.CAMPAIGN, lambda rows: rows[0].pop(name) and None)
    receipt = home.sync(home.days(40, 3), Level.CAMPAIGN).receipt
    assert receipt.state == "complete"
    assert receipt.tables["campaign_insights"].inserted == len(served.keys()) == 2 * 2 * 3
    assert home.rows(f"SELECT count(*) AS n FROM campaign_insights WHERE {name} IS NULL") == [{"n": 2}]


@pytest.mark.parametrize("name", ["campaign_id", "date_start"])
def test_a_row_that_lacks_a_part_of_its_key_is_told_and_not_left_out(home: Bench, name: str) -> None:
    """Airbyte's connector skips rows that lack a value, and nobody is told how many."""
    home.simulator.change = at_level(Level.CAMPAIGN, lambda rows: rows[0].pop(name) and None)
    receipt = home.sync(home.days(40, 3), Level.CAMPAIGN).receipt
    assert receipt.state == "failed"
    assert {gap.account_id for gap in receipt.missing} == {account.id for account in home.world.accounts}
    for gap in receipt.missing:
        assert "1 rows that were not asked for" in gap.reason


def test_a_later_row_may_have_more_than_the_first_one(home: Bench) -> None:
    """A converter to CSV took its header from the first row and failed at a later one that had more metrics."""

    def thin(rows: Rows) -> None:
        for name in ("clicks", "reach", "actions", "action_values", "outbound_clicks"):
            rows[0].pop(name, None)
        rows[-1]["gazes"] = "7"

    home.simulator.change = at_level(Level.CAMPAIGN, thin)
    receipt = home.sync(home.days(40, 3), Level.CAMPAIGN).receipt
    assert receipt.state == "complete"
    rows = home.rows("SELECT clicks, reach, other_fields FROM campaign_insights")
    assert len(rows) == 2 * 2 * 3
    assert sum(row["clicks"] == 0 for row in rows) == 2, "what Meta leaves out when it is zero is zero"
    assert sum(row["reach"] is None for row in rows) == 2
    assert [row["other_fields"] for row in rows].count('{"gazes":"7"}') == 2


def test_ratios_are_divided_from_sums_and_reach_is_never_summed(tmp_path: Path, empty: Path) -> None:
    """dbt_ad_reporting divided before it subtracted, and dbt_facebook_ads adds reach and frequency up."""
    # In worlds with few ads nobody happens to see two of them.
    with bench(tmp_path, empty, WorldSpec(seed=3, accounts=1)) as home:
        days = home.days(38, 2)
        home.sync(days)
        period, one_day = f"(DATE '{days.since}', DATE '{days.until}')", f"(DATE '{days.until}', DATE '{days.until}')"
        ads = "SELECT account_id, date_start, sum(reach) AS sum_of_ads FROM ad_insights GROUP BY ALL"
        overlaps = home.rows(
            f"FROM account_insights JOIN ({ads}) AS s USING (account_id, date_start) WHERE sum_of_ads > reach"
        )
        assert len(overlaps) == 2
        for level in Level:
            for source in (f"{level}_report", f"{level}_summary{period}"):
                rows = home.rows(f"FROM {source}")
                assert rows
                for row in rows:
                    assert_divided(row, source)
            facts, key = f"{level}_insights", f"account_id, {level.id_field}"
            reach = f"SELECT {key}, date_start, reach FROM"
            assert home.rows(f"{reach} {level}_report EXCEPT {reach} {facts}") == []
            # Of several days nobody knows how many people they have in common.
            assert home.rows(f"FROM {level}_summary{period} WHERE reach IS NOT NULL OR frequency IS NOT NULL") == []
            counted = f"SELECT {key}, reach FROM {facts} WHERE date_start = DATE '{days.until}'"
            assert home.rows(f"SELECT {key}, reach FROM {level}_summary{one_day} EXCEPT {counted}") == []
        assert home.rows(f"FROM totals{period} WHERE reach IS NOT NULL") == []


def assert_divided(row: Row, source: str) -> None:
    """Every ratio is the quotient of what stands beside it."""
    for ratio in all_ratios():
        top, bottom = row[ratio.numerator], row[ratio.denominator]
        if top is None or not bottom:
            assert row[ratio.name] is None, (source, ratio.name)
        else:
            expected = ratio.scale * float(top) / float(bottom)
            assert row[ratio.name] == pytest.approx(expected, rel=1e-12), (source, ratio.name)


def test_a_campaigns_report_is_what_meta_counts_for_the_campaign_whatever_its_ads_add_up_to(home: Bench) -> None:
    """dbt_facebook_ads makes its report of campaigns out of rows of ads, which lack deleted ones."""
    # Nobody has ever seen it, so it cannot be recovered by its id.
    home.delete("ad", 3, NOW - timedelta(days=1))
    home.simulator.set_deleted_rows("by_id")
    days = home.days(40, 2)
    home.sync(days)
    assert_equals_truth(
        home.settings.snapshot_path, home.world, days.since, days.until, NOW, [Level.ACCOUNT, Level.CAMPAIGN]
    )
    metrics = "account_id, campaign_id, date_start, impressions, spend, reach"
    assert home.rows(f"SELECT {metrics} FROM campaign_report EXCEPT SELECT {metrics} FROM campaign_insights") == []
    (sums,) = home.rows(
        "SELECT (SELECT sum(impressions) FROM ad_report) AS ads, (SELECT sum(impressions) FROM campaign_report) AS campaigns"
    )
    assert 0 < sums["ads"] < sums["campaigns"]
    counts = home.rows(
        "SELECT status, count(*) AS n FROM reconciliation WHERE metric = 'spend' AND level = 'ad' GROUP BY ALL"
    )
    assert {row["status"]: row["n"] for row in counts} == {"equal": 2, "unexplained": 2}
