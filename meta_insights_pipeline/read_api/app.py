"""The app: routes, access control, cache, headers and errors put together; started and stopped with the server."""

import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import anyio.to_thread
import duckdb
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.read_api import docs_page
from meta_insights_pipeline.read_api.access.control import AccessControl
from meta_insights_pipeline.read_api.access.dependencies import install_access
from meta_insights_pipeline.read_api.answer_cache import AnswerCache
from meta_insights_pipeline.read_api.body_limit import BodyLimitMiddleware
from meta_insights_pipeline.read_api.caching import CachingMiddleware, note_principal
from meta_insights_pipeline.read_api.compression import CompressionMiddleware
from meta_insights_pipeline.read_api.head_requests import HeadMiddleware
from meta_insights_pipeline.read_api.health import health_router
from meta_insights_pipeline.read_api.http_headers import HeadersMiddleware
from meta_insights_pipeline.read_api.known_parameters import only_known_parameters
from meta_insights_pipeline.read_api.local_days import LocalDays
from meta_insights_pipeline.read_api.metrics import Metrics, metrics_router
from meta_insights_pipeline.read_api.problems import AnswerAnywayMiddleware, install_problems, problem
from meta_insights_pipeline.read_api.reader import REFERENCES
from meta_insights_pipeline.read_api.remembering import RememberingAuthenticator
from meta_insights_pipeline.read_api.request_log import install_request_log
from meta_insights_pipeline.read_api.sync_now.dagster import Dagster
from meta_insights_pipeline.read_api.sync_now.key_book import IdempotencyKeys
from meta_insights_pipeline.read_api.sync_now.routes import router as sync_router
from meta_insights_pipeline.read_api.sync_now.service import SyncService
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse import reading
from meta_insights_pipeline.warehouse.reading.deadlines import QueryTimeoutError
from meta_insights_pipeline.warehouse.reading.snapshots import QueryTooLargeError, Snapshot, Snapshots

log = logging.getLogger(__name__)

_BUSY_SECONDS = "5"
_DESCRIPTION = """\
Meta Ads Insights as they were last published. Nothing here asks Meta.

- Ids are strings. Money is exact, in major units of the ad account's currency; amounts of different currencies are never added
  together. Days are days of the ad account's own time zone. `null` means not known, never zero.
- Send an API key or a JSON Web Token as `Authorization: Bearer …`, or a key as `X-API-Key`.
- Answers carry an `ETag`: send it back as `If-None-Match`, and what has not changed is answered 304.
- Errors are `application/problem+json` (RFC 9457).
"""
_TAGS = [
    {"name": "insights", "description": "Figures of ad accounts, campaigns, ad sets and ads."},
    {"name": "sync", "description": "Asking for a sync, and how it goes."},
    {"name": "operation", "description": "For whoever runs the server."},
]


def create_app(
    settings: Settings,
    access: AccessControl,
    routers: Sequence[APIRouter],
    *,
    clock: Clock | None = None,
) -> FastAPI:
    """Make the app.

    Args:
        settings: The settings.
        access: Who may ask.
        routers: The routes that read; each of their requests needs credentials, whatever they say themselves.
        clock: The time; that of this machine when left out.

    Raises:
        ValueError: The server must not start, as `access.verdict` says.
    """
    clock = clock or SystemClock()
    remembering = RememberingAuthenticator(access.authenticator, settings.access_path)
    access = dataclasses.replace(access, authenticator=remembering)
    metrics = Metrics() if settings.api_metrics else None
    cache = AnswerCache(settings.api_cache_mb * 1_000_000)

    def on_change(snapshot: Snapshot) -> None:
        # No question is about an older one any more.
        cache.clear()
        # Before anybody asks; what cannot be read is told to whoever asks.
        try:
            REFERENCES.of(snapshot)
        except (duckdb.Error, QueryTimeoutError, QueryTooLargeError) as error:
            log.error("What was published last cannot be answered from: %s", str(error).partition("\n")[0])
        if metrics is not None:
            metrics.note_snapshot(snapshot.published_at)

    snapshots = Snapshots(
        settings.snapshot_path,
        query_seconds=settings.api_query_seconds,
        memory_limit=settings.api_memory_limit,
        threads=settings.api_threads,
        on_change=on_change,
    )
    app = FastAPI(
        title="Meta Insights API",
        summary="Published Meta Ads Insights, and syncs on demand.",
        description=_DESCRIPTION,
        version=version("meta-insights-pipeline"),
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
        # What generated clients call their functions.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.snapshots = snapshots
    app.state.syncs = SyncService(
        settings,
        Dagster(settings.dagster_url),
        access.audit,
        IdempotencyKeys(settings.sync_requests_path, clock.now),
        clock.now,
    )
    install_access(app, access)
    app.add_exception_handler(QueryTimeoutError, _busy)
    app.add_exception_handler(QueryTooLargeError, _busy)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(
        CachingMiddleware,
        access=access,
        snapshots=snapshots,
        cache=cache,
        build=_build(),
        now=clock.now,
        days=LocalDays(REFERENCES),
    )
    app.add_middleware(AnswerAnywayMiddleware)
    app.add_middleware(HeadMiddleware)
    if settings.api_cors_origins:
        _allow_origins(app, settings.api_cors_origins)
    app.add_middleware(HeadersMiddleware)
    install_request_log(app, metrics)
    install_problems(app)
    for router in (*routers, sync_router, *([metrics_router(metrics)] if metrics else [])):
        app.include_router(router, dependencies=[Depends(note_principal), Depends(only_known_parameters)])
    app.include_router(health_router(timedelta(hours=settings.api_oldest_hours), clock.now))
    app.include_router(docs_page.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Opening the first file takes half a second, in which nothing is to be answered yet.
    await anyio.to_thread.run_sync(app.state.snapshots.watch)
    try:
        yield
    finally:
        # Whoever asked for it is gone, and a process ends no sooner than its threads.
        app.state.snapshots.interrupt()
        await anyio.to_thread.run_sync(app.state.snapshots.close)
        app.state.syncs.close()


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=[
            "Authorization",
            "X-API-Key",
            "Content-Type",
            "Idempotency-Key",
            "If-None-Match",
            "X-Request-ID",
        ],
        expose_headers=["ETag", "Location", "Retry-After", "X-Request-ID", "Content-Disposition", "Link"],
        max_age=600,
    )


async def _busy(request: Request, error: Exception) -> JSONResponse:
    """A query that took too long or too much; the server goes on, and a smaller question will do."""
    return problem(request, 503, str(error), {"Retry-After": _BUSY_SECONDS})


def _build() -> str:
    """What tells the code that answers from another version of it, so that an ETag of the old one is not taken for right."""
    digest = hashlib.sha256(version("meta-insights-pipeline").encode())
    for folder in (Path(__file__).parent, *(Path(each) for each in reading.__path__)):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
