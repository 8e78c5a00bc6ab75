"""What Meta would say to a request before a call is spent: which reports it refuses, leaves empty or cuts short, and why.

The rules are `data/limits.toml`, the tables of breakdowns and windows, and `versions`. Which days a report may be asked for
is decided here too, for whoever plans.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict

from meta_insights_pipeline.catalog.breakdowns import breakdowns
from meta_insights_pipeline.catalog.fields import Kind, insights_fields
from meta_insights_pipeline.catalog.reports import Report, impossibilities
from meta_insights_pipeline.catalog.versions import answering_version, not_yet
from meta_insights_pipeline.catalog.windows import windows

# Meta does not say in which time zone it counts the months.
SLACK = timedelta(days=1)


class Severity(StrEnum):
    """What becomes of a request; the worst first."""

    REFUSED = "refused"
    """Meta answers with an error, whatever part of the range is asked for."""
    CLAMPED = "clamped"
    """Meta answers for a part of the range only, and refuses the whole: ask for the part (see `clamp`)."""
    EMPTY = "empty"
    """Meta answers without an error, and some or all of what was asked for is not there or is 0."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request."""

    severity: Severity
    sentence: str
    """What Meta would do and what to do about it."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _History(_Rule):
    """Fields that go back less far once there is a breakdown."""

    fields: tuple[str, ...]
    months: int
    effect: Severity


class _Loss(_Rule):
    """Fields that a breakdown takes away."""

    breakdowns: tuple[str, ...]
    lost: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    effect: Severity
    how: str


class _Need(_Rule):
    """Fields that come only with one of some breakdowns."""

    fields: tuple[str, ...]
    breakdowns: tuple[str, ...]


class _Limits(_Rule):
    history_months: int
    history: tuple[_History, ...]
    loss: tuple[_Loss, ...]
    needs: tuple[_Need, ...]


def request_problems(
    report: Report, since: date, until: date, *, today: date, version: str, direct: bool = False
) -> list[Problem]:
    """What Meta would refuse, cut short or leave empty, the worst first; empty when there is nothing to say.

    Args:
        report: What is asked for.
        since: First account day.
        until: Last account day.
        today: The account's own day.
        version: The version of the Marketing API that is asked for, for example `v26.0`.
        direct: Whether the answer is asked for at once and not as an asynchronous report.
    """
    problems = [
        *_refusals(report, today, version, direct=direct),
        *_range_problems(report, since, until, today),
        *_old_days(report, since, today),
        *_losses(report),
        *_empty(report, today),
    ]
    order = list(Severity)
    return sorted(dict.fromkeys(problems), key=lambda problem: order.index(problem.severity))


def earliest_day(report: Report, today: date) -> date:
    """The first day that Meta gives for a report, with a day of slack.

    37 months back, 13 for hourly breakdowns and for unique counts with any breakdown, 6 for `frequency_value`.

    Args:
        report: What is asked for.
        today: The account's own day.
    """
    return _first_day(_months(report), today)


def clamp(report: Report, since: date, until: date, *, today: date) -> tuple[date, date] | None:
    """The part of a range of days that Meta gives for a report, or None when there is none.

    Args:
        report: What is asked for.
        since: First account day.
        until: Last account day.
        today: The account's own day; later ones have not begun.
    """
    first, last = max(since, earliest_day(report, today)), min(until, today)
    return (first, last) if first <= last else None


def is_async_only(report: Report) -> bool:
    """Whether Meta gives a report only asynchronously."""
    return bool(_async_only(report))


def _refusals(report: Report, today: date, version: str, *, direct: bool) -> Iterator[Problem]:
    for sentence in impossibilities(report, today):
        yield Problem(Severity.REFUSED, sentence)
    answers = answering_version(version, today)
    asked = [*(("field", name) for name in report.fields), *(("breakdown", name) for name in report.breakdowns)]
    for kind, name in asked:
        if (too_new := not_yet(kind, name, answers)) is not None:
            yield Problem(Severity.REFUSED, too_new)
    known = insights_fields()
    if unlisted := [name for name in report.fields if name in known and known[name].listed != "sdk"]:
        yield Problem(
            Severity.REFUSED,
            f"Meta's SDK no longer has {_list(unlisted)}, which only an old page of its reference names; leave it out.",
        )
    if direct and (late := _async_only(report)):
        yield Problem(
            Severity.REFUSED,
            f"Meta gives the breakdown {_list(late)} only as an asynchronous report; do not ask for it directly.",
        )


def _range_problems(report: Report, since: date, until: date, today: date) -> Iterator[Problem]:
    first, months = earliest_day(report, today), _months(report)
    why = f"{months} months" + (", error 3018" if months == _limits().history_months else "")
    if since > until:
        yield Problem(Severity.REFUSED, f"The range begins on {since}, after its end on {until}; swap them.")
    elif until < first:
        yield Problem(
            Severity.REFUSED, f"Meta gives this report from {first} on ({why}); {until} and earlier days are gone."
        )
    elif since < first:
        yield Problem(
            Severity.CLAMPED, f"Meta gives this report from {first} on ({why}), not from {since}; begin then."
        )
    if since > today:
        yield Problem(Severity.EMPTY, f"No day of the range has begun in the ad account, where it is {today}; wait.")


def _old_days(report: Report, since: date, today: date) -> Iterator[Problem]:
    if not report.breakdowns:
        return
    for rule in _limits().history:
        names = _matching(report.fields, rule.fields)
        first = _first_day(rule.months, today)
        given = max(since, earliest_day(report, today))
        if rule.effect is Severity.EMPTY and names and given < first:
            yield Problem(
                Severity.EMPTY,
                f"With breakdowns Meta leaves {_list(names)} empty before {first} ({rule.months} months); "
                "take older days from a report without breakdowns.",
            )


def _losses(report: Report) -> Iterator[Problem]:
    known = insights_fields()
    metrics = [name for name in report.fields if name in known and known[name].kind is not Kind.TEXT]
    for rule in _limits().loss:
        causes = _matching(report.breakdowns, rule.breakdowns)
        kept = _matching(metrics, rule.kept)
        lost = _matching(metrics, rule.lost) if rule.lost else [name for name in metrics if name not in kept]
        if causes and lost:
            how = rule.how.format(fields=_list(lost))
            yield Problem(rule.effect, f"With {_list(causes)} {how}; take that from a report without this breakdown.")


def _empty(report: Report, today: date) -> Iterator[Problem]:
    known_windows, known_breakdowns = windows(), breakdowns()
    for name in report.windows:
        window = known_windows.get(name)
        if window and window.empty_since and today >= window.empty_since and _has_actions(report):
            yield Problem(
                Severity.EMPTY,
                f"Meta accepts the window {name!r} and leaves it empty since {window.empty_since}; "
                f"use {window.successor!r}.",
            )
    for name in report.breakdowns:
        breakdown = known_breakdowns.get(name)
        if breakdown and breakdown.opt_in:
            yield Problem(
                Severity.EMPTY,
                f"Meta answers {name!r} without rows until the ad account has opted in to the feature "
                f"{breakdown.opt_in!r}; switch it on with POST act_<id>/insights/feature-settings, which may take a day.",
            )
    for need in _limits().needs:
        names = _matching(report.fields, need.fields)
        if names and not _matching(report.breakdowns, need.breakdowns):
            yield Problem(
                Severity.EMPTY,
                f"Meta gives {_list(names)} only broken down by {' or '.join(need.breakdowns)}; add one of them.",
            )


@cache
def _limits() -> _Limits:
    text = files("meta_insights_pipeline.catalog").joinpath("data/limits.toml").read_text("utf-8")
    values: dict[str, Any] = tomllib.loads(text)
    return _Limits.model_validate(values)


def _months(report: Report) -> int:
    """How many months back a report goes."""
    known = breakdowns()
    months = [_limits().history_months]
    months += [known[name].history_months for name in report.breakdowns if name in known]
    if report.breakdowns:
        months += [
            rule.months
            for rule in _limits().history
            if rule.effect is Severity.REFUSED and _matching(report.fields, rule.fields)
        ]
    return min(months)


def _first_day(months: int, today: date) -> date:
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    # The 31st of a month that has 30 days may be taken for its last day or for the next month's first: the later is safe.
    return date(year, month + 1, 1) + timedelta(days=today.day - 1) + SLACK


def _has_actions(report: Report) -> bool:
    known = insights_fields()
    return any(known[name].kind is Kind.ACTIONS for name in report.fields if name in known)


def _async_only(report: Report) -> list[str]:
    known = breakdowns()
    return [name for name in report.breakdowns if name in known and known[name].async_only]


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"{name!r}" for name in names)
