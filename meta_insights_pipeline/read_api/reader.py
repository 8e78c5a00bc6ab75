"""Who reads what: the principal, the snapshot and the moment of one request, as one dependency of the routes that read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.parameters import AskedPeriod, Moment, clock_of
from meta_insights_pipeline.read_api.snapshot_dependency import CurrentSnapshot
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.period import Period, Today, today_in
from meta_insights_pipeline.warehouse.reading.reference import Reference, ReferenceBook
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshot

# By the snapshot's identity, so that all apps of a process may share it.
REFERENCES: Final = ReferenceBook()


@dataclass(frozen=True)
class Reader:
    """One request that reads."""

    principal: Principal
    snapshot: Snapshot
    reference: Reference
    as_of: datetime | None
    """Aware, in UTC; None for the present."""
    now: datetime
    """The moment that the answer is about: `as_of`, or the present."""

    def view(self, asked: frozenset[str] | None = None) -> View:
        """What queries may read.

        Args:
            asked: Ids of the accounts that the request names; None when it names none.
        """
        return View(self.principal.narrowed(asked), self.as_of)

    def period(self, asked: AskedPeriod, view: View) -> Period:
        """The days, by the clock of each account that is read."""
        return asked.resolve(self.today(view))

    def today(self, view: View) -> Today:
        """The day that it is where the accounts are that are read."""
        return today_in(self.reference.zones(view.accounts), self.now)

    def today_of(self, account_id: str) -> Today:
        """The day that it is where one account is."""
        return today_in(self.reference.zones([account_id]), self.now)


async def current_reader(
    request: Request, principal: CurrentPrincipal, snapshot: CurrentSnapshot, as_of: Moment
) -> Reader:
    """The reader of a request; whoever asks is known before anything is read."""
    reference = REFERENCES.known(snapshot)
    if reference is None:
        reference = await run_in_threadpool(REFERENCES.of, snapshot)
    return Reader(principal, snapshot, reference, as_of, as_of or clock_of(request).now())


CurrentReader = Annotated[Reader, Depends(current_reader)]
