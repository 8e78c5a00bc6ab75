"""Whether the server lives, and whether it can answer: for whoever starts, watches or balances servers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from meta_insights_pipeline.read_api.errors import UnavailableError
from meta_insights_pipeline.read_api.problems import problem_responses
from meta_insights_pipeline.read_api.snapshot_dependency import snapshots_of
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshots

_RETRY_SECONDS = "30"


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
    def healthz() -> Health:
        """Looks at nothing: restart a process that does not answer this."""
        return Health(status="ok")

    @router.get(
        "/readyz",
        summary="Whether there is something to answer from",
        responses=problem_responses(503),
    )
    def readyz(snapshots: Annotated[Snapshots, Depends(snapshots_of)]) -> Readiness:
        """503 while nothing is published, and when what is published is older than META_INSIGHTS_API_OLDEST_HOURS."""
        snapshot = snapshots.current
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
        return Readiness(published_at=snapshot.published_at, age_seconds=max(0, int(age.total_seconds())))

    return router
