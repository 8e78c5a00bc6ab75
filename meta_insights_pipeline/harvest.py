"""What collecting brings: typed rows, and a gap for everything that could not be had. Collects and stages side by side."""

import logging
from collections.abc import Callable, Sequence
from collections.abc import Collection as Ids
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from meta_insights_pipeline.collection import Collection, Unavailable
from meta_insights_pipeline.collector.collect import TRY_HARD_AGAIN_AFTER, Collected, Missed
from meta_insights_pipeline.collector.plan import Request
from meta_insights_pipeline.collector.report_book import Purchase
from meta_insights_pipeline.collector.splitting import Evidence
from meta_insights_pipeline.gaps import DEFERRED, FAILED, REFUSED, UNAVAILABLE
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.logs import DETAIL
from meta_insights_pipeline.progress import Progress
from meta_insights_pipeline.receipt import Withheld
from meta_insights_pipeline.warehouse.database import open_memory
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging, StagingError

log = logging.getLogger(__name__)

COMPLETE, PARTIAL = "complete", "partial"
_KINDS = {Evidence.LATER: DEFERRED, Evidence.ACCOUNT: REFUSED}


@dataclass
class Harvest:
    """What a sync has to write."""

    staged: list[Staged] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    """What it was bought with; may be forgotten once it is in the warehouse."""
    refused: dict[str, str] = field(default_factory=dict)
    """Accounts that are not ours to read, with the reason."""
    token_error: GraphApiError | None = None

    def leave_out(self, unavailable: Sequence[Unavailable]) -> None:
        """Note what was not asked for, since Meta does not give it."""
        self.gaps += [
            Gap(one.report, one.account_id, one.days.since, one.days.until, one.reason, kind=UNAVAILABLE)
            for one in unavailable
        ]

    def state(self, account_ids: Ids[str], expected: Ids[str]) -> str:
        """What became of the sync as a whole.

        Args:
            account_ids: The accounts that were to be collected.
            expected: Those that somebody named, or of which something was collected before; any other account was only found,
                and is not missed when it refuses.

        Returns:
            `complete`: nothing that is expected is missing; `failed`: the token is refused, or no account is whole and not all
            of what is missing will come by itself; `partial`: anything between.
        """
        if self.token_error is not None:
            return FAILED
        whole = set(account_ids) - {gap.account_id for gap in self.gaps}
        missed = [gap for gap in self.gaps if gap.kind != REFUSED or gap.account_id in expected]
        if not missed:
            return COMPLETE if whole or not self.gaps else FAILED
        may_pass = all(gap.kind in (DEFERRED, UNAVAILABLE) for gap in missed)
        return PARTIAL if may_pass or whole else FAILED


def collect_and_stage(
    collection: Collection,
    requests: Sequence[Request],
    folder: Path,
    temporary: Path,
    hear: Callable[[Collected], None] = lambda _event: None,
) -> Harvest:
    """Collect every request and read its pages into typed rows, while others are still under way.

    Args:
        collection: What to work with.
        requests: The plan.
        folder: For typed rows; they stay there until they are written.
        temporary: For what does not fit into memory.
        hear: Told of everything that is collected, as it comes.
    """
    harvest = Harvest()
    accounts = len({request.account.id for request in requests})
    progress = Progress(len(requests), accounts, collection.api.meter, folder)
    collected: list[Collected] = []
    with open_memory(temporary) as connection, closing(collection.collector.collect(requests)) as events:
        staging = Staging(connection, folder)
        for event in events:
            if isinstance(event, Collected):
                collected.append(event)
                hear(event)
                _tell(event)
                staging.add(_slice(event), _pages(event))
                progress.came(_rows(event))
            else:
                _miss(harvest, event)
                progress.missed()
        outcomes = staging.finish()
    for event, outcome in zip(collected, outcomes, strict=True):
        # What cannot be read is bought anew the next time.
        harvest.purchases += event.purchases
        if isinstance(outcome, StagingError):
            about = {"account": event.request.account.id, "report": event.request.report.name}
            log.error("%s", outcome, extra=about)
            retry_at = collection.clock.now() + TRY_HARD_AGAIN_AFTER
            harvest.gaps.append(_gap(event.request, str(outcome), FAILED, retry_at))
        else:
            harvest.staged.append(outcome)
            harvest.withheld += _withheld(collection, event)
    return harvest


def _slice(event: Collected) -> Slice:
    request = event.request
    return Slice(
        request.report,
        request.account.id,
        request.days.since,
        request.days.until,
        event.asked_at,
        withheld=event.withheld,
    )


def _pages(event: Collected) -> list[PageFile]:
    return [PageFile(page, part.fields) for part in event.parts for page in part.pages]


def _rows(event: Collected) -> int:
    """How many rows to tell a person; those that came in parts of fields are counted once."""
    first = event.parts[0].fields
    return sum(part.rows for part in event.parts if part.fields == first)


def _withheld(collection: Collection, event: Collected) -> list[Withheld]:
    account, report = event.request.account.id, event.request.report.name
    reasons = collection.lessons.withheld(account, report)
    return [
        Withheld(
            report=report,
            account_id=account,
            field=name,
            reason=reasons[name].reason if name in reasons else "Meta gave it for some rows only.",
        )
        for name in event.withheld
    ]


def _tell(event: Collected) -> None:
    """One line for each report that has come, with what Meta's support asks for."""
    runs = [part.purchase.run_id for part in event.parts if part.purchase.run_id]
    about = {
        "account": event.request.account.id,
        "report": event.request.report.name,
        "report_run_id": ",".join(runs) or None,
    }
    log.info("%s: %s rows have come", event.request, f"{_rows(event):,}", extra={**about, **DETAIL})


def _miss(harvest: Harvest, missed: Missed) -> None:
    request, text = missed.request, str(missed.error)
    harvest.gaps.append(_gap(request, text, _KINDS.get(missed.evidence, FAILED), missed.retry_at))
    if missed.evidence is Evidence.ACCOUNT:
        harvest.refused[request.account.id] = text
    elif missed.evidence is Evidence.TOKEN:
        harvest.token_error = harvest.token_error or missed.error
    else:
        log.log(
            logging.WARNING if missed.evidence is Evidence.LATER else logging.ERROR,
            "%s is missing: %s",
            request,
            text,
            extra={
                "account": request.account.id,
                "report": request.report.name,
                "fbtrace_id": missed.error.fbtrace_id,
            },
        )


def _gap(request: Request, reason: str, kind: str, retry_at: datetime | None) -> Gap:
    days = request.days
    return Gap(request.report.name, request.account.id, days.since, days.until, reason, retry_at=retry_at, kind=kind)
