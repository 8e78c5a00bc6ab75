"""Reading pages into typed rows: what is absent, what comes in parts, and what cannot be a row."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.catalog.fields import ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.collect import Collected
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.fetching import Part
from meta_insights_pipeline.collector.plan import Request
from meta_insights_pipeline.collector.report_book import Purchase
from meta_insights_pipeline.collector.rows import ActionRow, InsightRow, UnreadableRowsError, read_rows

ACCOUNT = AdAccount("1", "Shop", "EUR", "Europe/Berlin")
DAYS = DayRange(date(2026, 3, 1), date(2026, 3, 2))
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 13, tzinfo=UTC)
ROW = {
    "account_id": "1",
    "account_name": "Shop",
    "account_currency": "EUR",
    "campaign_id": "120",
    "campaign_name": "Sale",
    "objective": "OUTCOME_SALES",
    "date_start": "2026-03-01",
    "date_stop": "2026-03-01",
    "impressions": "1000",
    "clicks": "20",
    "spend": "12.4",
    "reach": "800",
    "inline_link_clicks": "15",
}


class Pages:
    """Writes pages and makes of them what the collector would give."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.parts: list[Part] = []

    def add(self, *pages: object, fields: tuple[str, ...] | None = None, at: datetime = AT) -> "Pages":
        """A part with these pages; text is written as it stands."""
        files: list[Path] = []
        for page in pages:
            file = self._folder / f"{len(self.parts)}-{len(files)}.json"
            file.write_text(page if isinstance(page, str) else json.dumps(page), "utf-8")
            files.append(file)
        purchase = Purchase(len(self.parts), asynchronous=False, ended=False, asked_at=at, complete=True)
        self.parts.append(Part(purchase, tuple(files), fields))
        return self

    def rows(self, level: Level = Level.CAMPAIGN, node: str = "") -> list[InsightRow]:
        """What is read from them."""
        (report,) = reports_of_levels([level])
        return read_rows(Collected(Request(ACCOUNT, report, DAYS, direct=True, node=node), tuple(self.parts)))


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path)


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name not in names} | more


def test_a_row_has_every_value_in_its_type(pages: Pages) -> None:
    actions = [{"action_type": "purchase", "value": "2", "1d_click": "1", "7d_click": "2"}]
    (row,) = pages.add([{**ROW, "actions": actions}]).rows()
    assert row == InsightRow(
        level=Level.CAMPAIGN,
        account_id="1",
        account_name="Shop",
        account_currency="EUR",
        campaign_id="120",
        campaign_name="Sale",
        date_start=date(2026, 3, 1),
        objective="OUTCOME_SALES",
        impressions=1000,
        clicks=20,
        spend=Decimal("12.40"),
        reach=800,
        inline_link_clicks=15,
        actions=(ActionRow("actions", "purchase", Decimal(2), {"1d_click": Decimal(1), "7d_click": Decimal(2)}),),
        collected_at=AT,
    )
    assert row.entity_id == "120"


def test_rates_are_computed_from_the_row_for_every_rate_of_the_catalogue(pages: Pages) -> None:
    (row,) = pages.add([ROW]).rows()
    rates = {ratio.name: getattr(row, ratio.name) for ratio in ratios()}
    assert rates == {"ctr": 2.0, "cpc": 0.62, "cpm": 12.4, "cpp": 15.5, "frequency": 1.25}


def test_a_rate_without_a_denominator_is_none(pages: Pages) -> None:
    (row,) = pages.add([without("clicks", "reach")]).rows()
    assert (row.ctr, row.cpc, row.cpp, row.frequency) == (0.0, None, None, None)


def test_a_count_that_is_left_out_is_zero_and_people_that_are_left_out_are_unknown(pages: Pages) -> None:
    (row,) = pages.add([without("clicks", "spend", "reach", "inline_link_clicks", "objective", impressions="")]).rows()
    assert (row.impressions, row.clicks, row.spend, row.inline_link_clicks) == (0, 0, Decimal(0), 0)
    assert (row.reach, row.objective, row.attribution_setting) == (None, None, None)
    assert row.withheld_fields == ()


def test_numbers_that_are_no_text_keep_every_digit(pages: Pages) -> None:
    (row,) = pages.add(
        '[{"account_id": "1", "campaign_id": "120", "date_start": "2026-03-01", "spend": 0.1, "clicks": 3}]'
    ).rows()
    assert (row.spend, row.clicks) == (Decimal("0.1"), 3)


def test_rows_of_all_pages_come_by_day_and_entity(pages: Pages) -> None:
    second, third = {**ROW, "campaign_id": "121"}, {**ROW, "date_start": "2026-03-02"}
    rows = pages.add([third, second], [], [ROW]).rows()
    assert [(row.date_start.day, row.campaign_id) for row in rows] == [(1, "120"), (1, "121"), (2, "120")]


def test_a_row_that_came_on_two_pages_is_one_row(pages: Pages) -> None:
    row = {**ROW, "actions": [{"action_type": "like", "value": "1"}]}
    (found,) = pages.add([row], [row]).rows()
    assert len(found.actions) == 1


def test_a_row_that_came_in_parts_of_its_fields_is_joined_and_as_old_as_the_oldest_part(pages: Pages) -> None:
    lists = {"actions": [{"action_type": "like", "value": "1"}], "conversions": [{"action_type": "lead", "value": "3"}]}
    pages.add(
        [without("reach", "spend")], fields=("objective", "impressions", "clicks", "inline_link_clicks"), at=LATER
    )
    pages.add([{**without("impressions", "clicks"), **lists}], fields=("spend", "reach", "actions"))
    (row,) = pages.rows()
    assert (row.impressions, row.clicks, row.spend, row.reach, row.objective) == (
        1000,
        20,
        Decimal("12.4"),
        800,
        "OUTCOME_SALES",
    )
    # What was not asked for is not taken, even if it came.
    assert [action.field for action in row.actions] == ["actions"]
    assert row.withheld_fields == (
        "action_values",
        "conversions",
        "conversion_values",
        "outbound_clicks",
        "video_thruplay_watched_actions",
    )
    assert row.collected_at == AT


def test_what_one_part_lacks_of_a_row_is_unknown_and_named_and_never_zero(pages: Pages) -> None:
    (report,) = reports_of_levels([Level.CAMPAIGN])
    rest = tuple(name for name in report.fields if name != "clicks")
    pages.add([without("clicks"), without("clicks", campaign_id="121")], fields=rest)
    pages.add([{**ROW, "clicks": "20"}], fields=("clicks",))
    whole, lacking = pages.rows()
    assert (whole.clicks, whole.withheld_fields) == (20, ())
    assert (lacking.clicks, lacking.ctr, lacking.withheld_fields) == (None, None, ("clicks",))


def test_every_window_of_an_action_is_kept_whether_it_is_known_or_not(pages: Pages) -> None:
    actions = [
        {"action_type": "purchase", "value": "", "1d_view": "", "90d_click": "4", "action_device": "desktop", "x": [1]},
        {"value": "7"},
        {"action_type": "purchase", "value": "9"},
    ]
    (row,) = pages.add([{**ROW, "actions": actions, "action_values": None}]).rows()
    assert row.actions == (ActionRow("actions", "purchase", None, {"90d_click": Decimal(4)}),)


@pytest.mark.parametrize("level", Level)
def test_a_row_of_each_level_has_its_own_id_and_those_above(pages: Pages, level: Level) -> None:
    ids = {"campaign_id": "120", "adset_id": "130", "ad_id": "140"}
    (row,) = pages.add([{**ROW, **ids, "adset_name": "Set", "ad_name": "Ad"}]).rows(level)
    known = set(level.identity_fields)
    assert {name for name in ids if getattr(row, name) is not None} == known & set(ids)
    assert row.entity_id == {"account_id": "1", **ids}[level.id_field]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("[{", "a page cannot be read"),
        ('{"data": 1}', "a page cannot be read"),
        ("7", "a page cannot be read"),
        ([without("campaign_id")], "not asked for .campaign None of account 1"),
        ([{**ROW, "account_id": "2"}], "not asked for .campaign 120 of account 2"),
        ([{**ROW, "campaign_id": "121"}], "not asked for .campaign 121"),
        ([{**ROW, "date_start": "2026-03-03"}], "not asked for .*2026-03-03"),
        ([{**ROW, "date_start": "2026-03-1x"}], "2026-03-1x"),
        ([without("date_start")], "a page cannot be read"),
        ([{**ROW, "spend": "much"}], "'much' is no number"),
        ([{**ROW, "spend": "NaN"}], "'NaN' is no number"),
        ([{**ROW, "clicks": "1.5"}], "clicks is '1.5', which is no count"),
        ([{**ROW, "actions": [{"action_type": "like", "7d_click": "many"}]}], "'many' is no number"),
        ([{**ROW, "actions": ["like"]}], "a page cannot be read"),
    ],
)
def test_what_cannot_be_a_row_that_was_asked_for_is_refused_with_its_reason(
    pages: Pages, page: object, reason: str
) -> None:
    pages.add(page)
    with pytest.raises(UnreadableRowsError, match=rf"campaign_insights of 120, 2026-03-01 to 2026-03-02: .*{reason}"):
        pages.rows(node="120")
