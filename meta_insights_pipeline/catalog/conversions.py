"""Conversions: which action type counts each event, so that no event is counted twice.

Meta lists one purchase under several action types (`omni_purchase`, `purchase`, `offsite_conversion.fb_pixel_purchase` and
more). An event is counted by exactly one of them. The events are `data/conversions.toml`; the user may choose another type.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from meta_insights_pipeline.catalog.fields import Ratio
from meta_insights_pipeline.catalog.windows import default_windows, windows

VALUE = "value"
"""The number under the ad set's own attribution setting."""


class ConversionError(ValueError):
    """A choice that cannot be used; the message is one sentence with the remedy."""


class Event(BaseModel):
    """Something that people do because of ads, and where Meta counts it."""

    model_config = ConfigDict(frozen=True)

    name: str
    counts: str
    """The column of the reports with how often it happened."""
    values: str | None = None
    """The column of the reports with the money that it brought."""
    count_field: str
    """The insights field that lists the counts by action type."""
    value_field: str | None = None
    """The insights field that lists the money by action type."""
    action_type: str
    """By which it is counted unless the user chooses another."""
    overlaps: tuple[str, ...]
    """Types that count the same events, wholly or in part, and are never to be added to the chosen one."""
    description: str


class Choice(BaseModel):
    """By which action type, and within which attribution window, an event is counted."""

    model_config = ConfigDict(frozen=True)

    event: Event
    action_type: str
    window: str | None = None
    """None: the ad set's own attribution setting."""

    @property
    def value_column(self) -> str:
        """The column of `insight_actions` that holds the number."""
        return VALUE if self.window is None else windows()[self.window].column

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Known types that are never to be added to the chosen one."""
        family = (self.event.action_type, *self.event.overlaps)
        return tuple(name for name in family if name != self.action_type)


@cache
def events() -> Mapping[str, Event]:
    """Every event by name."""
    text = files("meta_insights_pipeline.catalog").joinpath("data/conversions.toml").read_text("utf-8")
    found = {name: Event(name=name, **values) for name, values in tomllib.loads(text).items()}
    return MappingProxyType(found)


@cache
def known_action_types() -> frozenset[str]:
    """The action types that this program knows to count some event."""
    return frozenset(name for event in events().values() for name in (event.action_type, *event.overlaps))


@cache
def conversion_ratios() -> tuple[Ratio, ...]:
    """The metrics that are computed from conversions."""
    return (
        Ratio(
            name="roas",
            numerator="purchase_value",
            denominator="spend",
            scale=1,
            description="Return on ad spend: purchase value per unit of money spent.",
        ),
        Ratio(
            name="cpa",
            numerator="spend",
            denominator="purchases",
            scale=1,
            description="Cost per action: money spent per purchase.",
        ),
    )


def choices(parts: Iterable[str] = ()) -> tuple[Choice, ...]:
    """How every event is counted.

    Args:
        parts: What differs from the defaults, each `event=action_type` or `event=action_type@window`.

    Raises:
        ConversionError: An event that is not known or is named twice, no action type, or a window that is not collected.
    """
    chosen: dict[str, Choice] = {}
    for part in parts:
        choice = _choice(part)
        earlier = chosen.setdefault(choice.event.name, choice)
        if earlier != choice:
            raise ConversionError(
                f"{choice.event.name} is to be counted by {_text(earlier)} and by {_text(choice)}, which would count events "
                "twice; name one action type an event."
            )
    return tuple(
        chosen.get(event.name, Choice(event=event, action_type=event.action_type)) for event in events().values()
    )


def unseen_choices(chosen: Iterable[Choice], seen: Collection[str]) -> tuple[str, ...]:
    """A sentence on each choice of an action type that nobody knows: a mistyped one counts nothing, and says nothing.

    Args:
        chosen: How events are counted.
        seen: The action types that ever came.
    """
    return tuple(
        f"META_INSIGHTS_CONVERSIONS counts {choice.event.name} by {choice.action_type}, which has not been seen: "
        f"{choice.event.counts} are 0 until it comes. If it is mistyped, correct it; pipeline.drift names the action types that "
        "came."
        for choice in chosen
        if choice.action_type not in known_action_types() and choice.action_type not in seen
    )


def _choice(part: str) -> Choice:
    name, equals, counted = (piece.strip() for piece in part.partition("="))
    action_type, at, window = (piece.strip() for piece in counted.partition("@"))
    if not (name and equals and action_type) or "=" in counted:
        raise ConversionError(
            f"{part.strip()!r} is no choice of a conversion; write it like purchase=omni_purchase, with one action type."
        )
    if name not in events():
        raise ConversionError(f"{name!r} is no event; the events are {', '.join(events())}.")
    if at and window not in default_windows():
        raise ConversionError(
            f"{window!r} of {name} is no attribution window that is collected; those are {', '.join(default_windows())}."
        )
    return Choice(event=events()[name], action_type=action_type, window=window or None)


def _text(choice: Choice) -> str:
    return choice.action_type + (f"@{choice.window}" if choice.window else "")
