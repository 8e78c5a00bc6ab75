"""Versions of the Marketing API: when each came and ends, and which fields and breakdowns came and went with it.

`data/api_versions.csv` is Meta's own table as of October 2026; insights follow the Marketing API's dates, which are earlier
than those of the Graph API. `data/version_changes.csv` compares Meta's SDKs of neighbouring versions: what was removed since
v23.0, and what came with the newest one. An SDK is what Meta's generator knew, not a promise of the server.
"""

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator


class ApiVersion(BaseModel):
    """One version of the Marketing API."""

    model_config = ConfigDict(frozen=True)

    name: str
    """As it stands in addresses, for example `v26.0`."""
    released: date
    ends_on: date | None
    """The first day on which it no longer answers; None until Meta announces one."""

    @field_validator("ends_on", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    def is_alive(self, on: date) -> bool:
        """Whether it answers on a day."""
        return self.released <= on and (self.ends_on is None or on < self.ends_on)

    def days_left(self, on: date) -> int | None:
        """Days until its end, 0 or less once it is there; None while the end is not announced."""
        return None if self.ends_on is None else (self.ends_on - on).days


class Change(BaseModel):
    """A name that came or went with a version."""

    model_config = ConfigDict(frozen=True)

    version: str
    change: Literal["added", "removed"]
    kind: Literal["field", "breakdown"]
    name: str
    successor: str
    """The breakdown to ask for instead, or nothing."""


@cache
def api_versions() -> Mapping[str, ApiVersion]:
    """The known versions by name, the oldest first."""
    return MappingProxyType({row["name"]: ApiVersion.model_validate(row) for row in _rows("api_versions")})


@cache
def version_changes() -> Mapping[tuple[str, str], Change]:
    """What came and went, by kind and name."""
    changes = (Change.model_validate(row) for row in _rows("version_changes"))
    return MappingProxyType({(change.kind, change.name): change for change in changes})


def version_number(name: str) -> tuple[int, int]:
    """A version as numbers that can be compared.

    Raises:
        ValueError: It is not of the form `v26.0`.
    """
    major, _, minor = name.removeprefix("v").partition(".")
    return int(major), int(minor)


def live_versions(on: date) -> tuple[ApiVersion, ...]:
    """The versions that answer on a day, the oldest first."""
    return tuple(version for version in api_versions().values() if version.is_alive(on))


def is_retired(name: str, on: date) -> bool:
    """Whether a version no longer answers on a day; one that is newer than all known ones does."""
    known = api_versions().get(name)
    if known is None:
        return version_number(name) < version_number(next(iter(api_versions())))
    return known.ends_on is not None and on >= known.ends_on


def answering_version(name: str, on: date) -> str:
    """The version that answers when this one is asked for: Meta upgrades a call to a retired one to the next live one."""
    if not is_retired(name, on):
        return name
    asked = version_number(name)
    return next((live.name for live in live_versions(on) if version_number(live.name) > asked), name)


def retirement(name: str, on: date) -> str | None:
    """The sentence about a version that no longer answers, or None."""
    if not is_retired(name, on):
        return None
    known, live = api_versions().get(name), live_versions(on)
    ended = f"on {known.ends_on}" if known else "long ago"
    remedy = f"; set META_GRAPH_API_VERSION to {live[-1].name}" if live else ""
    return (
        f"Version {name} of the Marketing API ended {ended}; a later one answers in its place, and its numbers may be "
        f"others{remedy}."
    )


def removal(kind: str, name: str) -> str | None:
    """The sentence about a field or breakdown that Meta has removed, or None."""
    change = version_changes().get((kind, name))
    if change is None or change.change != "removed":
        return None
    remedy = f"use the breakdown {change.successor!r}" if change.successor else "leave it out"
    return f"Meta removed the {kind} {name!r} with {change.version}; {remedy}."


def not_yet(kind: str, name: str, version: str) -> str | None:
    """The sentence about a field or breakdown that a version does not have yet, or None."""
    change = version_changes().get((kind, name))
    if change is None or change.change != "added" or version_number(version) >= version_number(change.version):
        return None
    return (
        f"The {kind} {name!r} came with {change.version}, but {version} answers; "
        f"set META_GRAPH_API_VERSION to {change.version} or leave it out."
    )


def _rows(name: str) -> Iterable[dict[str, str]]:
    text = files("meta_insights_pipeline.catalog").joinpath(f"data/{name}.csv").read_text("utf-8")
    return csv.DictReader(text.splitlines())
