"""Whether the server lives, and whether it can answer: for whoever starts, watches or balances servers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import anyio.to_thread
import duckdb
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from meta_insights_pipeline.read_api.aside import Places
from meta_insights_pipeline.read_api.errors import UnavailableError
from meta_insights_pipeline.read_api.problems import problem_responses
from meta_insights_pipeline.read_api.reader import REFERENCES
from meta_insights_pipeline.read_api.snapshot_dependency import snapshots_of
from meta_insights_pipeline.warehouse.reading.deadlines import QueryTimeoutError
from meta_insights_pipeline.warehouse.reading.snapshots import NoSnapshotError, QueryTooLargeError, Snapshots

_RETRY_SECONDS = "30"
_NOT_OURS = (
    "What is published cannot be answered from: it has not what this program reads. Sync with the version that this server is "
    "of; its log tells more."
)
# Of its own, and only while a file cannot be read.
_LOOKS: Final = Places("readiness", 1)


class Health(BaseModel):
    """The process answers."""

    status: str = Field(description="Always `ok`.", examples=["ok"])


class Readiness(BaseModel):
    """There is something to answer from, and it is new enough."""

    published_at: datetime = Field(
        description="When the file that answers come from was published. UTC.",
        examples=["2026-11-02T06:30:41Z"],
        json_schema_extra={"x-unit": "UTC"},
    )
    age_seconds: int = Field(
        description="How long ago that was. In seconds.", examples=[840], json_schema_extra={"x-unit": "seconds"}
    )


def health_router(oldest: timedelta, now: Callable[[], datetime]) -> APIRouter:
    """The routes /healthz and /readyz, which need no credentials.

    Args:
        oldest: The age at which a snapshot is too old.
        now: The time.
    """
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Health:
        """Looks at nothing: restart a process that does not answer this."""
        return Health(status="ok")

    @router.get(
        "/readyz",
        summary="Whether there is something to answer from",
        responses=problem_responses(503),
    )
    async def readyz(request: Request) -> Readiness:
        """503 while nothing is published, or what cannot be read, or what is older than META_INSIGHTS_API_OLDEST_HOURS."""
        snapshot = snapshots_of(request).current
        retry = {"Retry-After": _RETRY_SECONDS}
        if snapshot is None:
            raise UnavailableError("Nothing was published yet; run meta-insights sync first.", retry)
        age = now() - snapshot.published_at
        if age > oldest:
            raise UnavailableError(
                f"What is published is {age / timedelta(hours=1):.1f} h old, and {oldest / timedelta(hours=1):g} h is "
                "the limit; see that syncs run.",
                retry,
            )
        if not await _is_readable(snapshots_of(request)):
            raise UnavailableError(_NOT_OURS, retry)
        return Readiness(published_at=snapshot.published_at, age_seconds=max(0, int(age.total_seconds())))

    return router


async def _is_readable(snapshots: Snapshots) -> bool:
    """Whether what every answer needs has been read from the file; if not, that is tried, since nobody else may ask."""
    current = snapshots.current
    if current is not None and REFERENCES.known(current) is not None:
        return True
    return await anyio.to_thread.run_sync(_read, snapshots, limiter=_LOOKS.limiter)


def _read(snapshots: Snapshots) -> bool:
    try:
        with snapshots.lease() as snapshot:
            REFERENCES.of(snapshot)
    except (duckdb.Error, QueryTimeoutError, QueryTooLargeError, NoSnapshotError):
        return False
    return True
