"""What Meta knows of, whether or not the simulator has data for it; everything else is refused as Meta would.

Belongs here: the sets of accepted names, read from the catalogue. Does not belong here: what is computed (`metrics`).
"""

import functools

from meta_insights_pipeline.catalog.breakdowns import breakdowns
from meta_insights_pipeline.catalog.fields import insights_fields
from meta_insights_pipeline.catalog.windows import windows

ACTION_BREAKDOWNS = (
    "action_type",
    "action_device",
    "action_destination",
    "action_target_id",
    "action_reaction",
    "action_video_sound",
    "action_video_type",
    "action_carousel_card_id",
    "action_carousel_card_name",
    "action_canvas_component_name",
    "conversion_destination",
    "standard_event_content_type",
    "signal_source_bucket",
    "matched_persona_id",
    "matched_persona_name",
    "is_business_ai_assisted",
)


_MORE_WINDOWS = (
    "default",
    "custom",
    "incrementality_all_conversions",
    "incrementality_first_conversion",
    "1d_sequenced",
    "7d_sequenced",
    "28d_sequenced",
    "7d_view_all_conversions",
    "7d_view_first_conversion",
    "28d_view_all_conversions",
    "28d_view_first_conversion",
    "skan_click_second_postback",
    "skan_click_third_postback",
    "skan_view_second_postback",
    "skan_view_third_postback",
)


@functools.cache
def known_fields() -> frozenset[str]:
    """Return every insights field of Meta's SDK; one without data here is simply absent from rows."""
    return frozenset(name for name, field in insights_fields().items() if field.listed == "sdk")


@functools.cache
def known_breakdowns() -> tuple[str, ...]:
    """Return every value of the parameter `breakdowns` that has not been removed."""
    return tuple(sorted(name for name, breakdown in breakdowns().items() if breakdown.removed_on is None))


@functools.cache
def known_windows() -> tuple[str, ...]:
    """Return every value of the parameter `action_attribution_windows` that is accepted, with or without data."""
    return (*windows(), *(name for name in _MORE_WINDOWS if name not in windows()))
