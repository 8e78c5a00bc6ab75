"""Prometheus metrics: how much is asked and how long it takes, never of which ad account, campaign or key.

Labels are routes as patterns, methods and statuses, so that their number is bounded and nobody learns what others look at.
"""

import os
from datetime import datetime

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from meta_insights_pipeline.read_api.access.dependencies import require
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.read_api.problems import problem_responses

SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Of the library: where the workers of one server add their counts up; set before this module is imported."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "meta_insights_api_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._from_memory = Counter(
            "meta_insights_api_answers_from_memory",
            "Requests answered from the cache, 304 among them.",
            ("route",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "meta_insights_api_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._published = Gauge(
            "meta_insights_api_snapshot_published_timestamp_seconds",
            "When the file that answers come from was published, in seconds since 1970; 0 without one.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._snapshots = Counter(
            "meta_insights_api_snapshots_opened", "Published files that were opened.", registry=self.registry
        )

    def count(self, method: str, route: str, status: int, seconds: float, *, is_from_memory: bool) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if is_from_memory:
            self._from_memory.labels(route).inc()

    def note_snapshot(self, published_at: datetime) -> None:
        """Note that a published file was opened."""
        self._published.set(published_at.timestamp())
        self._snapshots.inc()

    def as_text(self) -> bytes:
        """All of them in Prometheus' text format; those of all workers when there are several."""
        if SHARED_FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        # Its constructor is not typed.
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def metrics_router(metrics: Metrics) -> APIRouter:
    """The route /metrics."""
    router = APIRouter(tags=["operation"], responses=problem_responses(401, 403, 422, 429, 503))

    @router.get(
        "/metrics",
        dependencies=[Depends(require(Role.ADMIN))],
        response_class=Response,
        summary="Prometheus metrics",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def read_metrics() -> Response:
        """Counts and times of requests by route, method and status, for the role admin; with META_INSIGHTS_API_METRICS alone."""
        return Response(metrics.as_text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
