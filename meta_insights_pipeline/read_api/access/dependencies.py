"""Access control for routes: FastAPI dependencies, and the security schemes that /docs shows."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer

from meta_insights_pipeline.read_api.access.control import AccessControl
from meta_insights_pipeline.read_api.access.credentials import API_KEY_HEADER
from meta_insights_pipeline.read_api.access.errors import AccessFileError, ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Principal, Role
from meta_insights_pipeline.read_api.access.rate_limit import client_of
from meta_insights_pipeline.read_api.errors import ApiError
from meta_insights_pipeline.read_api.problems import problem

log = logging.getLogger(__name__)

_OUT_OF_ORDER = "Nobody can be let in right now; the log of the server tells why."
# They describe the schemes; the headers themselves are read by the authenticator, which sees all of them.
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key or a JSON Web Token.")
_api_key = APIKeyHeader(name=API_KEY_HEADER, auto_error=False, scheme_name="api_key", description="An API key.")


def install_access(app: FastAPI, access: AccessControl) -> None:
    """Give an app its access control; `install_problems` gives its errors their form.

    Raises:
        ValueError: The server must not start, as `access.verdict` says.
    """
    if not access.verdict.is_allowed:
        raise ValueError(access.verdict.sentence)
    app.state.access = access
    app.add_exception_handler(AccessFileError, _file_out_of_order)


def access_of(request: Request) -> AccessControl:
    """The access control of the app that a request came to."""
    access = request.app.state.access
    assert isinstance(access, AccessControl)
    return access


async def current_principal(
    request: Request,
    _by_bearer: Annotated[object, Security(_bearer)],
    _by_api_key: Annotated[object, Security(_api_key)],
) -> Principal:
    """Who asks, counted against the limit.

    Raises:
        CredentialsError: 401.
        ForbiddenError: 403, a token without a role.
        TooManyRequestsError: 429.
        UnavailableError: 503.
    """
    return await principal_of(request)


async def principal_of(request: Request) -> Principal:
    """The same for whoever is no route: a request is checked and counted once, however often this is asked."""
    state = request.state
    if hasattr(state, "principal"):
        return cast(Principal, state.principal)
    access = access_of(request)
    address = client_of(request.client.host if request.client else None)
    try:
        # The cache has asked before, where it is about an answer that may be kept.
        checked = getattr(state, "checked", None) or await access.principal(request.headers)
        if isinstance(checked, Exception):
            raise checked
    except ApiError:
        access.limiter.take(address)
        raise
    access.limiter.take(address if checked.kind == "open" else checked.label)
    state.principal = checked
    return cast(Principal, checked)


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def require(role: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that gives the principal if it has a role.

    Used as `Annotated[Principal, Depends(require(Role.OPERATOR))]`, or in `dependencies` of a router.
    """

    async def principal_with_role(principal: CurrentPrincipal) -> Principal:
        if not principal.may(role):
            raise ForbiddenError(f"This needs the role {role.value}; yours is {principal.role.value}.")
        return principal

    return principal_with_role


async def _file_out_of_order(request: Request, error: Exception) -> JSONResponse:
    log.error("%s", error)
    return problem(request, 503, _OUT_OF_ORDER, {"Retry-After": "60"})
