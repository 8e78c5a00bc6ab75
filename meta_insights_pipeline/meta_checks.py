"""The doctor's checks at Meta: whether it answers, proof, token, accounts, version, clock. A failed call is a finding.

Token and accounts have modules of their own, `token_checks` and `account_checks`.
"""

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime
from urllib.parse import urlsplit

from meta_insights_pipeline.account_checks import check_accounts
from meta_insights_pipeline.budgets import open_budget
from meta_insights_pipeline.catalog.versions import api_versions, is_retired, live_versions, version_number
from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.findings import Finding, Status, fail, not_checked, ok, warn
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError, RetryableError, TransportError
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.state import State
from meta_insights_pipeline.token_checks import KIND, TOKEN_CHECKS, check_token

VERSION_DAYS = 90
"""Days before its end from which a version is warned of."""
SKEW_SECONDS, MOST_SKEW_SECONDS = 30.0, 300.0
"""How wrong a clock may be before it is warned of, and before it is a failure."""

_LOCAL = ("127.0.0.1", "localhost", "::1")
# Codes of a refusal that is about the proof and not about the token; no subcode comes with them.
_PROOF_CODES = (100, 104)
_NAMES = ("Graph API", "app secret", *TOKEN_CHECKS, "accounts", "clock")

OpenApi = Callable[[Settings, Budget], GraphApi]
"""Makes a session that asks a budget before it calls."""


def check_meta(settings: Settings, now: datetime, open_api: OpenApi) -> list[Finding]:
    """Every finding about Meta.

    Args:
        settings: Mode, address, version, token, accounts.
        now: For days left.
        open_api: Makes the session.
    """
    version = _version(settings.graph_api_version, now.date())
    with _open_state(settings) as state, ExitStack() as stack:
        try:
            budget = stack.enter_context(open_budget(settings, state, SystemClock()))
        except SettingsError as error:
            reason = "the book of Meta's budgets cannot be opened"
            return [fail("budget book", str(error)), *not_checked(_NAMES, reason), version]
        try:
            session = open_api(settings, budget)
        except SettingsError as error:
            rest = [name for name in _NAMES if name != "token"]
            return [fail("token", str(error)), *not_checked(rest, "there is no token"), version]
        with session as api:
            return _check(settings, api, budget, now, version)


def _open_state(settings: Settings) -> State:
    """What the syncs know of Meta's budgets: a call that is refused because one is spent would prolong that."""
    try:
        return State(settings.state_path) if settings.state_path.exists() else State.in_memory()
    except (OSError, sqlite3.Error):
        return State.in_memory()


def _check(settings: Settings, api: GraphApi, budget: Budget, now: datetime, version: Finding) -> list[Finding]:
    refusal = _refusal(api)
    reached = _reached(settings, refusal)
    if reached.status is Status.FAIL:
        return [reached, *not_checked(_NAMES[1:], "the Graph API cannot be reached"), version]
    return [
        reached,
        _app_secret(settings, refusal),
        *_token(settings, api, refusal, now),
        *check_accounts(settings, api, budget, refusal, now),
        _answered_version(version, api),
        _clock(settings, api),
    ]


# ---- the Graph API itself ----


def _refusal(api: GraphApi) -> GraphApiError | None:
    """What is wrong with the call that every token may make, if anything."""
    try:
        api.get("me", {"fields": "id"}, kind=KIND, read=read_object)
    except GraphApiError as error:
        return error
    return None


def _reached(settings: Settings, refusal: GraphApiError | None) -> Finding:
    if settings.mode == "stub":
        return ok("Graph API", "A simulated world inside this process answers (stub mode).")
    url = settings.graph_api_url
    if isinstance(refusal, TransportError):
        return fail(
            "Graph API",
            f"{url} gives no usable answer ({refusal.message.rstrip('.')}); check META_GRAPH_API_URL, network and proxy.",
        )
    if isinstance(refusal, RetryableError):
        return warn("Graph API", f"{url} answers, but not to us for now: {refusal}")
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        return warn("Graph API", f"{url} answers, but the token travels in clear; use https in META_GRAPH_API_URL.")
    return ok("Graph API", f"{url} answers.")


def _is_about_proof(refusal: GraphApiError | None) -> bool:
    return isinstance(refusal, AuthError) and refusal.code in _PROOF_CODES


def _app_secret(settings: Settings, refusal: GraphApiError | None) -> Finding:
    is_set = settings.app_secret is not None and settings.mode == "live"
    if _is_about_proof(refusal):
        if is_set:
            return fail(
                "app secret",
                "Meta does not accept the proof made with META_APP_SECRET; set it to the secret of the token's own app.",
            )
        return fail("app secret", "The app demands a proof with every call; set META_APP_SECRET to the app's secret.")
    if refusal is not None:
        return not_checked(["app secret"], "the call that would show it was refused for another reason")[0]
    if is_set:
        return ok("app secret", "Set, and Meta accepts the proof made with it.")
    return ok("app secret", "Not set, and the app does not demand it.")


def _token(settings: Settings, api: GraphApi, refusal: GraphApiError | None, now: datetime) -> list[Finding]:
    if _is_about_proof(refusal):
        return not_checked(TOKEN_CHECKS, "Meta refuses every call for want of the right proof")
    return check_token(settings, api, refusal, now)


def _version(asked: str, today: date) -> Finding:
    """What is known of the version without asking."""
    live = live_versions(today)
    newest = live[-1].name if live else asked
    known = api_versions().get(asked)
    if is_retired(asked, today):
        ended = f"on {known.ends_on}" if known else "long ago"
        return fail("API version", f"{asked} ended {ended}; set META_GRAPH_API_VERSION to {newest}.")
    if known is None:
        newer = version_number(asked) > version_number(newest)
        what = "newer than" if newer else "not among"
        return warn(
            "API version",
            f"{asked} is {what} the versions that this program knows; set META_GRAPH_API_VERSION to {newest}.",
        )
    left = known.days_left(today)
    if left is None:
        return ok("API version", f"{asked}; Meta has not announced its end.")
    if left < VERSION_DAYS:
        remedy = f"set META_GRAPH_API_VERSION to {newest}" if newest != asked else "update this program"
        return warn("API version", f"{asked} ends on {known.ends_on}, in {left} days; {remedy}.")
    return ok("API version", f"{asked}; it ends on {known.ends_on}, in {left} days.")


def _answered_version(offline: Finding, api: GraphApi) -> Finding:
    """The same, with what answers said of their version."""
    notes = " ".join(api.version_warnings)
    if not notes:
        return replace(offline, message=f"Answered as asked: {offline.message}")
    status = offline.status if offline.status is Status.FAIL else Status.WARN
    return replace(offline, status=status, message=f"{offline.message} {notes}")


def _clock(settings: Settings, api: GraphApi) -> Finding:
    if settings.mode == "stub":
        return ok("clock", "The simulated world goes by the clock of this machine.")
    skew = api.server_time_skew
    if skew is None:
        return not_checked(["clock"], "no answer said what time it is")[0]
    direction = "ahead of" if skew > 0 else "behind"
    if abs(skew) <= SKEW_SECONDS:
        return ok("clock", f"This machine and the Graph API agree to within {SKEW_SECONDS:.0f} s.")
    text = f"This machine is {abs(skew):.0f} s {direction} the Graph API; set its clock by NTP."
    return fail("clock", text) if abs(skew) > MOST_SKEW_SECONDS else warn("clock", text)
