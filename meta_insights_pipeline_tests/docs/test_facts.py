"""Names and numbers that the documents take from the code."""

import re
from dataclasses import fields

import pytest

from meta_insights_pipeline.collector.collect import THREADS
from meta_insights_pipeline.collector.days import FIRST_ZONE
from meta_insights_pipeline.collector.plan import PAGE_ROWS, UNSEEN_DAYS, WHOLE_ROWS
from meta_insights_pipeline.definitions import defs
from meta_insights_pipeline.graph_api.client import Timeouts
from meta_insights_pipeline.graph_api.report_runs import PollPolicy
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import World, WorldSpec
from meta_insights_pipeline.simulator.batch import MAX_ENTRIES
from meta_insights_pipeline.simulator.days import SETTLING_HOURS, STEP_SECONDS
from meta_insights_pipeline.simulator.faults import ACTIONS, FaultRule
from meta_insights_pipeline.simulator.query import RETENTION_MONTHS
from meta_insights_pipeline.warehouse.inspection import CHECKS
from meta_insights_pipeline_tests.check_docs import ROOT

POLL, RETRY, TIMEOUTS = PollPolicy(), RetryPolicy(), Timeouts()


def words(document: str) -> str:
    """A document as one line, so that line ends do not matter."""
    return re.sub(r"\s+", " ", (ROOT / document).read_text("utf-8"))


@pytest.mark.parametrize(
    ("document", "phrase"),
    [
        ("docs/how-it-works.md", f"one page of {PAGE_ROWS} rows"),
        ("docs/how-it-works.md", f"more than {WHOLE_ROWS:,} rows"),
        ("docs/how-it-works.md", f"a range of more than {UNSEEN_DAYS} days"),
        ("docs/how-it-works.md", f"{THREADS} reports are under way at a time"),
        ("docs/how-it-works.md", f"after {POLL.first:g} s"),
        ("docs/how-it-works.md", f"at most {POLL.longest:g} s apart"),
        ("docs/how-it-works.md", f"without progress for {POLL.stalled / 60:g} minutes"),
        ("docs/how-it-works.md", f"at most {RETRY.attempts} times"),
        ("docs/how-it-works.md", f"A wait of more than {RETRY.longest_wait:g} seconds"),
        (
            "docs/how-it-works.md",
            f"wait {', '.join(f'{RETRY.first_wait * 2**n:g}' for n in range(RETRY.attempts - 1))} s",
        ),
        ("docs/how-it-works.md", f"{TIMEOUTS.connect:g} s to connect, {TIMEOUTS.silence:g} s of silence"),
        ("docs/how-it-works.md", f"{TIMEOUTS.total:g} s for a whole answer"),
        ("docs/dagster.md", f"`{FIRST_ZONE}`"),
        ("docs/simulator.md", f"every {STEP_SECONDS // 60} minutes"),
        ("docs/simulator.md", f"{SETTLING_HOURS} hours after its end"),
        ("docs/simulator.md", f"go back {RETENTION_MONTHS} months"),
        ("docs/simulator.md", f"up to {MAX_ENTRIES} calls"),
    ],
)
def test_numbers_are_those_of_the_code(document: str, phrase: str) -> None:
    assert phrase in words(document)


def test_everything_that_dagster_shows_is_described() -> None:
    text = words("docs/dagster.md")
    repository = defs().get_repository_def()
    names = {
        *(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        *(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(schedule.name for schedule in repository.schedule_defs),
        *(schedule.cron_schedule for schedule in repository.schedule_defs if isinstance(schedule.cron_schedule, str)),
        *repository.get_top_level_resources(),
        *CHECKS,
    }
    names.discard("io_manager")
    assert len(names) > 10
    assert sorted(name for name in names if f"`{name}`" not in text) == []


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
