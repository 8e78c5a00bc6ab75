"""The doctor's checks of the token: what it is, what it may do, until when, for which accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from meta_insights_pipeline.findings import Finding, fail, not_checked, ok, warn
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError
from meta_insights_pipeline.settings import Settings

TOKEN_DAYS = 14
"""Days before its end from which a token is warned of."""
TOKEN_CHECKS = ("token", "permissions", "token expiry", "data access", "granted accounts")
KIND = "doctor"
"""Kind of these calls, in the counts."""

_READING = ("ads_read", "ads_management")
# What reading an answer of another form raises.
_OTHER_FORM = (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True)
class _Token:
    """What `debug_token` says; moments are None for never."""

    kind: str
    app: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    data_access_ends_at: datetime | None
    targets: Mapping[str, tuple[str, ...]]
    """The accounts to which a scope is confined, for scopes that are."""
    error: str
    """What is wrong with it, if it is not valid."""


def check_token(settings: Settings, api: GraphApi, refusal: GraphApiError | None, now: datetime) -> list[Finding]:
    """Every finding about the token, from Meta's own `debug_token`.

    Args:
        settings: Token and accounts.
        api: The session.
        refusal: What was wrong with a call that every token may make, if anything.
        now: For days left.
    """
    # As a POST that stands for a GET, since the parameters of a GET are part of its address. The simulated world of stub mode
    # takes any token.
    token = settings.access_token.get_secret_value() if settings.access_token and settings.mode == "live" else "stub"
    try:
        answer = api.post("debug_token", {"method": "get", "input_token": token}, kind=KIND, read=read_object)
        data = answer["data"]
        is_valid, told = bool(data["is_valid"]), _read_token(data)
    except GraphApiError as error:
        if isinstance(refusal, AuthError) or isinstance(error, AuthError):
            return _dead(str(refusal if isinstance(refusal, AuthError) else error))
        return [warn("token", f"Meta does not tell about it: {error}"), *not_checked(TOKEN_CHECKS[1:], "see token")]
    except _OTHER_FORM:
        sentence = "Meta's answer about the token is of no known form; update this program."
        return [warn("token", sentence), *not_checked(TOKEN_CHECKS[1:], "see token")]
    if not is_valid:
        return _dead(f"It is not valid ({api.redact(told.error)}); make a new one and set META_ACCESS_TOKEN.")
    if isinstance(refusal, AuthError):
        return _dead(str(refusal))
    return [
        ok("token", f"Valid; {told.kind} token of the app {told.app}."),
        _permissions(told),
        _end("token expiry", "The token", told.expires_at, now),
        _end("data access", "The app's access to data", told.data_access_ends_at, now),
        _granted(settings, told),
    ]


def _dead(sentence: str) -> list[Finding]:
    return [fail("token", sentence), *not_checked(TOKEN_CHECKS[1:], "the token is not accepted")]


def _read_token(data: Mapping[str, Any]) -> _Token:
    granular, error = data.get("granular_scopes") or [], data.get("error") or {}
    return _Token(
        kind=str(data.get("type") or "unknown"),
        app=f"{data.get('application') or 'without a name'} ({data.get('app_id') or '?'})",
        scopes=tuple(str(scope) for scope in data.get("scopes") or []),
        expires_at=_moment(data.get("expires_at")),
        data_access_ends_at=_moment(data.get("data_access_expires_at")),
        targets={
            str(item["scope"]): tuple(str(target) for target in item["target_ids"])
            for item in granular
            if item.get("target_ids")
        },
        error=f"code {error.get('code')}: {str(error.get('message') or 'no reason given').rstrip('.')}",
    )


def _moment(seconds: object) -> datetime | None:
    """A moment of Meta's; 0 and nothing stand for never."""
    return datetime.fromtimestamp(int(str(seconds)), UTC) if seconds else None


def _permissions(token: _Token) -> Finding:
    held = [scope for scope in _READING if scope in token.scopes]
    if held:
        return ok("permissions", f"{' and '.join(held)}, which is enough to read insights.")
    shown = ", ".join(token.scopes) or "none"
    return fail("permissions", f"The token has {shown}, but reading insights takes ads_read; make one that has it.")


def _end(name: str, what: str, ends_at: datetime | None, now: datetime) -> Finding:
    if ends_at is None:
        return ok(name, f"{what} never ends.")
    remedy = "make a new token (that of a system user need not end) and set META_ACCESS_TOKEN"
    left = (ends_at - now).days
    if ends_at <= now:
        return fail(name, f"{what} ended on {ends_at:%Y-%m-%d}; {remedy}.")
    if left < TOKEN_DAYS:
        return warn(name, f"{what} ends on {ends_at:%Y-%m-%d}, in {left} days; {remedy}.")
    return ok(name, f"{what} ends on {ends_at:%Y-%m-%d}, in {left} days.")


def _granted(settings: Settings, token: _Token) -> Finding:
    held = [scope for scope in _READING if scope in token.scopes]
    if not held or any(scope not in token.targets for scope in held):
        return ok("granted accounts", "The permission is not confined to some accounts.")
    granted = {target.removeprefix("act_") for scope in held for target in token.targets[scope]}
    left_out = [f"act_{account}" for account in settings.ad_account_ids if account not in granted]
    if left_out:
        return fail(
            "granted accounts",
            f"The permission leaves out {', '.join(left_out)} of META_AD_ACCOUNT_IDS; grant the app these accounts, too.",
        )
    return ok("granted accounts", f"The permission is confined to {len(granted)} accounts, none of ours left out.")
