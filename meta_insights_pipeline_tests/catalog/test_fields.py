"""The insights fields, and the metrics that are computed from them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from meta_insights_pipeline.catalog.fields import Kind, Unit, insights_field, insights_fields, ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.catalog import sdk


def test_every_field_of_metas_sdk_is_known_and_marked_as_such() -> None:
    assert {name for name, field in insights_fields().items() if field.listed == "sdk"} == sdk.FIELDS


def test_every_other_field_comes_from_the_reference_page() -> None:
    others = [field for name, field in insights_fields().items() if name not in sdk.FIELDS]
    assert others
    assert {field.listed for field in others} == {"reference"}


def test_the_names_of_fields_are_names_of_columns() -> None:
    for name, field in insights_fields().items():
        assert field.name == name
        assert name.isidentifier()
        assert name == name.lower()


def test_an_unknown_field_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        insights_field("nonsense")


def test_fields_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        insights_field("spend").additive = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        insights_fields()["spend"] = insights_field("reach")  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "kind", "unit", "additive"),
    [
        ("spend", Kind.NUMBER, Unit.MONEY, True),
        ("impressions", Kind.NUMBER, Unit.COUNT, True),
        ("clicks", Kind.NUMBER, Unit.COUNT, True),
        ("inline_link_clicks", Kind.NUMBER, Unit.COUNT, True),
        ("actions", Kind.ACTIONS, Unit.COUNT, True),
        ("action_values", Kind.ACTIONS, Unit.MONEY, True),
        ("conversions", Kind.ACTIONS, Unit.COUNT, True),
        ("conversion_values", Kind.ACTIONS, Unit.MONEY, True),
        ("outbound_clicks", Kind.ACTIONS, Unit.COUNT, True),
        ("video_thruplay_watched_actions", Kind.ACTIONS, Unit.COUNT, True),
        # A person is counted once, in a day or a month, by one ad or by ten.
        ("reach", Kind.NUMBER, Unit.COUNT, False),
        ("full_view_reach", Kind.NUMBER, Unit.COUNT, False),
        ("unique_clicks", Kind.NUMBER, Unit.COUNT, False),
        ("unique_actions", Kind.ACTIONS, Unit.COUNT, False),
        ("estimated_ad_recallers", Kind.NUMBER, Unit.COUNT, False),
        ("frequency", Kind.NUMBER, Unit.RATIO, False),
        ("ctr", Kind.NUMBER, Unit.RATIO, False),
        ("cpc", Kind.NUMBER, Unit.RATIO, False),
        ("cpm", Kind.NUMBER, Unit.RATIO, False),
        ("cpp", Kind.NUMBER, Unit.RATIO, False),
        ("cost_per_action_type", Kind.ACTIONS, Unit.RATIO, False),
        ("purchase_roas", Kind.ACTIONS, Unit.RATIO, False),
        ("quality_ranking", Kind.TEXT, Unit.NONE, False),
        ("objective", Kind.TEXT, Unit.NONE, False),
        ("results", Kind.RESULTS, Unit.NONE, False),
        ("video_play_curve_actions", Kind.HISTOGRAM, Unit.NONE, False),
        ("date_start", Kind.TEXT, Unit.DATE, False),
        ("account_id", Kind.TEXT, Unit.NONE, False),
    ],
)
def test_what_may_be_summed_is_known(name: str, kind: Kind, unit: Unit, additive: bool) -> None:
    field = insights_field(name)
    assert (field.kind, field.unit, field.additive) == (kind, unit, additive)


def test_nothing_but_counts_and_money_may_be_summed() -> None:
    for field in insights_fields().values():
        if field.additive:
            assert field.unit in (Unit.COUNT, Unit.MONEY), field.name
            assert field.kind in (Kind.NUMBER, Kind.ACTIONS), field.name


@pytest.mark.parametrize(
    "part", ["unique_", "cost_per_", "_rate", "roas", "_ctr", "reach", "avg", "average", "estimated_"]
)
def test_nothing_that_is_called_unique_or_a_rate_may_be_summed(part: str) -> None:
    found = [field for name, field in insights_fields().items() if part in name]
    assert found
    assert [field.name for field in found if field.additive] == []


def test_ids_and_names_are_texts_so_that_no_digit_is_lost() -> None:
    for name in Level.AD.identity_fields:
        assert insights_field(name).kind is Kind.TEXT


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("account_name", Level.ACCOUNT),
        ("spend", Level.ACCOUNT),
        ("actions", Level.ACCOUNT),
        ("objective", Level.CAMPAIGN),
        ("campaign_name", Level.CAMPAIGN),
        ("attribution_setting", Level.ADSET),
        ("adset_id", Level.ADSET),
        ("quality_ranking", Level.AD),
        ("ad_name", Level.AD),
    ],
)
def test_a_field_knows_from_which_level_on_it_is_given(name: str, level: Level) -> None:
    assert insights_field(name).level is level


# ---- ratios ----

# As in an answer of Meta.
NUMBERS = {"impressions": "1532", "reach": "1210", "clicks": "41", "spend": "12.4"}


def test_the_usual_ratios_are_offered() -> None:
    assert [ratio.name for ratio in ratios()] == ["ctr", "cpc", "cpm", "cpp", "frequency"]


def test_ratios_are_made_of_numbers_and_are_none_themselves() -> None:
    for ratio in ratios():
        assert insights_field(ratio.name).unit is Unit.RATIO
        for name in (ratio.numerator, ratio.denominator):
            assert insights_field(name).kind is Kind.NUMBER
            assert insights_field(name).unit in (Unit.COUNT, Unit.MONEY)
        assert ratio.description == insights_field(ratio.name).description != ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ctr", "2.676240"), ("cpc", "0.302439"), ("cpm", "8.093995"), ("frequency", "1.266116"), ("cpp", "10.247934")],
)
def test_ratios_are_computed_as_meta_does(name: str, expected: str) -> None:
    row = {name: Decimal(number) for name, number in NUMBERS.items()}
    (ratio,) = [ratio for ratio in ratios() if ratio.name == name]
    computed = ratio.scale * row[ratio.numerator] / row[ratio.denominator]
    assert round(computed, 6) == Decimal(expected)
