"""A small API as it will be written on top of access control: totals, a search, children, an export, one object, a sync."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse

from meta_insights_pipeline.read_api.access.audit import DONE, SYNC
from meta_insights_pipeline.read_api.access.confinement import seen_by
from meta_insights_pipeline.read_api.access.control import AccessControl
from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal, access_of, install_access, require
from meta_insights_pipeline.read_api.access.principal import Principal, Role
from meta_insights_pipeline.read_api.problems import install_problems, problem_responses, request_id


@dataclass(frozen=True)
class Campaign:
    """A row of the API's data."""

    id: str
    account_id: str
    name: str
    spend: int


CAMPAIGNS = [
    Campaign(f"{account}{number}", str(account), f"Sale {account}{number}", 10**account + number)
    for account in range(1, 6)
    for number in range(3)
]


def campaigns(accounts: frozenset[str] | None) -> list[Campaign]:
    """What a query gives that filters by accounts itself."""
    return [one for one in CAMPAIGNS if accounts is None or one.account_id in accounts]


Accounts = Annotated[list[str] | None, Query()]
router = APIRouter(responses=problem_responses(401, 403, 404, 422, 429, 503))


@router.get("/overview")
def overview(principal: CurrentPrincipal, account: Accounts = None) -> dict[str, Any]:
    """Totals, and the campaigns behind them."""
    rows = campaigns(principal.narrowed(account))
    return {"spend": sum(one.spend for one in rows), "count": len(rows), "campaigns": [asdict(one) for one in rows]}


@router.get("/search")
def search(principal: CurrentPrincipal, text: str) -> list[str]:
    """Names that hold a text."""
    return [one.name for one in campaigns(principal.accounts) if text in one.name]


@router.get("/export", response_class=PlainTextResponse)
def export(principal: CurrentPrincipal) -> str:
    """Every row as a line."""
    return "".join(f"{one.account_id},{one.name},{one.spend}\n" for one in campaigns(principal.accounts))


@router.get("/campaign/{campaign_id}")
def campaign(principal: CurrentPrincipal, campaign_id: str) -> dict[str, Any]:
    """One object."""
    found = next((one for one in campaigns(principal.accounts) if one.id == campaign_id), None)
    return asdict(seen_by(principal, found, lambda one: [one.account_id], what="campaign", identifier=campaign_id))


@router.post("/sync-now", status_code=202)
def sync_now(principal: Annotated[Principal, Depends(require(Role.OPERATOR))], request: Request) -> dict[str, str]:
    """Ask for a sync."""
    accounts = None if principal.accounts is None else sorted(principal.accounts)
    details = {"accounts": accounts, "run_id": "run-1"}
    access_of(request).audit.record(principal.label, SYNC, DONE, details, request_id(request))
    return {"run_id": "run-1"}


@router.get("/admin", dependencies=[Depends(require(Role.ADMIN))])
def admin(principal: CurrentPrincipal) -> str:
    """What an admin alone may do."""
    return principal.label


def shop(access: AccessControl) -> FastAPI:
    """The app."""
    app = FastAPI()
    install_problems(app)
    install_access(app, access)
    app.include_router(router)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app
