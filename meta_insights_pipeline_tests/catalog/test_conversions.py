"""Conversions: one action type an event, whatever is configured."""

import pytest

from meta_insights_pipeline.catalog.conversions import ConversionError, choices, conversion_ratios, events
from meta_insights_pipeline.catalog.fields import Kind, Unit, insights_field
from meta_insights_pipeline.catalog.reports import ACTION_LISTS
from meta_insights_pipeline.simulator.metrics import ACTION_SPECS


def chosen(*parts: str) -> dict[str, str]:
    """Action types by event."""
    return {choice.event.name: choice.action_type for choice in choices(parts)}


def test_every_event_has_one_default_type_and_its_own_columns() -> None:
    found = choices()
    assert [choice.event.name for choice in found] == list(events())
    assert all(choice.action_type == choice.event.action_type and choice.window is None for choice in found)
    columns = [name for event in events().values() for name in (event.counts, event.values) if name]
    assert len(columns) == len(set(columns))


def test_the_fields_of_events_are_lists_that_the_built_in_reports_collect() -> None:
    for event in events().values():
        for field, unit in ((event.count_field, Unit.COUNT), (event.value_field, Unit.MONEY)):
            if field is not None:
                assert field in ACTION_LISTS, event.name
                assert insights_field(field).kind is Kind.ACTIONS
                assert insights_field(field).unit is unit
        assert (event.values is None) == (event.value_field is None)


def test_no_default_type_is_one_of_its_own_overlaps() -> None:
    for event in events().values():
        assert event.action_type not in event.overlaps
        assert len(set(event.overlaps)) == len(event.overlaps)


def test_all_names_under_which_one_purchase_is_listed_are_known_to_overlap() -> None:
    purchase = events()["purchase"]
    names = {spec.action_type for spec in ACTION_SPECS if spec.field == "actions" and spec.source == "purchase"}
    assert len(names) == 3
    assert names <= {purchase.action_type, *purchase.overlaps}


def test_the_names_of_the_simulators_other_events_are_known_to_overlap_too() -> None:
    for source in ("add_to_cart", "initiate_checkout", "view_content", "lead", "contact", "schedule"):
        event = events()[source]
        names = {
            spec.action_type
            for spec in ACTION_SPECS
            if spec.source == source and spec.kind == "count" and spec.field == event.count_field
        }
        assert names <= {event.action_type, *event.overlaps}, source


def test_a_configured_type_takes_the_place_of_the_default_and_the_default_then_overlaps() -> None:
    parts = ("purchase=offsite_conversion.fb_pixel_purchase", " lead = onsite_conversion.lead_grouped ")
    assert chosen(*parts) == chosen() | {
        "purchase": "offsite_conversion.fb_pixel_purchase",
        "lead": "onsite_conversion.lead_grouped",
    }
    purchase = choices(parts)[0]
    assert purchase.value_column == "value"
    assert "omni_purchase" in purchase.overlaps
    assert purchase.action_type not in purchase.overlaps


def test_a_window_chooses_the_column_that_is_counted() -> None:
    (purchase, *_) = choices(["purchase=omni_purchase@7d_click"])
    assert (purchase.action_type, purchase.value_column) == ("omni_purchase", "value_7d_click")


def test_a_custom_conversion_can_count_an_event() -> None:
    assert chosen("lead=offsite_conversion.custom.123")["lead"] == "offsite_conversion.custom.123"


def test_the_same_choice_twice_is_one() -> None:
    assert chosen("lead=lead", "lead=lead") == chosen()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["purchases=omni_purchase"], "'purchases' is no event; the events are purchase, lead"),
        (["purchase"], "write it like purchase=omni_purchase"),
        (["purchase="], "write it like purchase=omni_purchase"),
        (["=omni_purchase"], "write it like purchase=omni_purchase"),
        (["purchase=a=b"], "with one action type"),
        (["purchase=omni_purchase", "purchase=purchase"], "would count events twice"),
        (["purchase=omni_purchase", "purchase=omni_purchase@1d_click"], "name one action type an event"),
        (["purchase=omni_purchase@7d_view"], "'7d_view' of purchase is no attribution window that is collected"),
        (["purchase=omni_purchase@"], "'' of purchase is no attribution window"),
    ],
)
def test_a_wrong_choice_is_one_sentence_with_the_remedy(parts: list[str], said: str) -> None:
    with pytest.raises(ConversionError) as caught:
        choices(parts)
    assert said in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


def test_roas_and_cpa_come_from_the_event_purchase() -> None:
    purchase = events()["purchase"]
    roas, cpa = conversion_ratios()
    assert (roas.numerator, roas.denominator) == (purchase.values, "spend")
    assert (cpa.numerator, cpa.denominator) == ("spend", purchase.counts)
