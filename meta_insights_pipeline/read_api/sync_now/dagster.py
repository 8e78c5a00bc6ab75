"""Dagster's GraphQL: launching the job `sync_insights`, finding and reading its runs.

Nothing of Dagster is imported: its processes are others, and importing it takes a second and 100 MB.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import requests

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.read_api.errors import UnavailableError
from meta_insights_pipeline.read_api.sync_now.wanted import SyncWanted
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, entity_tables, tables

log = logging.getLogger(__name__)

JOB: Final = "sync_insights"
LOCATION: Final = "meta_insights_pipeline"
REPOSITORY: Final = "__repository__"
STEP: Final = "insights"
SINCE_TAG: Final = "dagster/asset_partition_range_start"
UNTIL_TAG: Final = "dagster/asset_partition_range_end"
DAY_TAG: Final = "dagster/partition"
BY_TAG: Final = "meta_insights/by"
REQUESTED_BY_TAG: Final = "meta_insights/requested_by"
BY: Final = "read API"
QUEUED: Final = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING")
RUNNING: Final = (*QUEUED, "STARTED")
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0
"""Of a question. Somebody waits for each, and asks again anyway."""
_LAUNCH_SECONDS = 30.0
"""Of a launch: one that was given up may have been taken all the same."""
_RETRY_SECONDS = "15"
_MOST_EVENTS = 1000
_AWAY = (
    "Dagster cannot be reached, so no sync can be started or looked at now; see that it runs (meta-insights up starts it) and "
    "that META_INSIGHTS_DAGSTER_URL leads to it."
)
_SLOW = (
    "Dagster does not answer in time, so nothing can be said of syncs now; ask again, and see how busy its webserver is at "
    "META_INSIGHTS_DAGSTER_URL."
)
_NOT_TAKEN = (
    "Dagster did not take the sync; see that the code location meta_insights_pipeline is loaded there. The log of this server "
    "tells more under the request id."
)

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_FIND = """
query Find($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 25) {
    __typename
    ... on Runs { results { runId status jobName runConfig tags { key value } assetSelection { path } } }
    ... on Error { message }
  }
}
"""
_RUN = """
query Run($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      runId status jobName creationTime startTime endTime runConfig
      tags { key value }
      assetSelection { path }
      stats { ... on RunStatsSnapshot { stepsSucceeded stepsFailed } }
    }
    ... on PythonError { message }
  }
}
"""
_FAILURE = """
query Failure($id: ID!, $limit: Int!) {
  runOrError(runId: $id) {
    ... on Run {
      eventConnection(limit: $limit) {
        events {
          ... on ExecutionStepFailureEvent { failureMetadata { description } error { message } }
          ... on RunFailureEvent { message }
        }
      }
    }
  }
}
"""
# The daemon that takes runs out of the queue.
_QUEUE_DAEMON = """
query QueueDaemon {
  instance { daemonHealth { daemonStatus(daemonType: "QUEUED_RUN_COORDINATOR") { lastHeartbeatTime } } }
}
"""


@dataclass(frozen=True)
class DagsterRun:
    """A run, as Dagster tells of it."""

    run_id: str
    status: str
    """Dagster's own word, like `STARTED`."""
    job: str
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    accounts: tuple[str, ...]
    """Ids of the ad accounts that its configuration names, without `act_`; empty for every one."""
    tables: frozenset[str]
    """Names of the assets that it is about; empty for all of the job's."""
    only_missing: bool = False
    """Whether it collects nothing but what earlier syncs could not get."""
    tags: Mapping[str, str] = field(default_factory=dict)
    steps_done: int = 0

    @property
    def is_sync(self) -> bool:
        """Whether it is a sync; one that was started from an asset's page is of a job that Dagster makes up."""
        own = {table.name for table in (*tables(), *entity_tables())}
        return self.job == JOB or bool(self.tables & own)

    @property
    def days(self) -> tuple[date, date] | None:
        """First and last day; None when its tags name none."""
        day = self.tags.get(DAY_TAG)
        since, until = self.tags.get(SINCE_TAG, day), self.tags.get(UNTIL_TAG, day)
        try:
            return None if since is None or until is None else (date.fromisoformat(since), date.fromisoformat(until))
        except ValueError:
            return None


class Dagster:
    """Dagster as the read API needs it; safe for threads. Every call may raise UnavailableError, a 503 with a remedy."""

    def __init__(self, url: str) -> None:
        """Ask nothing yet.

        Args:
            url: Where its webserver is, without `/graphql`.
        """
        self._url = f"{url}/graphql"

    def launch(self, wanted: SyncWanted, *, by: str) -> str:
        """Launch a sync; give its run's id.

        Args:
            wanted: What to bring up to date.
            by: Label of whoever asks.
        """
        data = self._ask(_LAUNCH, _LAUNCH_SECONDS, params=execution_params(wanted, by))["launchRun"]
        if data["__typename"] != "LaunchRunSuccess":
            causes = [error["message"] for error in data.get("errors", [])] or [data.get("message", "")]
            log.error("Dagster did not take a sync (%s): %s", data["__typename"], " ".join(causes)[:500])
            raise UnavailableError(_NOT_TAKEN, {"Retry-After": _RETRY_SECONDS})
        return str(data["run"]["runId"])

    def running(self, wanted: SyncWanted) -> list[str]:
        """Ids of the runs that do the same and are queued or running, whoever started them; the newest first."""
        since, until = wanted.days.since.isoformat(), wanted.days.until.isoformat()
        kinds = [[(SINCE_TAG, since), (UNTIL_TAG, until)]]
        if since == until:
            kinds.append([(DAY_TAG, since)])
        found: list[str] = []
        for tags in kinds:
            data = self._ask(
                _FIND,
                filter={
                    "tags": [{"key": key, "value": value} for key, value in tags],
                    "statuses": [one for one in RUNNING if one != "MANAGED"],
                },
            )
            runs = data["runsOrError"].get("results", [])
            found += [str(run["runId"]) for run in runs if does_the_same(parse_run(run), wanted)]
        return found

    def run(self, run_id: str) -> DagsterRun | None:
        """A run; None when there is none of this id."""
        data = self._ask(_RUN, id=run_id)["runOrError"]
        return parse_run(data) if data["__typename"] == "Run" else None

    def queue_served_at(self) -> datetime | None:
        """When (UTC) the daemon that starts queued runs last gave a sign of life; None when it never did."""
        status = self._ask(_QUEUE_DAEMON)["instance"]["daemonHealth"]["daemonStatus"]
        return _moment(status["lastHeartbeatTime"])

    def failure(self, run_id: str) -> str | None:
        """One sentence on why a run failed; None when Dagster knows none."""
        connection = self._ask(_FAILURE, id=run_id, limit=_MOST_EVENTS)["runOrError"].get("eventConnection", {})
        return failure_sentence(connection.get("events", []))

    def _ask(self, query: str, seconds: float = _READ_SECONDS, **variables: Any) -> Any:
        try:
            answer = requests.post(
                self._url,
                json={"query": query, "variables": variables},
                timeout=(_CONNECT_SECONDS, seconds),
                allow_redirects=False,
            )
            content = answer.json()
        except (requests.RequestException, ValueError) as error:
            log.warning("Dagster cannot be asked at META_INSIGHTS_DAGSTER_URL: %s.", type(error).__name__)
            sentence = _SLOW if isinstance(error, requests.ReadTimeout) else _AWAY
            raise UnavailableError(sentence, {"Retry-After": _RETRY_SECONDS}) from None
        if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
            log.error("Dagster answered %d without data: %.500s", answer.status_code, content)
            raise UnavailableError(_AWAY, {"Retry-After": _RETRY_SECONDS})
        return content["data"]


def does_the_same(run: DagsterRun, wanted: SyncWanted) -> bool:
    """Whether a run of the same days collects the same tables of the same accounts."""
    if not run.is_sync or run.only_missing or frozenset(run.accounts) != frozenset(wanted.accounts):
        return False
    return (run.tables or frozenset(_tables_of(()))) == frozenset(_tables_of(wanted.levels))


def _tables_of(levels: Sequence[Level]) -> list[str]:
    """The tables that a sync of some levels fills; of none named, all."""
    names = [*(report.name for report in reports_of_levels(levels or list(Level))), ACTIONS_TABLE]
    return names if levels else [*names, *(kind.value for kind in EntityKind)]


def execution_params(wanted: SyncWanted, by: str) -> dict[str, Any]:
    """What Dagster is told: the same as a sync on the command line, as GraphQL takes it."""
    names = _tables_of(wanted.levels)
    tags = {
        SINCE_TAG: wanted.days.since.isoformat(),
        UNTIL_TAG: wanted.days.until.isoformat(),
        BY_TAG: BY,
        REQUESTED_BY_TAG: by,
    }
    return {
        "selector": {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "jobName": JOB,
            "assetSelection": [{"path": [name]} for name in names],
        },
        "runConfigData": {"ops": {STEP: {"config": {"accounts": list(wanted.accounts), "entities_every_minutes": 0}}}},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }


def parse_run(data: Mapping[str, Any]) -> DagsterRun:
    """A run from GraphQL's form."""
    stats = data.get("stats") or {}
    return DagsterRun(
        run_id=str(data["runId"]),
        status=str(data["status"]),
        job=str(data["jobName"]),
        created_at=_moment(data.get("creationTime")),
        started_at=_moment(data.get("startTime")),
        finished_at=_moment(data.get("endTime")),
        accounts=_accounts(data.get("runConfig")),
        only_missing=bool(_config(data.get("runConfig")).get("only_missing")),
        tables=frozenset("/".join(key["path"]) for key in data.get("assetSelection") or []),
        tags={tag["key"]: tag["value"] for tag in data["tags"]},
        steps_done=int(stats.get("stepsSucceeded") or 0) + int(stats.get("stepsFailed") or 0),
    )


def failure_sentence(events: Sequence[Mapping[str, Any]]) -> str | None:
    """The words of the step that failed, or of the run; one line."""
    words = None
    for event in events:
        error, metadata = event.get("error") or {}, event.get("failureMetadata") or {}
        found = metadata.get("description") or event.get("message") or error.get("message")
        if found:
            words = " ".join(str(found).split())[:500]
        if metadata.get("description"):
            break
    return words


def _accounts(config: object) -> tuple[str, ...]:
    """The accounts that a run's configuration names; whatever cannot be read is a run of every account."""
    accounts = _config(config).get("accounts")
    return tuple(str(one) for one in accounts) if isinstance(accounts, list) else ()


def _config(config: object) -> Mapping[str, object]:
    """What a run's configuration says of the sync; nothing when it cannot be read."""
    for name in ("ops", STEP, "config"):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
