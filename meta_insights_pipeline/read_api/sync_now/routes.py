"""The routes of syncs.

Whatever asks Dagster is done aside: it may be slow or hang, and everything else is answered meanwhile.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal, require
from meta_insights_pipeline.read_api.access.principal import Principal, Role
from meta_insights_pipeline.read_api.aside import Aside
from meta_insights_pipeline.read_api.problems import problem_responses, request_id
from meta_insights_pipeline.read_api.sync_now.models import SyncAccepted, SyncNowRequest, SyncStatus
from meta_insights_pipeline.read_api.sync_now.recorded_route import RecordedRoute, note_recorded
from meta_insights_pipeline.read_api.sync_now.service import Launched, SyncService

router = APIRouter(prefix="/meta/insights", tags=["sync"], route_class=RecordedRoute)

_BUSY = "Dagster takes its time and others wait for it already; ask again."
# Apart, so that syncs can be looked at while one is started slowly.
_STARTING = Aside("sync-start", places=4, wait_seconds=5.0, sentence=_BUSY)
_LOOKING = Aside("sync-look", places=4, wait_seconds=2.0, sentence=_BUSY)


async def syncs_of(request: Request) -> SyncService:
    """The syncs of the app that a request came to."""
    service = request.app.state.syncs
    assert isinstance(service, SyncService)
    return service


Syncs = Annotated[SyncService, Depends(syncs_of)]


@router.post(
    "/sync-now",
    status_code=202,
    summary="Start a sync",
    responses={
        202: {"headers": {"Location": {"description": "As `status_url`.", "schema": {"type": "string"}}}},
        **problem_responses(400, 401, 403, 404, 413, 422, 429, 503),
    },
)
async def sync_now(
    request: Request,
    response: Response,
    principal: Annotated[Principal, Depends(require(Role.OPERATOR))],
    syncs: Syncs,
    asked: SyncNowRequest | None = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Of your choice, new for each sync: the same request with the same key within a day starts nothing "
            "again; another request with the same key is refused.",
            examples=["7d1f6f0c-6d0b-4b6e-9a57-2f1c1d2e3f40"],
        ),
    ] = None,
) -> SyncAccepted:
    """Bring days up to date, as a run of Dagster's job `sync_insights`; needs the role operator.

    The same sync that is queued or running already is not started again: its run is the answer. Whoever is confined to some ad
    accounts starts syncs of those alone.
    """

    def launch() -> Launched:
        note_recorded(request)
        return syncs.launch(asked or SyncNowRequest(), principal, key=idempotency_key, request_id=request_id(request))

    launched = await _STARTING.run(launch)
    # Never from the header Host, which is the client's to choose.
    status_url = f"{syncs.base_url}{request.app.url_path_for('sync_status', run_id=launched.run_id)}"
    response.headers["Location"] = status_url
    return SyncAccepted(
        run_id=launched.run_id,
        status_url=status_url,
        is_new=launched.is_new,
        date_from=launched.wanted.days.since,
        date_to=launched.wanted.days.until,
        levels=list(launched.wanted.levels or Level),
        accounts=list(launched.wanted.accounts),
    )


@router.get(
    "/sync/{run_id}",
    summary="How a sync goes",
    responses=problem_responses(401, 403, 404, 422, 429, 503),
)
async def sync_status(
    principal: CurrentPrincipal,
    syncs: Syncs,
    run_id: Annotated[
        str,
        Path(
            pattern=r"^[0-9a-f-]{36}$",
            description="Id of the run.",
            examples=["3f0c2b9e-8a51-4e0f-9d2b-0a8a1c6f7e11"],
        ),
    ],
) -> SyncStatus:
    """State, progress and, when it has ended, the receipt.

    Whoever is confined to some ad accounts sees the syncs that are about one of them, as far as the own accounts go; others are
    answered like those that do not exist.
    """
    return await _LOOKING.run(partial(syncs.status, run_id, principal))
