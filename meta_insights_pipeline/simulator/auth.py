"""Who may ask: access tokens and proofs.

Belongs here: finding the token in a request and judging it. Does not belong here: access to single accounts.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meta_insights_pipeline.simulator.errors import GraphError

APP_ID = "100200300400500"
USER_ID = "122100000000001"
_SCHEMES = ("bearer ", "oauth ")


@dataclass(frozen=True)
class Gatekeeper:
    """Judges requests; without an expected token every token is good that does not begin with invalid or expired."""

    access_token: str | None
    app_secret: str | None

    def admit(self, params: Mapping[str, str], headers: Mapping[str, str], path: str) -> None:
        """Raise the error that Graph would answer, or return."""
        token = token_of(params, headers)
        if not token:
            raise _missing(path)
        problem = self.problem(token)
        if problem is not None:
            raise problem
        if self.app_secret is not None:
            expected = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected.encode(), params.get("appsecret_proof", "").encode()):
                text = "Invalid appsecret_proof provided in the API argument"
                raise GraphError(text, 100, type="GraphMethodException")

    def problem(self, token: str) -> GraphError | None:
        """Return what is wrong with a token, if anything."""
        if token.startswith("expired"):
            text = "Error validating access token: Session has expired."
            return GraphError(text, 190, 463)
        if token.startswith("invalid") or (self.access_token is not None and token != self.access_token):
            return GraphError("Invalid OAuth access token - Cannot parse access token", 190)
        return None

    def introspect(self, token: str, account_ids: list[str]) -> dict[str, Any]:
        """Return the answer of `debug_token` about a token."""
        problem = self.problem(token)
        if problem is None:
            return {
                "app_id": APP_ID,
                "type": "SYSTEM_USER",
                "application": "Simulated app",
                "data_access_expires_at": 0,
                "expires_at": 0,
                "is_valid": True,
                "issued_at": 1_640_995_200,
                "scopes": ["ads_read", "business_management"],
                "granular_scopes": [{"scope": "ads_read", "target_ids": account_ids}],
                "user_id": USER_ID,
            }
        error = {"code": problem.code, "message": problem.message}
        if problem.subcode is not None:
            error["subcode"] = problem.subcode
        return {"error": error, "is_valid": False, "scopes": []}


def token_of(params: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Return the access token of a request, from its parameters or its Authorization header."""
    token = params.get("access_token", "")
    if token:
        return token
    authorization = headers.get("authorization", "")
    for scheme in _SCHEMES:
        if authorization.lower().startswith(scheme):
            return authorization[len(scheme) :].strip()
    return ""


def _missing(path: str) -> GraphError:
    if path.split("/", 1)[0] == "me":
        text = "An active access token must be used to query information about the current user."
        return GraphError(text, 2500)
    return GraphError("An access token is required to request this resource.", 104)
