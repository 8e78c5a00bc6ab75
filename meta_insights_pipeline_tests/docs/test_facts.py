"""Names and numbers that the documents take from the code."""

import inspect
import json
import re
from dataclasses import fields
from datetime import date, timedelta

import pytest

from meta_insights_pipeline.catalog.limits import earliest_day
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collection import Plan
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.collect import (
    CALLS_AT_ONCE,
    IN_FLIGHT,
    MOST_PATIENCE,
    PATIENCE,
    TRY_AGAIN_AFTER,
    TRY_HARD_AGAIN_AFTER,
)
from meta_insights_pipeline.collector.days import FIRST_ZONE, DayRange, cluster
from meta_insights_pipeline.collector.entities import (
    CHANGED_PARENTS_AT_MOST,
    HEAVY_PAGE_OBJECTS,
    PAGE_OBJECTS,
    REFUSED_CREATIVES_AT_MOST,
    UNLISTED_CREATIVES_AT_MOST,
)
from meta_insights_pipeline.collector.lessons import FIRST_QUARANTINE, LONGEST_QUARANTINE
from meta_insights_pipeline.collector.plan import PAGE_ROWS, PART_ROWS, UNSEEN_DAYS, WHOLE_ROWS, Request
from meta_insights_pipeline.collector.portions import FIRST_PAUSE, LONGEST_PAUSE
from meta_insights_pipeline.collector.report_book import FRESH_ANSWER, REPORT_LIVES, UNFINISHED_REPORT
from meta_insights_pipeline.collector.turns import LATE_CALLS_AT_ONCE
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.defs.assets import INSIGHTS_CHECKS, SyncConfig
from meta_insights_pipeline.defs.sensors import resume_missing_sensor
from meta_insights_pipeline.gaps import DEFERRED, FAILED, REFUSED, UNAVAILABLE
from meta_insights_pipeline.graph_api.batch import MAX_ENTRIES as MOST_CALLS_OF_A_BATCH
from meta_insights_pipeline.graph_api.client import Timeouts
from meta_insights_pipeline.graph_api.pacing import (
    FIRST_HOLD,
    HELD_FROM,
    LONGEST_HOLD,
    PACED_FROM,
    UNKNOWN_AT_ONCE,
    pace_seconds,
)
from meta_insights_pipeline.graph_api.report_runs import PollPolicy
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.harvest import COMPLETE, PARTIAL
from meta_insights_pipeline.logs import FIELDS
from meta_insights_pipeline.plan_report import PlanReport
from meta_insights_pipeline.receipt import Missing, Refused, Withheld
from meta_insights_pipeline.reports_command import LOAD_DAYS
from meta_insights_pipeline.simulator import World, WorldSpec
from meta_insights_pipeline.simulator.batch import MAX_ENTRIES
from meta_insights_pipeline.simulator.days import SETTLING_HOURS, STEP_SECONDS
from meta_insights_pipeline.simulator.faults import ACTIONS, FaultRule
from meta_insights_pipeline.simulator.query import RETENTION_MONTHS
from meta_insights_pipeline.warehouse.entity_checks import CHECKS as ENTITY_CHECKS
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS
from meta_insights_pipeline.warehouse.inspection import LEVEL_CHECKS
from meta_insights_pipeline.warehouse.schema import tables
from meta_insights_pipeline.warehouse.staging import BYTES_AT_ONCE
from meta_insights_pipeline_tests.check_docs import ROOT, section, table_rows

POLL, RETRY, TIMEOUTS = PollPolicy(), RetryPolicy(), Timeouts()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WORKS, DATA, DAGSTER, COMMANDS = "docs/how-it-works.md", "docs/data.md", "docs/dagster.md", "docs/commands.md"
TODAY = date(2026, 11, 23)
FIRST_DAY = earliest_day(builtin_reports()[0], TODAY)
HISTORY_MONTHS = (TODAY.year - FIRST_DAY.year) * 12 + TODAY.month - FIRST_DAY.month
ENTITIES_EVERY = SyncConfig.model_fields["entities_every_minutes"].default
GAP_DAYS = inspect.signature(cluster).parameters["gap_days"].default


def words(document: str) -> str:
    """A document as one line, so that line ends do not matter."""
    return re.sub(r"\s+", " ", (ROOT / document).read_text("utf-8"))


@pytest.mark.parametrize(
    ("document", "phrase"),
    [
        # The plan.
        (WORKS, f"insights of the last {HISTORY_MONTHS} months"),
        (WORKS, f"one page of {PAGE_ROWS} rows"),
        (WORKS, f"more than {WHOLE_ROWS:,} rows"),
        (WORKS, f"of about {PART_ROWS:,} rows each"),
        (WORKS, f"a range of more than {UNSEEN_DAYS} days"),
        (WORKS, f"a short range ({UNSEEN_DAYS} days or fewer)"),
        (COMMANDS, f"not been seen, for more than {UNSEEN_DAYS} days"),
        (COMMANDS, f"the last {LOAD_DAYS} days"),
        # Reports.
        (WORKS, f"{IN_FLIGHT} reports are under way at a time"),
        (WORKS, f"At most {CALLS_AT_ONCE} calls are made at once"),
        (WORKS, f"after {POLL.first:g} s"),
        (WORKS, f"then after {POLL.second:g} s"),
        (WORKS, f"at most {POLL.longest:g} s apart"),
        (WORKS, f"in one of {LATE_CALLS_AT_ONCE} turns"),
        (WORKS, f"without progress for {POLL.stalled / 60:g} minutes"),
        (WORKS, f"no progress for {POLL.stalled / 60:g} minutes"),
        (WORKS, f"{BYTES_AT_ONCE / 1e6:g} MB of pages at a time"),
        # What Meta refuses.
        (
            WORKS,
            f"after {FIRST_PAUSE / DAY:g} day, then after twice as long each time, at most after {LONGEST_PAUSE / DAY:g} days",
        ),
        (WORKS, f"tried again after {FIRST_QUARANTINE / DAY:g} day, then after twice as long each time"),
        (WORKS, f"at most after {LONGEST_QUARANTINE / DAY:g} days"),
        (DATA, f"tried again after {FIRST_QUARANTINE / DAY:g} day, then after twice as long each time"),
        (DATA, f"at most after {LONGEST_QUARANTINE / DAY:g} days"),
        (WORKS, f"asked for again {TRY_HARD_AGAIN_AFTER / HOUR:g} hours later"),
        (DATA, f"| {TRY_HARD_AGAIN_AFTER / HOUR:g} hours later;"),
        # Budgets.
        (WORKS, f"at most {UNKNOWN_AT_ONCE} calls are under way until the first answer"),
        (WORKS, f"| below {PACED_FROM:g} percent | goes at once |"),
        (WORKS, f"| from {PACED_FROM:g} percent | waits {pace_seconds(PACED_FROM):g} s, growing to"),
        (WORKS, f"growing to {pace_seconds(HELD_FROM):g} s |"),
        (WORKS, f"| at {HELD_FROM:g} percent, or refused |"),
        (WORKS, f"for {FIRST_HOLD:g} s, doubling each time up to {LONGEST_HOLD / 60:g} minutes"),
        (WORKS, f"A hold of up to {RETRY.longest_block:g} s"),
        (WORKS, f"up to {RETRY.longest_block:g} s: waited for inside the call"),
        (WORKS, f"ends within {PATIENCE.total_seconds():g} seconds, and for {MOST_PATIENCE / MINUTE:g} minutes in all"),
        (WORKS, f"A call waits {RETRY.longest_queue:g} s at most for room"),
        # What was bought.
        (WORKS, f"| a direct answer | {FRESH_ANSWER / MINUTE:g} minutes;"),
        (WORKS, f"days that were all over when it was asked for | {REPORT_LIVES / DAY:g} days;"),
        (WORKS, f"with a day that was not over | {UNFINISHED_REPORT / HOUR:g} hours;"),
        # Entities.
        (WORKS, f"{ENTITIES_EVERY} minutes ago"),
        (DAGSTER, f"| `entities_every_minutes` | `{ENTITIES_EVERY}` |"),
        (WORKS, f"{PAGE_OBJECTS} objects a call, {HEAVY_PAGE_OBJECTS} for ads with creatives"),
        (WORKS, f"more than {CHANGED_PARENTS_AT_MOST} such parents"),
        (WORKS, f"up to {MOST_CALLS_OF_A_BATCH} in one request"),
        (WORKS, f"{UNLISTED_CREATIVES_AT_MOST} a day are asked for in turn"),
        (WORKS, f"After {REFUSED_CREATIVES_AT_MOST} of them"),
        # Errors.
        (WORKS, f"at most {RETRY.attempts} times"),
        (WORKS, f"a wait of more than {RETRY.longest_wait:g} seconds"),
        (WORKS, f"wait {', '.join(f'{RETRY.first_wait * 2**n:g}' for n in range(RETRY.attempts - 1))} s"),
        (WORKS, f"asked for again {TRY_AGAIN_AFTER / MINUTE:g} minutes later"),
        (DATA, f"{TRY_AGAIN_AFTER / MINUTE:g} minutes later where Meta names no time"),
        (WORKS, f"{TIMEOUTS.connect:g} s to connect, {TIMEOUTS.silence:g} s of silence"),
        (WORKS, f"{TIMEOUTS.total:g} s for a whole answer"),
        # Dagster and the warehouse.
        (DAGSTER, f"looks every {resume_missing_sensor.minimum_interval_seconds} seconds"),
        (DAGSTER, f"those at most {GAP_DAYS} days before"),
        (DATA, f"the {KEEP_ALL_DAYS} days before the present one"),
        (DAGSTER, f"`{FIRST_ZONE}`"),
        ("docs/simulator.md", f"every {STEP_SECONDS // 60} minutes"),
        ("docs/simulator.md", f"{SETTLING_HOURS} hours after its end"),
        ("docs/simulator.md", f"go back {RETENTION_MONTHS} months"),
        ("docs/simulator.md", f"up to {MAX_ENTRIES} calls"),
    ],
)
def test_numbers_are_those_of_the_code(document: str, phrase: str) -> None:
    assert phrase in words(document)


def named(names: set[str], text: str | None) -> list[str]:
    """The names that a text does not have in backticks."""
    assert names
    assert text is not None
    return sorted(name for name in names if f"`{name}`" not in text)


def test_everything_that_dagster_shows_is_described() -> None:
    repository = defs().get_repository_def()
    names = {
        *(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        *(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(schedule.name for schedule in repository.schedule_defs),
        *(schedule.cron_schedule for schedule in repository.schedule_defs if isinstance(schedule.cron_schedule, str)),
        *(sensor.name for sensor in repository.sensor_defs),
        *repository.get_top_level_resources(),
        *INSIGHTS_CHECKS,
        *LEVEL_CHECKS,
        *ENTITY_CHECKS,
        *SyncConfig.model_fields,
    }
    names.discard("io_manager")
    assert len(names) > 20
    assert named(names, words(DAGSTER)) == []


def test_every_kind_of_call_and_every_key_of_a_part_of_the_receipt_is_described() -> None:
    part = section((ROOT / COMMANDS).read_text("utf-8"), "### The receipt")
    sources = [
        file for room in ("graph_api", "collector") for file in (ROOT / "meta_insights_pipeline" / room).glob("*.py")
    ]
    kinds = {kind for file in sources for kind in re.findall(r'\bkind="([a-z_]+)"', file.read_text("utf-8"))}
    assert len(kinds) > 6
    assert named(kinds, part) == []
    keys = {key for model in (Missing, Refused, Withheld) for key in model.model_fields}
    assert named(keys, part) == []


def test_every_key_of_a_plan_is_described() -> None:
    days = DayRange(TODAY, TODAY)
    account = AdAccount("1", "Shop", "EUR", "Europe/Berlin")
    request = Request(account, builtin_reports()[0], days, direct=True, rows=1.0)
    report = PlanReport(days, Plan((request,), {"account": 1}), accounts=(account,), spent=1, budgets=())
    plan = json.loads(json.dumps(report.as_json()))
    part = section((ROOT / COMMANDS).read_text("utf-8"), "## `meta-insights plan`")
    assert named({*plan, *plan["reports"][0], *plan["account_costs"][0]}, part) == []


def test_every_field_of_a_log_line_is_described() -> None:
    part = section((ROOT / COMMANDS).read_text("utf-8"), "### The log")
    assert part is not None
    assert [name for name in FIELDS if name not in table_rows(part)] == []


def test_every_state_of_a_sync_and_every_kind_of_what_is_missing_is_described() -> None:
    states = section((ROOT / WORKS).read_text("utf-8"), "## What a sync comes to")
    kinds = section((ROOT / DATA).read_text("utf-8"), "### What is missing")
    assert states is not None
    assert kinds is not None
    assert set(table_rows(states)) == {COMPLETE, PARTIAL, FAILED}
    assert set(table_rows(kinds)) == {DEFERRED, FAILED, REFUSED, UNAVAILABLE}


def test_every_macro_is_described() -> None:
    assert named({f"{table.name}_as_of(ts)" for table in tables()}, words(DATA)) == []


def test_every_fault_is_described() -> None:
    text = words("docs/simulator.md")
    names = {*ACTIONS, *(item.name for item in fields(FaultRule))}
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_the_accounts_of_the_simulated_world_are_those_described() -> None:
    found = re.search(r"The first eight are in (.*?); then", words("docs/simulator.md"))
    assert found
    described = re.findall(r"([\w ]+?) \(([A-Z]{3})\)", found[1].replace(" and ", ", ").replace("São", "Sao"))
    accounts = World(WorldSpec(accounts=9)).accounts
    expected = [(account.timezone_name.split("/")[1].replace("_", " "), account.currency) for account in accounts]
    assert [(city.strip(), currency) for city, currency in described] == expected[:8]
    assert expected[8] == expected[0]
