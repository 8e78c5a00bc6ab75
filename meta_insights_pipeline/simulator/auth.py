"""Who may ask: access tokens, proofs, and what a token is good for.

Belongs here: finding the token in a request and judging it. Does not belong here: access to single accounts (`states`).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from meta_insights_pipeline.simulator.errors import GraphError, not_permitted

APP_ID = "100200300400500"
USER_ID = "122100000000001"
_SCHEMES = ("bearer ", "oauth ")
_READING = frozenset({"ads_read", "ads_management"})
_ACCOUNT_KINDS = frozenset({"insights", "create_run", "run_status", "run_insights", "structure", "account", "object"})


@dataclass(frozen=True)
class TokenInfo:
    """What `debug_token` tells about every good token; moments are unix seconds, 0 means never.

    A token that has expired, or that is not valid, is refused everywhere; without `ads_read` or `ads_management` in its
    scopes nothing of an ad account can be read. The other values are only told.
    """

    type: str = "SYSTEM_USER"
    """USER, SYSTEM_USER, PAGE or APP."""
    scopes: tuple[str, ...] = ("ads_read", "business_management")
    granular_target_ids: tuple[str, ...] | None = None
    """Ad accounts named by the scope `ads_read`; None for all that the token sees."""
    expires_at: int = 0
    data_access_expires_at: int = 0
    app_id: str = APP_ID
    is_valid: bool = True
    error: Mapping[str, Any] = field(default_factory=dict)
    """What is wrong with a token that is not valid: `code`, `subcode`, `message`, each with a default."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TokenInfo":
        """Return what a JSON object tells about a token; ValueError for unknown names."""
        unknown = value.keys() - {item.name for item in fields(cls)}
        if unknown:
            msg = f"a token has no {sorted(unknown)}"
            raise ValueError(msg)
        lists = {name: tuple(item) for name, item in value.items() if isinstance(item, list)}
        return cls(**{**value, **lists})

    def problem(self, now: float) -> GraphError | None:
        """Return why the token is refused at a unix second, if it is."""
        if 0 < self.expires_at <= now:
            return _expired()
        if self.is_valid:
            return None
        subcode = self.error.get("subcode")
        message = self.error.get("message", "Error validating access token: The token is no longer valid.")
        return GraphError(str(message), int(self.error.get("code", 190)), None if subcode is None else int(subcode))


@dataclass(frozen=True)
class Gatekeeper:
    """Judges requests; without an expected token every token is good that does not begin with invalid or expired."""

    access_token: str | None
    app_secret: str | None
    info: TokenInfo = TokenInfo()

    def admit(self, params: Mapping[str, str], headers: Mapping[str, str], path: str, now: float) -> None:
        """Raise the error that Graph would answer at a unix second, or return.

        `debug_token` also takes the app's own token, and tokens that `info` calls dead, to tell so.
        """
        token = token_of(params, headers)
        if not token:
            raise _missing(path)
        introspecting = path == "debug_token"
        if introspecting and self.app_secret is not None and token == f"{self.info.app_id}|{self.app_secret}":
            return
        problem = self._unfit(token) if introspecting else self.problem(token, now)
        if problem is not None:
            raise problem
        if self.app_secret is not None:
            expected = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected.encode(), params.get("appsecret_proof", "").encode()):
                text = "Invalid appsecret_proof provided in the API argument"
                raise GraphError(text, 100, type="GraphMethodException")

    def permit(self, kind: str) -> None:
        """Raise the error for a kind of call that the scopes of the token do not cover."""
        if kind in _ACCOUNT_KINDS and not _READING & set(self.info.scopes):
            raise not_permitted()

    def problem(self, token: str, now: float) -> GraphError | None:
        """Return what is wrong with a token at a unix second, if anything."""
        return self._unfit(token) or self.info.problem(now)

    def introspect(self, token: str, account_ids: list[str], now: float) -> dict[str, Any]:
        """Return the answer of `debug_token` about a token."""
        info = self.info
        unfit = self._unfit(token)
        if unfit is not None:
            return {"error": _told(unfit), "is_valid": False, "scopes": []}
        problem = info.problem(now)
        targets = account_ids if info.granular_target_ids is None else list(info.granular_target_ids)
        answer = {
            "app_id": info.app_id,
            "type": info.type,
            "application": "Simulated app",
            "data_access_expires_at": info.data_access_expires_at,
            "expires_at": info.expires_at,
            "is_valid": problem is None,
            "issued_at": 1_640_995_200,
            "scopes": list(info.scopes),
            "granular_scopes": [{"scope": scope, "target_ids": targets} for scope in info.scopes if scope in _READING],
            "user_id": USER_ID,
        }
        return answer if problem is None else {**answer, "error": _told(problem)}

    def _unfit(self, token: str) -> GraphError | None:
        """Return what is wrong with the text of a token."""
        if token.startswith("expired"):
            return _expired()
        if token.startswith("invalid") or (self.access_token is not None and token != self.access_token):
            return GraphError("Invalid OAuth access token - Cannot parse access token", 190)
        return None

    def permissions(self) -> dict[str, Any]:
        """Return the answer of `me/permissions`."""
        return {"data": [{"permission": scope, "status": "granted"} for scope in self.info.scopes]}


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


def _told(problem: GraphError) -> dict[str, Any]:
    error: dict[str, Any] = {"code": problem.code, "message": problem.message}
    return error if problem.subcode is None else {**error, "subcode": problem.subcode}


def _expired() -> GraphError:
    return GraphError("Error validating access token: Session has expired.", 190, 463)


def _missing(path: str) -> GraphError:
    if path.split("/", 1)[0] == "me":
        text = "An active access token must be used to query information about the current user."
        return GraphError(text, 2500)
    return GraphError("An access token is required to request this resource.", 104)
