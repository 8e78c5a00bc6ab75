"""What a refusal proves, and how to ask for less without cutting a row in two."""

import math
from dataclasses import replace
from datetime import date

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import Request
from meta_insights_pipeline.collector.portions import Key
from meta_insights_pipeline.collector.splitting import (
    Evidence,
    evidence,
    first_and_rest,
    halves_of_fields,
    next_level,
    set_of_entities,
)
from meta_insights_pipeline.graph_api.errors import (
    GraphApiError,
    PagingError,
    ReportHungError,
    ReportRunError,
    TransportError,
    error_from_envelope,
)

ACCOUNT = AdAccount("1", "Shop", "EUR", "Europe/Berlin")
MONTH = DayRange(date(2026, 10, 1), date(2026, 10, 31))


def refusal(code: int, subcode: int | None = None, message: str = "text", status: int = 400) -> GraphApiError:
    envelope = {"code": code, "error_subcode": subcode, "message": message}
    return error_from_envelope(envelope, http_status=status, call="GET /act_1/insights")


def request(level: Level, within: tuple[Level, tuple[str, ...]] | None = None, node: str = "") -> Request:
    (report,) = reports_of_levels([level])
    return Request(ACCOUNT, report, MONTH, direct=False, rows=31_000.0, within=within, node=node)


@pytest.mark.parametrize(
    ("error", "proof"),
    [
        (refusal(190, 463), Evidence.TOKEN),
        (refusal(100, 1487534), Evidence.TOO_LARGE),
        (refusal(1, None, "Please reduce the amount of data you're asking for", 500), Evidence.TOO_LARGE),
        (refusal(1, 99, "Please reduce the amount of data you're asking for", 500), Evidence.TOO_LARGE),
        (refusal(2, None, "Please reduce the amount of data you're asking for", 500), Evidence.TOO_LARGE),
        (refusal(-3, 1504045), Evidence.TOO_LARGE),
        (ReportHungError("no progress"), Evidence.HUNG),
        (ReportRunError("Job Failed"), Evidence.RUN),
        (PagingError("loop"), Evidence.AGAIN),
        (refusal(2642), Evidence.AGAIN),
        (refusal(80000), Evidence.LATER),
        (refusal(2, None, "down", 500), Evidence.TROUBLE),
        (refusal(1, 99, "An unknown error occurred", 500), Evidence.TROUBLE),
        (TransportError("reset"), Evidence.TROUBLE),
        (TransportError("busy", retry_after=600.0), Evidence.LATER),
        (refusal(200, None, "no", 403), Evidence.ACCOUNT),
        (refusal(100, 33), Evidence.ACCOUNT),
        (refusal(100, None, "(#100) reach is not valid for fields param"), Evidence.FIELDS),
        (refusal(100, 987_654_321), Evidence.FIELDS),
        (refusal(100, 2446289), Evidence.FINAL),
        (refusal(2, 1504041), Evidence.FIELDS),
        (refusal(3018), Evidence.FINAL),
        (refusal(2635), Evidence.FINAL),
    ],
)
def test_what_an_error_proves_follows_from_its_class_code_and_subcode(error: GraphApiError, proof: Evidence) -> None:
    assert evidence(error) is proof


def test_a_first_part_and_the_rest_are_all_the_days_once_and_share_the_expected_rows() -> None:
    first, rest = first_and_rest(request(Level.AD), 10)
    assert [first.days.count, rest.days.count] == [10, 21]
    assert [*first.days.days, *rest.days.days] == MONTH.days
    assert [first.rows, rest.rows] == pytest.approx([10_000, 21_000])
    assert not first.direct


def test_a_part_that_fits_on_a_page_is_asked_for_directly() -> None:
    small = replace(request(Level.AD), rows=31 * 40.0)
    first, rest = first_and_rest(small, 10)
    assert (first.direct, rest.direct) == (True, False)
    # What is not known stays what it was.
    unknown = replace(small, rows=math.nan)
    assert [part.direct for part in first_and_rest(unknown, 2)] == [False, False]


def test_a_set_of_entities_has_its_share_of_the_rows() -> None:
    day = replace(request(Level.AD), days=DayRange(MONTH.since, MONTH.since), rows=1000.0)
    within = (Level.CAMPAIGN, ("1", "2"))
    assert set_of_entities(day, within, 8, may_be_direct=True).direct
    asked = set_of_entities(day, within, 8, may_be_direct=False)
    assert (asked.within, asked.rows, asked.direct) == (within, 250.0, False)


def test_what_is_learned_of_a_campaign_is_not_learned_of_its_account() -> None:
    assert request(Level.AD).key == Key("1", "ad_insights")
    assert request(Level.AD, node="120").key == Key("120", "ad_insights")


def test_a_report_is_never_split_below_its_own_level_since_people_would_be_counted_twice() -> None:
    assert next_level(request(Level.ACCOUNT)) is None
    assert next_level(request(Level.CAMPAIGN)) is Level.CAMPAIGN
    assert next_level(request(Level.CAMPAIGN, (Level.CAMPAIGN, ("1",)))) is None
    assert next_level(request(Level.AD)) is Level.CAMPAIGN
    assert next_level(request(Level.AD, (Level.CAMPAIGN, ("1",)))) is Level.ADSET
    assert next_level(request(Level.AD, (Level.ADSET, ("1",)))) is Level.AD
    assert next_level(request(Level.AD, (Level.AD, ("1",)))) is None
    assert next_level(request(Level.CAMPAIGN, node="120")) is None


def test_fields_are_halved_until_one_is_left() -> None:
    assert halves_of_fields(("a", "b", "c")) == (("a", "b"), ("c",))
    assert halves_of_fields(("a",)) is None


def test_a_part_asks_for_its_own_entities_and_fields_alone() -> None:
    (report,) = reports_of_levels([Level.AD])
    part = Request(ACCOUNT, report, MONTH, direct=False, fields=("spend", "reach"), within=(Level.CAMPAIGN, ("7", "8")))
    assert part.parameters["fields"].endswith("ad_id,ad_name,spend,reach")
    assert '{"field":"campaign.id","operator":"IN","value":["7","8"]}' in part.parameters["filtering"]
    assert "ad.effective_status" in part.parameters["filtering"]
    assert "action_attribution_windows" not in part.parameters
    assert str(part) == "ad_insights of act_1, 2026-10-01 to 2026-10-31, 2 of its campaigns, 2 of its fields"
