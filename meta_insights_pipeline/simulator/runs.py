"""Report runs: the asynchronous way to an insights answer.

Belongs here: their states over time and how long results live. Does not belong here: reading rows (`results`).
A run holds its question with the recomputation step at which it was made, so that its result is a snapshot of that step
however late it is read.
"""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from meta_insights_pipeline.simulator.errors import GraphError, no_such_object, report_gone, report_not_ready
from meta_insights_pipeline.simulator.faults import FaultRule
from meta_insights_pipeline.simulator.query import InsightsQuery

LIFETIME = timedelta(days=30)
_REMEMBERED = 2 * LIFETIME
"""For how long a run is known at all; afterwards its id is unknown, so that memory does not grow with time."""
_FIRST_ID = 6_023_920_149_050_001
_STEP = 7
_BELOW_HUNDRED_POLLS = 2


@dataclass
class ReportRun:
    """One report run; `quirk` is the fault that it was made with, if any."""

    id: str
    query: InsightsQuery
    created: datetime
    begun: float
    """Real seconds, from a clock that only rises."""
    quirk: FaultRule | None
    polls_after_end: int = 0


class RunStore:
    """All report runs of a simulator; safe for threads."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._runs: dict[str, ReportRun] = {}
        self._ids = itertools.count(_FIRST_ID, _STEP)

    def create(self, query: InsightsQuery, now: datetime, quirk: FaultRule | None) -> ReportRun:
        """Start a run."""
        with self._lock:
            run = ReportRun(str(next(self._ids)), query, now, self._monotonic(), quirk)
            self._runs[run.id] = run
            # The oldest run is the first one, since they are kept in the order in which they were made.
            while now - self._runs[next(iter(self._runs))].created > _REMEMBERED:
                del self._runs[next(iter(self._runs))]
            return run

    def find(self, run_id: str) -> ReportRun | None:
        """Return a run by its id."""
        with self._lock:
            return self._runs.get(run_id)

    def status(self, run: ReportRun, now: datetime) -> dict[str, Any]:
        """Return every field of the status object."""
        self._check_visible(run)
        with self._lock:
            state, percent = self._state(run)
        ended = state in {"Job Completed", "Job Failed", "Job Skipped"}
        made = run.created.timestamp()
        # Over since it was done, however late somebody asks; whole seconds, as Meta tells it.
        done = max(made, min(now.timestamp(), made + self._seconds))
        answer: dict[str, Any] = {
            "id": run.id,
            "account_id": run.query.scope.account_id,
            "time_ref": int(made),
            "time_completed": int(done) if ended else 0,
            "async_status": state,
            "async_percent_completion": percent,
            "is_running": not ended,
            "date_start": date.fromordinal(min(first for first, _ in run.query.periods)).isoformat(),
            "date_stop": date.fromordinal(max(last for _, last in run.query.periods)).isoformat(),
        }
        if state == "Job Failed":
            answer |= _failure(run.quirk)
        return answer

    def readable(self, run: ReportRun, now: datetime) -> InsightsQuery:
        """Return the question of a run whose result may be read now; raise what Graph answers otherwise."""
        self._check_visible(run)
        if now - run.created > LIFETIME:
            raise report_gone()
        with self._lock:
            state, percent = self._state(run, poll=False)
        if state != "Job Completed" or percent < 100:
            raise report_not_ready()
        return run.query

    def _check_visible(self, run: ReportRun) -> None:
        fresh = run.quirk is not None and run.quirk.action == "fresh_run_not_found"
        if fresh and run.quirk is not None and self._monotonic() - run.begun < (run.quirk.seconds or 1.0):
            raise no_such_object(run.id)

    def _state(self, run: ReportRun, *, poll: bool = True) -> tuple[str, int]:
        passed = self._monotonic() - run.begun
        share = 1.0 if passed >= self._seconds else passed / self._seconds
        if share < 1.0:
            return _progress(share)
        quirk = run.quirk.action if run.quirk is not None else ""
        if quirk == "job_failed":
            return "Job Failed", 0
        if quirk == "job_skipped":
            return "Job Skipped", 0
        if quirk == "stuck_at_100_running":
            return "Job Running", 100
        if quirk == "completed_below_100" and run.polls_after_end < _BELOW_HUNDRED_POLLS:
            run.polls_after_end += poll
            return "Job Completed", 98
        return "Job Completed", 100


def _progress(share: float) -> tuple[str, int]:
    if share < 0.1:
        return "Job Not Started", 0
    if share < 0.2:
        return "Job Started", 0
    return "Job Running", min(99, int(share * 100))


def _failure(quirk: FaultRule | None) -> dict[str, Any]:
    """Return the error fields of a failed run."""
    error = (
        quirk.error() if quirk is not None and quirk.code is not None else GraphError("Async job failed", -2, 2490547)
    )
    return {
        "error_code": error.code,
        "error_subcode": error.subcode or 0,
        "error_message": error.message,
        "error_user_title": "The report could not be generated",
        "error_user_msg": error.message,
    }
