"""Attribution windows: how long after which touch an action is counted for an ad."""

import csv
from datetime import date
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, field_validator


class Window(BaseModel):
    """One attribution window, named as Meta's parameter `action_attribution_windows` takes it."""

    model_config = ConfigDict(frozen=True)

    name: str
    touch: str
    days: int | None
    daily_default: bool
    """Asked for by the built-in reports."""
    empty_since: date | None
    """Accepted by Meta, but without data, from this day on."""
    successor: str
    """What to ask for instead of an empty one."""
    description: str

    @field_validator("days", "empty_since", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def column(self) -> str:
        """Its column in `insight_actions`."""
        return f"value_{self.name}"


@cache
def windows() -> dict[str, Window]:
    """Every known window by name."""
    text = files("meta_insights_pipeline.catalog").joinpath("data/windows.csv").read_text("utf-8")
    return {row["name"]: Window.model_validate(row) for row in csv.DictReader(text.splitlines())}


@cache
def default_windows() -> tuple[str, ...]:
    """The windows that every built-in report asks for; each has a column of its own in `insight_actions`."""
    return tuple(name for name, window in windows().items() if window.daily_default)
