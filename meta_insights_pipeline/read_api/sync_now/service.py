"""Launching a sync once, however often and from however many processes it is asked for; and what is told of a sync."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from filelock import FileLock, Timeout

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.life import is_dead, work_folder
from meta_insights_pipeline.progress import PROGRESS_FILE
from meta_insights_pipeline.read_api.access.audit import DONE, FAILED, REFUSED, SYNC, AuditLog
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.errors import ApiError, NotFoundError, UnavailableError
from meta_insights_pipeline.read_api.receipts import (
    ReceiptFiles,
    is_seen,
    own_receipt,
    own_state,
    touched_accounts,
)
from meta_insights_pipeline.read_api.sync_now.dagster import BY_TAG, QUEUED, Dagster, DagsterRun
from meta_insights_pipeline.read_api.sync_now.key_book import IdempotencyKeys, Kept
from meta_insights_pipeline.read_api.sync_now.models import Progress, State, SyncNowRequest, SyncStatus
from meta_insights_pipeline.read_api.sync_now.wanted import SyncWanted, sync_wanted
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings

log = logging.getLogger(__name__)

ASKED: Final = "asked"
"""Outcome in the audit log of what is about to be launched; the entry after it, of the same request, says what became of it."""
# No longer than somebody waits for a place to ask for a sync at all.
_LOCK_SECONDS = 10.0
_RETRY_SECONDS = "5"
# All levels are collected by one step.
_STEPS = 1
_STATES: dict[str, State] = {
    "STARTED": "running",
    "CANCELING": "canceling",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "CANCELED": "canceled",
    **dict.fromkeys(QUEUED, "queued"),
}
_STATES_OF_RECEIPTS: dict[str, State] = {"complete": "succeeded", "partial": "partial"}
_FAILED_SOMEHOW = "The sync failed for a reason that is not about your ad accounts alone."
_DIED = "The process of this sync has ended without a word (killed, or out of memory)."
# It gives one every 30 s.
_SIGN_OF_LIFE_WITHIN = timedelta(minutes=2)
_NOBODY_STARTS_IT = (
    "It waits in Dagster's queue, and Dagster's daemon, which would start it, gives no sign of life; start dagster-daemon run "
    "beside the webserver (meta-insights up runs both)."
)


class OtherBodyError(ApiError):
    """422: an Idempotency-Key that was used for another sync."""

    status: ClassVar[int] = 422


@dataclass(frozen=True)
class Launched:
    """A sync that was asked for."""

    run_id: str
    is_new: bool
    wanted: SyncWanted


class SyncService:
    """Syncs as the read API knows them; safe for threads and processes."""

    def __init__(
        self,
        settings: Settings,
        dagster: Dagster,
        audit: AuditLog,
        keys: IdempotencyKeys,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._dagster = dagster
        self._audit = audit
        self._keys = keys
        self._now = now
        self._receipts = ReceiptFiles(settings)

    def launch(self, request: SyncNowRequest, principal: Principal, *, key: str | None, request_id: str) -> Launched:
        """Start a sync, unless it is queued or running, or was started under the same key.

        Args:
            request: What is asked for.
            principal: Who asks.
            key: The Idempotency-Key; None without one.
            request_id: Id of the HTTP request, for the audit log.

        Raises:
            UnusableSyncError, OtherBodyError: 422.
            NotFoundError: 404, an account that the principal does not see.
            ForbiddenError: 403, it sees none.
            UnavailableError: 503, Dagster is away.
            AccessFileError: 503, what is asked cannot be recorded, so it is not done.
        """
        asked = request.model_dump(mode="json", exclude_defaults=True)

        def record(outcome: str, **details: Any) -> None:
            self._audit.record(principal.label, SYNC, outcome, {"asked": asked, **details}, request_id)

        try:
            wanted = self._wanted(request, principal)
            # Whoever comes second, in whichever process, finds the run of the first.
            with self._alone():
                launched = self._repeated(principal, key, asked)
                if launched is None:
                    launched = self._running(wanted)
                    if launched is None:
                        record(ASKED, **_details(wanted))
                        launched = Launched(self._dagster.launch(wanted, by=principal.label), True, wanted)
                    if key is not None:
                        self._keys.keep(principal.label, key, Kept(_digest(asked), _as_json(launched)))
        except UnavailableError as error:
            record(FAILED, reason=error.sentence)
            raise
        except ApiError as error:
            record(REFUSED, reason=error.sentence)
            raise
        record(DONE, run_id=launched.run_id, is_new=launched.is_new, **_details(launched.wanted))
        return launched

    def status(self, run_id: str, principal: Principal) -> SyncStatus:
        """How a sync goes.

        Raises:
            NotFoundError: 404, there is none, or one about ad accounts that the principal does not see.
            UnavailableError: 503, Dagster is away.
        """
        run = self._dagster.run(run_id)
        receipt = self._receipts.of_run(run_id)
        if run is not None and not run.is_sync:
            run = None
        if (run is None and receipt is None) or not is_seen(principal, _touched(run, receipt)):
            raise NotFoundError("sync", run_id)
        if run is None:
            # One that failed before Dagster had a run of it, or of which Dagster knows no more.
            assert receipt is not None
            return self._ended(receipt, principal)
        return self._status(run, receipt, principal)

    @property
    def base_url(self) -> str:
        """Where clients find the API, as far as that was said; empty otherwise, so that addresses begin with their path."""
        return self._settings.api_url if "api_url" in self._settings.model_fields_set else ""

    def close(self) -> None:
        """Close the files."""
        self._keys.close()

    def _wanted(self, request: SyncNowRequest, principal: Principal) -> SyncWanted:
        known = AccountBook(self._settings.home).accounts()
        return sync_wanted(
            request,
            principal,
            now=self._now(),
            first_day=self._settings.start_date,
            zones={account.id: account.timezone_name for account in known},
            named_accounts=self._settings.ad_account_ids,
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self._settings.home / "tmp" / "sync-now.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise UnavailableError(
                "Another sync is being asked for and Dagster takes its time; ask again.",
                {"Retry-After": _RETRY_SECONDS},
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _repeated(self, principal: Principal, key: str | None, asked: dict[str, Any]) -> Launched | None:
        """What was answered under the same key."""
        kept = None if key is None else self._keys.find(principal.label, key)
        if kept is None:
            return None
        if kept.body != _digest(asked):
            raise OtherBodyError(
                "This Idempotency-Key was used for another sync within the last day; use a new key for a new request."
            )
        return _from_json(kept.answer)

    def _running(self, wanted: SyncWanted) -> Launched | None:
        """The run that does the same now."""
        for run_id in self._dagster.running(wanted):
            # What was killed stays "started" until the schedule looks.
            if not is_dead(self._settings.home, run_id):
                return Launched(run_id, False, wanted)
        return None

    def _ended(self, receipt: Receipt, principal: Principal) -> SyncStatus:
        """A sync of which there is nothing but the receipt."""
        state = own_state(receipt, principal)
        is_whole = principal.sees_all(touched_accounts(receipt))
        seconds = round((receipt.finished_at - receipt.started_at).total_seconds(), 1)
        return SyncStatus(
            run_id=receipt.run_id,
            state=_STATES_OF_RECEIPTS.get(state, "failed"),
            detail=None if state == "complete" else _missing_text(receipt, principal),
            date_from=receipt.since,
            date_to=receipt.until,
            accounts=[each for each in receipt.accounts if principal.sees(each)],
            started_at=receipt.started_at,
            finished_at=receipt.finished_at,
            progress=Progress(
                steps_done=_STEPS, steps_total=_STEPS, seconds=seconds, **(_counts(receipt) if is_whole else {})
            ),
            receipt=own_receipt(receipt, principal),
        )

    def _status(self, run: DagsterRun, receipt: Receipt | None, principal: Principal) -> SyncStatus:
        is_whole = principal.sees_all(run.accounts if receipt is None else touched_accounts(receipt))
        state, detail = _STATES.get(run.status, "running"), None
        if state in ("running", "canceling") and is_dead(self._settings.home, run.run_id):
            state, detail = "failed", _DIED
        elif state == "failed":
            detail = self._failure(run, receipt, principal, is_whole=is_whole)
        elif state == "succeeded" and receipt is not None and own_state(receipt, principal) == "partial":
            state, detail = "partial", _missing_text(receipt, principal)
        elif run.status == "QUEUED" and not self._is_queue_served():
            detail = _NOBODY_STARTS_IT
        days = run.days
        return SyncStatus(
            run_id=run.run_id,
            state=state,
            detail=detail,
            by=run.tags.get(BY_TAG),
            date_from=days[0] if days else None,
            date_to=days[1] if days else None,
            accounts=[each for each in run.accounts if principal.sees(each)],
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            progress=self._progress(run, receipt, is_whole=is_whole),
            receipt=None if receipt is None else own_receipt(receipt, principal),
        )

    def _failure(self, run: DagsterRun, receipt: Receipt | None, principal: Principal, *, is_whole: bool) -> str | None:
        """One sentence on why a sync failed, which may name any of its ad accounts."""
        if receipt is not None and (receipt.error or receipt.missing):
            return _missing_text(receipt, principal)
        if not is_whole:
            return _FAILED_SOMEHOW
        sentence = self._dagster.failure(run.run_id)
        return None if sentence is None else self._receipts.without_paths(sentence)

    def _is_queue_served(self) -> bool:
        seen = self._dagster.queue_served_at()
        return seen is not None and self._now() - seen < _SIGN_OF_LIFE_WITHIN

    def _progress(self, run: DagsterRun, receipt: Receipt | None, *, is_whole: bool) -> Progress:
        seconds = None
        if run.started_at is not None:
            seconds = round(((run.finished_at or self._now()) - run.started_at).total_seconds(), 1)
        told: dict[str, Any] = {}
        if is_whole and receipt is not None:
            told = _counts(receipt)
        elif is_whole:
            told = _told(work_folder(self._settings.home, run.run_id) / PROGRESS_FILE)
        return Progress(steps_done=run.steps_done, steps_total=_STEPS, seconds=seconds, **told)


def _touched(run: DagsterRun | None, receipt: Receipt | None) -> frozenset[str]:
    """The ad accounts that a sync is about; none of them for every one."""
    if receipt is not None and receipt.accounts:
        return touched_accounts(receipt)
    return frozenset(() if run is None else run.accounts)


def _counts(receipt: Receipt) -> dict[str, Any]:
    return {"rows": receipt.rows_read, "calls": receipt.calls_total}


def _missing_text(receipt: Receipt, principal: Principal) -> str:
    """Why a sync is not complete, as far as the ad accounts go that somebody sees."""
    if principal.sees_all(touched_accounts(receipt)):
        return receipt.missing_text()
    own = {
        "missing": tuple(part for part in receipt.missing if principal.sees(part.account_id)),
        "not_refreshed": tuple(one for one in receipt.not_refreshed if principal.sees(one.account_id)),
    }
    return receipt.model_copy(update={**own, "error": None}).missing_text() if any(own.values()) else _FAILED_SOMEHOW


def _told(file: Path) -> dict[str, Any]:
    """What a running sync writes down of its progress; nothing before it has."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    names = ("reports_done", "reports_total", "rows", "calls")
    return {name: content[name] for name in names if isinstance(content.get(name), int)}


def _details(wanted: SyncWanted) -> dict[str, Any]:
    return {
        "since": wanted.days.since.isoformat(),
        "until": wanted.days.until.isoformat(),
        "levels": [level.value for level in wanted.levels],
        "accounts": list(wanted.accounts),
    }


def _digest(asked: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _as_json(launched: Launched) -> str:
    return json.dumps({"run_id": launched.run_id, **_details(launched.wanted)})


def _from_json(text: str) -> Launched:
    kept = json.loads(text)
    days = DayRange(date.fromisoformat(kept["since"]), date.fromisoformat(kept["until"]))
    levels = tuple(Level(level) for level in kept["levels"])
    return Launched(kept["run_id"], False, SyncWanted(days, levels, tuple(kept["accounts"])))
