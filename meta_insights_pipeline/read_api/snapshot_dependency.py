"""What a route reads from: the newest snapshot when its request came, until its answer is sent."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from meta_insights_pipeline.read_api.errors import UnavailableError
from meta_insights_pipeline.warehouse.reading.snapshots import NoSnapshotError, Snapshot, Snapshots

_RETRY_SECONDS = "30"


def snapshots_of(request: Request) -> Snapshots:
    """The snapshots of the app that a request came to."""
    snapshots = request.app.state.snapshots
    assert isinstance(snapshots, Snapshots)
    return snapshots


async def current_snapshot(request: Request) -> AsyncIterator[Snapshot]:
    """The newest snapshot. Routes that ask for it are answered from the cache while neither it nor the question changes.

    A coroutine, since a thread takes longer to get than a lease.

    Raises:
        UnavailableError: 503, nothing was published yet.
    """
    # The error is the lease's alone: what a route raises goes through this generator too.
    snapshots = snapshots_of(request)
    lease = snapshots.lease()
    try:
        snapshot = lease.__enter__()
    except NoSnapshotError as error:
        raise UnavailableError(str(error), {"Retry-After": _RETRY_SECONDS}) from None
    # By this the cache knows that the answer depends on nothing else than the snapshot and the question.
    request.state.snapshot_identity = snapshot.identity
    try:
        yield snapshot.for_one_answer()
    finally:
        if snapshot is snapshots.current:
            lease.__exit__(None, None, None)
        else:
            # The last one closes the file, which may take a while.
            await run_in_threadpool(lease.__exit__, None, None, None)


CurrentSnapshot = Annotated[Snapshot, Depends(current_snapshot)]
