"""Where the book of Meta's budgets lies: in the home, or in a file that several homes share; and what keeps apps in it apart."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.state import State


@contextmanager
def open_budget(settings: Settings, own: State, clock: Clock) -> Iterator[Budget]:
    """The book of the budgets that calls of these settings are charged to.

    Args:
        settings: Mode, address, app or token, and where the book lies.
        own: The state file of the home.
        clock: The time.

    Raises:
        SettingsError: The shared file cannot be opened.
    """
    if not is_shared(settings):
        yield Budget(own, clock, namespace=settings.graph_api_url)
        return
    path = settings.budget_path
    assert path is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = State(path)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(
            f"META_INSIGHTS_BUDGET_PATH is {str(path)!r}, which cannot be opened ({error}); name a file that this user can write."
        ) from None
    with state:
        yield Budget(state, clock, namespace=f"{settings.graph_api_url.rstrip('/')}#{_app(settings)}")


def is_shared(settings: Settings) -> bool:
    """Whether the book is shared with other homes; a simulated world inside the process has budgets of its own."""
    return settings.budget_path is not None and settings.mode == "live"


def _app(settings: Settings) -> str:
    """A name for the app that tells nothing of its secrets; made of the token where there is no secret of the app."""
    secret = settings.app_secret or settings.access_token
    text = secret.get_secret_value() if secret else ""
    return hashlib.sha256(f"meta-insights budget {text}".encode()).hexdigest()[:16]
