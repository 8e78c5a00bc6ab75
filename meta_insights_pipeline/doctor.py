"""The doctor: every check of an installation, in the order in which a person would make them.

What is checked at Meta is in `meta_checks`, what is checked on disk in `disk_checks`.
"""

from datetime import datetime

from meta_insights_pipeline.collector.days import newest_day
from meta_insights_pipeline.disk_checks import check_disk
from meta_insights_pipeline.findings import Finding, fail, ok, warn
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.meta_checks import OpenApi, check_meta
from meta_insights_pipeline.read_api.access.startup import token_warning
from meta_insights_pipeline.read_api.access.tokens import token_verifier
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.sources import open_graph_api

# A person waits, and trouble that lasts is what they want to hear of.
_HASTY = RetryPolicy(attempts=2)


def run_doctor(
    settings: Settings,
    now: datetime,
    *,
    open_api: OpenApi = lambda settings, budget: open_graph_api(settings, budget=budget, retry=_HASTY),
) -> list[Finding]:
    """Make every check; whatever is broken is a finding, and what depends on it is told as not checked.

    Costs two calls, one for each 500 accounts, and one for each account.

    Args:
        settings: The installation.
        now: For ages and days left.
        open_api: Makes the session.
    """
    return [
        _settings(settings, now),
        *_tokens_of_clients(settings),
        *check_meta(settings, now, open_api),
        *check_disk(settings, now),
    ]


def _tokens_of_clients(settings: Settings) -> list[Finding]:
    """Of the read API's JSON Web Tokens, if any are accepted."""
    try:
        verifier = token_verifier(settings)
    except SettingsError as error:
        return [fail("JWT", str(error))]
    if verifier is None:
        return []
    warning = token_warning(settings)
    return [warn("JWT", warning) if warning else ok("JWT", "The read API takes tokens of one issuer, made for it.")]


def _settings(settings: Settings, now: datetime) -> Finding:
    if settings.start_date > newest_day(now):
        return fail(
            "settings", f"META_INSIGHTS_START_DATE is {settings.start_date}, which has not begun; set an earlier day."
        )
    accounts = f"{len(settings.ad_account_ids)} named" if settings.ad_account_ids else "all that the token can read"
    return ok(
        "settings",
        f"Mode {settings.mode}, home {settings.home}, days from {settings.start_date} on, accounts: {accounts}.",
    )
