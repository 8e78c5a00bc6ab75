"""Breakdowns: which exist, which go together, which are gone, need an opt-in or an asynchronous report.

The list is `data/breakdowns.csv` (SDK 26.0.3), the permitted sets are `data/breakdown_rules.toml`.
"""

import csv
import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, field_validator

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.versions import removal


class Breakdown(BaseModel):
    """One breakdown of Meta's parameter `breakdowns`."""

    model_config = ConfigDict(frozen=True)

    name: str
    group: str
    level: Level
    """The highest level at which it may be asked for."""
    opt_in: str
    """The feature that the account must enable first (empty data otherwise), or nothing."""
    history_months: int
    """How far back Meta gives it."""
    removed_on: date | None
    successor: str
    async_only: bool
    """Given in asynchronous reports only."""

    @field_validator("removed_on", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


@cache
def breakdowns() -> dict[str, Breakdown]:
    """Every known breakdown by name."""
    text = files("meta_insights_pipeline.catalog").joinpath("data/breakdowns.csv").read_text("utf-8")
    return {row["name"]: Breakdown.model_validate(row) for row in csv.DictReader(text.splitlines())}


@cache
def permitted_sets() -> frozenset[frozenset[str]]:
    """The sets of breakdowns that may be asked for together, those of one included."""
    text = files("meta_insights_pipeline.catalog").joinpath("data/breakdown_rules.toml").read_text("utf-8")
    rules = tomllib.loads(text)
    given = [item for item in breakdowns().values() if item.removed_on is None]
    alone = [[item.name] for item in given if item.group != "internal" and item.name not in rules["not_alone"]]
    parts = [item.name for item in given if item.group == "asset"]
    accompanied = [[part, *others] for part in parts for others in rules["asset"]["companions"]]
    return frozenset(map(frozenset, [*(rule["breakdowns"] for rule in rules["permitted"]), *alone, *accompanied]))


def breakdown_problems(names: Iterable[str], level: Level, on: date) -> list[str]:
    """What Meta would refuse or leave empty, one sentence each; empty when there is nothing to say.

    Args:
        names: The breakdowns of one report.
        level: The report's level.
        on: The day of the request, since breakdowns are removed at known dates.
    """
    asked = tuple(names)
    known = breakdowns()
    problems = [removal("breakdown", name) or f"Meta has no breakdown {name!r}." for name in asked if name not in known]
    for name in asked:
        breakdown = known.get(name)
        if breakdown is None:
            continue
        if breakdown.removed_on is not None and on >= breakdown.removed_on:
            problems.append(f"Meta removed {name!r} on {breakdown.removed_on}; use {breakdown.successor!r}.")
        if level.depth < breakdown.level.depth:
            problems.append(f"{name!r} is not available at {level} level.")
    if asked and not problems and frozenset(asked) not in permitted_sets():
        problems.append(_not_permitted(frozenset(asked), ", ".join(f"{name!r}" for name in asked)))
    return problems


def _not_permitted(asked: frozenset[str], names: str) -> str:
    larger = sorted((sorted(other - asked) for other in permitted_sets() if asked < other), key=len)
    if larger:
        return f"Meta does not give {names} without {' and '.join(map(repr, larger[0]))}; ask for them together."
    if len(asked) == 1:
        return f"Meta does not give the breakdown {names}; leave it out."
    return f"Meta does not permit the breakdowns {names} together; make a report of each."
