"""Reports: the unit from which request, table, key and asset are made.

A report says what to ask Meta for once a day and entity. The four built-in ones are the levels themselves; they ask for
what cannot be derived, and leave out what can (ctr, cpc, cpm, cpp, frequency: see `fields.ratios`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from meta_insights_pipeline.catalog.breakdowns import breakdown_problems
from meta_insights_pipeline.catalog.fields import Field, Kind, insights_field, insights_fields
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.versions import removal
from meta_insights_pipeline.catalog.windows import default_windows, windows


class Report(BaseModel):
    """What is collected per day: a level, the fields, and how they are split and attributed.

    Raises:
        ValueError: A field, window or breakdown that Meta does not have at this level.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    """Name of the table and of the Dagster asset."""
    level: Level
    fields: tuple[str, ...]
    breakdowns: tuple[str, ...] = ()
    windows: tuple[str, ...]
    description: str = ""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        problems = impossibilities(self, date.today())  # noqa: DTZ011 - a retirement date has no zone
        if problems:
            raise ValueError(f"report {self.name}: " + " ".join(problems))
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that make a row unique."""
        entity = () if self.level is Level.ACCOUNT else (self.level.id_field,)
        return ("account_id", *entity, "date_start", *self.breakdowns)

    @property
    def column_fields(self) -> tuple[Field, ...]:
        """The fields with one value a row, in the order of the table's columns."""
        names = (*self.level.identity_fields, "date_start", *self.fields)
        fields = (insights_field(name) for name in dict.fromkeys(names))
        return tuple(field for field in fields if field.kind in (Kind.TEXT, Kind.NUMBER))

    @property
    def action_fields(self) -> tuple[Field, ...]:
        """The fields that are lists by action type; their values go to `insight_actions`."""
        return tuple(field for name in self.fields if (field := insights_field(name)).kind is Kind.ACTIONS)

    def request_parameters(
        self,
        since: date,
        until: date,
        *,
        fields: Sequence[str] | None = None,
        within: tuple[Level, Sequence[str]] | None = None,
    ) -> Mapping[str, str]:
        """The parameters of Meta's insights call for a range of account days, both inclusive, one row a day.

        The filter names every status, since Meta leaves rows of deleted entities out otherwise.

        Args:
            since: First day.
            until: Last day.
            fields: Only these of the report's fields; ids and names always come.
            within: Only what belongs to the entities with these ids, of this level.
        """
        wanted = [name for name in self.fields if fields is None or name in fields]
        asked = dict.fromkeys((*self.level.identity_fields, *wanted))
        parameters = {
            "level": self.level.value,
            "fields": ",".join(asked),
            "time_range": _compact({"since": since.isoformat(), "until": until.isoformat()}),
            "time_increment": "1",
        }
        if any(insights_field(name).kind is Kind.ACTIONS for name in wanted):
            parameters["action_attribution_windows"] = _compact(list(self.windows))
        if self.breakdowns:
            parameters["breakdowns"] = ",".join(self.breakdowns)
        rules: list[dict[str, object]] = []
        if statuses := self.level.effective_statuses:
            rules.append(_is_in(f"{self.level.value}.effective_status", statuses))
        if within is not None:
            rules.append(_is_in(f"{within[0].value}.id", within[1]))
        if rules:
            parameters["filtering"] = _compact(rules)
        return parameters


def impossibilities(report: Report, on: date) -> list[str]:
    """Why Meta would refuse a report whatever days it is asked for, one sentence each; what else to know: `limits`.

    Args:
        report: The report, valid or not.
        on: The day of the request, since breakdowns are removed at known dates.
    """
    known = insights_fields()
    problems = [
        removal("field", name) or f"Meta has no insights field {name!r}." for name in report.fields if name not in known
    ]
    problems += [
        f"{name!r} is not available at {report.level} level."
        for name in report.fields
        if name in known and known[name].level.depth > report.level.depth
    ]
    problems += [f"Meta has no attribution window {name!r}." for name in report.windows if name not in windows()]
    return problems + breakdown_problems(report.breakdowns, report.level, on)


METRICS = ("impressions", "clicks", "spend", "reach", "inline_link_clicks")
ACTION_LISTS = (
    "actions",
    "action_values",
    "conversions",
    "conversion_values",
    "outbound_clicks",
    "video_thruplay_watched_actions",
)
_ATTRIBUTES = {
    Level.ACCOUNT: (),
    Level.CAMPAIGN: ("objective",),
    Level.ADSET: ("objective", "attribution_setting"),
    Level.AD: ("objective", "attribution_setting"),
}
_NOUNS = {Level.ACCOUNT: "ad account", Level.CAMPAIGN: "campaign", Level.ADSET: "ad set", Level.AD: "ad"}


@cache
def builtin_reports() -> tuple[Report, ...]:
    """The reports that every installation has: one a level, named as its table."""
    return tuple(
        Report(
            name=f"{level.value}_insights",
            level=level,
            fields=(*_ATTRIBUTES[level], *METRICS, *ACTION_LISTS),
            windows=default_windows(),
            description=f"One row a day and {_NOUNS[level]} that delivered, deleted and archived ones included.",
        )
        for level in Level
    )


def reports_of_levels(levels: Iterable[Level]) -> tuple[Report, ...]:
    """The built-in reports of some levels, from the account down."""
    wanted = set(levels)
    return tuple(report for report in builtin_reports() if report.level in wanted)


def _is_in(field: str, values: Sequence[str]) -> dict[str, object]:
    return {"field": field, "operator": "IN", "value": list(values)}


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
