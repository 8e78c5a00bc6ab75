"""The command `meta-insights reports`: the declared reports with what they cost, and what Meta would say to them.

Calls nobody: accounts are those of the last sync, rows a day those of the warehouse.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from meta_insights_pipeline.catalog.limits import Problem, Severity, request_problems
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange, days_back_range, newest_day, refresh_range
from meta_insights_pipeline.collector.plan import RowsADay, estimate, plan
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.inspection import rows_a_day
from meta_insights_pipeline.warehouse.state import read_only

LOAD_DAYS = 28


@dataclass(frozen=True)
class ReportLine:
    """A declared report and what it costs; calls are None while no sync has told which accounts there are."""

    report: Report
    refresh_calls: int | None
    """Calls for yesterday and today of every account."""
    load_calls: int | None
    """Calls for the last 28 days of every account."""


@dataclass(frozen=True)
class ReportCheck:
    """What Meta would say to a report over a range of days."""

    report: Report
    days: DayRange
    problems: tuple[Problem, ...]


def report_lines(settings: Settings, now: datetime) -> list[ReportLine]:
    """Every declared report."""
    accounts = AccountBook(settings.home).accounts()
    known = _rows_a_day(settings) if accounts else {}
    zones = sorted({account.timezone_name for account in accounts})
    refresh, load = refresh_range(now, zones), days_back_range(now, LOAD_DAYS - 1, zones)
    return [
        ReportLine(
            report,
            refresh_calls=_calls(accounts, report, refresh, now, known),
            load_calls=_calls(accounts, report, load, now, known),
        )
        for report in builtin_reports()
    ]


def check_reports(settings: Settings, now: datetime) -> list[ReportCheck]:
    """Ask the catalogue about every declared report, from the first day partition to today."""
    today = max((account.today(now) for account in AccountBook(settings.home).accounts()), default=newest_day(now))
    days = DayRange(min(settings.start_date, today), today)
    return [
        ReportCheck(
            report,
            days,
            tuple(request_problems(report, days.since, days.until, today=today, version=settings.graph_api_version)),
        )
        for report in builtin_reports()
    ]


def is_refused(checks: Sequence[ReportCheck]) -> bool:
    """Whether Meta would refuse any of the reports."""
    return any(problem.severity is Severity.REFUSED for check in checks for problem in check.problems)


def lines_as_text(lines: Sequence[ReportLine]) -> str:
    """For a terminal."""
    width = max(len("table"), *(len(line.report.name) for line in lines))
    shown = [f"{'table':<{width}}  {'level':<8}  {'a refresh':>9}  {f'{LOAD_DAYS} days':>8}"]
    for line in lines:
        report = line.report
        calls = f"{_shown(line.refresh_calls):>9}  {_shown(line.load_calls):>8}"
        shown.append(f"{report.name:<{width}}  {report.level.value:<8}  {calls}")
        shown += [f"    {name:<10}  {', '.join(values)}" for name, values in _parts(report).items() if values]
    unknown = any(line.refresh_calls is None for line in lines)
    note = (
        "Calls are known after the first sync." if unknown else "Numbers are calls for all accounts of the last sync."
    )
    return "\n".join([*shown, "", note])


def lines_as_json(lines: Sequence[ReportLine]) -> str:
    """For a program: one JSON object."""
    reports = [
        {
            "table": line.report.name,
            "level": line.report.level.value,
            **{name: list(values) for name, values in _parts(line.report).items()},
            "refresh_calls": line.refresh_calls,
            "load_calls": line.load_calls,
        }
        for line in lines
    ]
    return json.dumps({"reports": reports, "load_days": LOAD_DAYS})


def checks_as_text(checks: Sequence[ReportCheck]) -> str:
    """For a terminal: one line a problem, or one that there is none."""
    width = max(len(check.report.name) for check in checks)
    shown = []
    for check in checks:
        name = f"{check.report.name:<{width}}"
        shown += [f"{problem.severity.value:<7}  {name}  {problem.sentence}" for problem in check.problems]
        if not check.problems:
            shown.append(f"{'ok':<7}  {name}  Meta gives all of it, {check.days}.")
    return "\n".join(shown)


def checks_as_json(checks: Sequence[ReportCheck]) -> str:
    """For a program: one JSON object."""
    reports = [
        {
            "table": check.report.name,
            "since": check.days.since.isoformat(),
            "until": check.days.until.isoformat(),
            "problems": [
                {"severity": problem.severity.value, "sentence": problem.sentence} for problem in check.problems
            ],
        }
        for check in checks
    ]
    return json.dumps({"refused": is_refused(checks), "reports": reports})


def _rows_a_day(settings: Settings) -> RowsADay:
    if not settings.warehouse_path.exists():
        return {}
    try:
        with read_only(settings.warehouse_path) as connection:
            return rows_a_day(connection)
    except WarehouseError:
        # Costs without it are those of a first sync; what is wrong with the file is the doctor's to say.
        return {}


def _calls(accounts: Sequence[AdAccount], report: Report, days: DayRange, now: datetime, known: RowsADay) -> int | None:
    return sum(estimate(plan(accounts, [report], days, now, known)).values()) if accounts else None


def _parts(report: Report) -> Mapping[str, tuple[str, ...]]:
    return {
        "key": report.key,
        "fields": report.fields,
        "breakdowns": report.breakdowns,
        "windows": report.windows if report.action_fields else (),
    }


def _shown(calls: int | None) -> str:
    return "?" if calls is None else f"{calls:,}"
