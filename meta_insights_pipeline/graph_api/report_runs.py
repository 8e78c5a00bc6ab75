"""Asynchronous reports: submit one, wait until it is ready. Their rows are read with `paging`."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meta_insights_pipeline.graph_api.client import GraphApi, InvalidAnswerError, read_object
from meta_insights_pipeline.graph_api.errors import (
    GraphApiError,
    NotFoundError,
    ReportHungError,
    ReportRunError,
    RetryableError,
    error_from_envelope,
)

STATUS_FIELDS = (
    "async_status,async_percent_completion,is_running,time_ref,time_completed,"
    "error_code,error_subcode,error_message,error_user_title,error_user_msg"
)
# Right after its creation a run may be unknown to the machine that answers.
_BIRTH_SECONDS = 60.0
# Meta gives both ends of a run in whole seconds.
_WHOLE_SECOND = 1.0


@dataclass(frozen=True)
class PollPolicy:
    """How often to ask for a run's status, and when to give it up; all in seconds."""

    first: float = 1.0
    """Before the first question, when it is not known how long such runs take: a run of a few seconds then shows progress."""
    second: float = 30.0
    """Before the second one, when the first brought no progress: each question is a call, and a run takes up to an hour."""
    least: float = 0.2
    longest: float = 120.0
    stalled: float = 900.0
    """Without any progress for so long, the run counts as hung."""

    @property
    def longest_guess(self) -> float:
        """The longest first wait, however long runs took before: a run may fail at once."""
        return self.stalled / 2


@dataclass(frozen=True)
class RunStatus:
    """What Meta says about a run."""

    status: str
    percent: int
    raw: Mapping[str, Any]

    @property
    def is_ready(self) -> bool:
        """Both signals must agree: either was seen to come before the other."""
        return self.status == "Job Completed" and self.percent == 100

    @property
    def has_failed(self) -> bool:
        """The run will give no rows."""
        return self.status in ("Job Failed", "Job Skipped")

    @property
    def seconds(self) -> float | None:
        """How long the run took, in Meta's own words, up to a second more or less; None when it does not say."""
        began, ended = self.raw.get("time_ref"), self.raw.get("time_completed")
        is_told = isinstance(began, int) and isinstance(ended, int) and 0 < began <= ended
        return float(ended - began) if is_told else None  # type: ignore[operator]


@dataclass(frozen=True)
class Ready:
    """A run that can be read."""

    asked: int
    """How often its status was asked for."""
    seconds: float
    """How long it took at most, as far as can be told."""
    is_told: bool = False
    """Whether Meta says so; otherwise it may have been ready long before it was asked for."""


def submit(api: GraphApi, node: str, parameters: Mapping[str, str], *, account: str | None = None) -> str:
    """Start a report on an account or object.

    Args:
        api: The session.
        node: For example `act_1`.
        parameters: As of the synchronous call, without paging.
        account: Whose budget the call is charged to.

    Returns:
        The id of the run.
    """
    return api.post(f"{node}/insights", parameters, kind="report_submit", read=_read_run_id, account=account)


def _read_run_id(body: bytes) -> str:
    run_id = read_object(body).get("report_run_id")
    if not run_id:
        raise InvalidAnswerError("the answer holds no report_run_id")
    return str(run_id)


def _read_status(body: bytes) -> RunStatus:
    answer = read_object(body)
    if "async_status" not in answer:
        raise InvalidAnswerError("the answer holds no async_status")
    try:
        percent = int(answer.get("async_percent_completion") or 0)
    except (TypeError, ValueError):
        raise InvalidAnswerError("the answer's async_percent_completion is no number") from None
    return RunStatus(str(answer["async_status"]), percent, answer)


def wait_until_ready(
    api: GraphApi,
    run_id: str,
    policy: PollPolicy | None = None,
    *,
    account: str | None = None,
    began: float | None = None,
    expected: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Ready:
    """Ask for a run's status until it is completed at 100 percent.

    Args:
        api: The session.
        run_id: The run.
        policy: How often to ask.
        account: Whose budget the calls are charged to.
        began: When it was submitted, by the same clock; just now when left out.
        expected: Seconds that such runs took before; None when that is not known.
        sleep: Waits.
        clock: Seconds that move as `sleep` waits.

    Raises:
        GraphApiError: The run failed, in the class of the error that Meta gives for it; ReportRunError when that error would
            pass or there is none, or the run was skipped; ReportHungError when it makes no progress.
    """
    policy = policy or PollPolicy()
    moved = clock()
    began = moved if began is None else min(began, moved)
    percent = -1
    wait = first_wait(moved - began, expected, policy)
    for asked in itertools.count(1):
        sleep(wait)
        # An id that is not known may only be too new.
        status = _status(api, run_id, account, young=clock() - began < _BIRTH_SECONDS)
        has_moved = False
        if status is not None:
            if status.is_ready:
                elapsed, told = clock() - began, status.seconds
                if told is None:
                    return Ready(asked, elapsed)
                return Ready(asked, min(elapsed, told + _WHOLE_SECOND), is_told=True)
            if status.has_failed:
                raise _failure(api, run_id, status)
            if has_moved := status.percent != percent:
                percent, moved = status.percent, clock()
        if clock() - moved > policy.stalled:
            raise ReportHungError(
                f"Report run {run_id} made no progress for {policy.stalled:.0f} s "
                f"(last at {max(percent, 0)} %, {status.status if status else 'unknown'})."
            )
        wait = next_wait(clock() - began, percent, wait, policy, moved=has_moved)
    raise AssertionError("counting never ends")


def first_wait(elapsed: float, expected: float | None, policy: PollPolicy) -> float:
    """How long to wait before the first question.

    Args:
        elapsed: Seconds since the run was submitted.
        expected: Seconds that such runs took before; None when that is not known.
        policy: Bounds.
    """
    if expected is None:
        return policy.first
    return min(max(expected - elapsed, policy.least), policy.longest_guess)


def next_wait(elapsed: float, percent: int, last_wait: float, policy: PollPolicy, *, moved: bool = True) -> float:
    """How long to wait before the next question: until the run should be done, judged by its own progress.

    Args:
        elapsed: Seconds since the run was submitted.
        percent: Its progress; below 1 nothing can be judged.
        last_wait: The wait before.
        policy: Bounds.
        moved: Whether there was any progress since the question before; without, the wait doubles.
    """
    if percent < 1:
        wait = max(2 * last_wait, policy.second)
    elif moved:
        # At 100 percent it should be done at once.
        wait = elapsed * max(100 - percent, 0) / percent + policy.least
    else:
        wait = 2 * last_wait
    return min(max(wait, policy.least), policy.longest)


def _status(api: GraphApi, run_id: str, account: str | None, *, young: bool) -> RunStatus | None:
    try:
        return api.get(run_id, {"fields": STATUS_FIELDS}, kind="report_poll", read=_read_status, account=account)
    except NotFoundError:
        if young:
            return None
        raise


def _failure(api: GraphApi, run_id: str, status: RunStatus) -> GraphApiError:
    code = status.raw.get("error_code")
    if not code:
        return ReportRunError(f"Report run {run_id} ended as {status.status!r} and Meta gives no cause.")
    envelope = {
        "code": code,
        "error_subcode": status.raw.get("error_subcode"),
        "message": api.redact(str(status.raw.get("error_message") or "no message")),
    }
    error = error_from_envelope(envelope, http_status=200, call=f"report run {run_id}")
    if isinstance(error, RetryableError):
        # The same run will not come to life again, however passing its trouble was.
        return ReportRunError(error.message, code=error.code, subcode=error.subcode, remedy=error.remedy)
    return error
