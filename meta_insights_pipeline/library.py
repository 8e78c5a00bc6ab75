"""The pipeline as a library: insights as typed rows, awaited, without Dagster and without a warehouse.

Belongs here: what programs call, and checking what they pass. The work is done in `row_collection`, on threads.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import SecretStr

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.collection import Collection
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import LAST_ZONE, DayRange, newest_day
from meta_insights_pipeline.collector.rows import ActionRow, InsightRow
from meta_insights_pipeline.row_collection import (
    InsightsError,
    InsightsResult,
    MissingInsights,
    StoppableClock,
    check_reach,
    find_account,
    find_owner,
    rows_of_accounts,
    rows_of_entity,
    with_collection,
)
from meta_insights_pipeline.settings import Settings, load_settings
from meta_insights_pipeline.settings import account_id as bare_account_id

__all__ = [
    "ActionRow",
    "InsightRow",
    "InsightsError",
    "InsightsResult",
    "MetaInsightsCollector",
    "MissingInsights",
]

T = TypeVar("T")

# Calls of the library that work at a time; each of them makes several calls of Meta's API at once.
CALLS_TOGETHER = 8
# Meta keeps 37 months of insights (reference of the Insights API); a longer range is a mistake.
MOST_DAYS_BACK = 37 * 31


class MetaInsightsCollector:
    """Collects insights of ad accounts, campaigns, ad sets and ads.

    Each call opens what it works with and closes it again, so that a single call needs nothing else; `async with`, or `close`,
    ends what is still under way. Calls may be awaited together: they share one budget with each other and with every process
    that has the same home.
    """

    def __init__(
        self,
        mode: str | None = None,
        *,
        settings: Settings | None = None,
        home: Path | str | None = None,
        access_token: str | None = None,
        app_secret: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is called or opened yet.

        Args:
            mode: `stub` or `live`; by default that of the settings.
            settings: By default those of the environment and of the file `.env`.
            home: Folder for the collector's books, in place of that of the settings.
            access_token: In place of that of the settings; needed in live mode.
            app_secret: In place of that of the settings.
            clock: The time; the machine's own when left out.

        Raises:
            ValueError: There is no such mode.
            SettingsError: A setting cannot be used.
        """
        if mode not in (None, "stub", "live"):
            raise ValueError(f"mode is {mode!r}; use 'stub' or 'live'.")
        given = {
            "mode": mode,
            "home": None if home is None else Path(home),
            "access_token": None if access_token is None else SecretStr(access_token),
            "app_secret": None if app_secret is None else SecretStr(app_secret),
        }
        self._settings = (settings or load_settings()).model_copy(
            update={name: value for name, value in given.items() if value is not None}
        )
        self._clock = clock or SystemClock()
        self._closed = threading.Event()
        # Not the loop's own threads: a long report must not keep others from them.
        self._threads = ThreadPoolExecutor(CALLS_TOGETHER, thread_name_prefix="insights")
        self._owners: dict[tuple[Level, str], str] = {}
        self._accounts: dict[str, AdAccount] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is under way and wait until it has ended; calls that somebody waits for raise RuntimeError, as do new ones."""
        self._closed.set()
        await asyncio.to_thread(self._threads.shutdown)

    async def collect_account_insights(
        self, *, account_id: str, date_start: date | str, date_end: date | str
    ) -> list[InsightRow]:
        """The days on which an ad account delivered; as `collect_campaign_insights`.

        Args:
            account_id: With or without the prefix `act_`.
            date_start: First day.
            date_end: Last day, inclusive.
        """
        bare = bare_account_id(_text("account_id", account_id))
        return await self._collect(Level.ACCOUNT, bare, date_start, date_end)

    async def collect_campaign_insights(
        self, *, campaign_id: str, date_start: date | str, date_end: date | str
    ) -> list[InsightRow]:
        """The days on which a campaign delivered, a row each, the oldest first.

        Args:
            campaign_id: Its id.
            date_start: First day, as a date or as text like 2026-01-31; days are those of the ad account's time zone.
            date_end: Last day, inclusive; a day that has not begun in the ad account is not asked for.

        Raises:
            ValueError: An argument cannot be used, or the id is that of something else.
            InsightsError: The days, or some of them, could not be had; carries when it is worth asking again.
            SettingsError: Live mode without a token.
        """
        return await self._collect(Level.CAMPAIGN, _id("campaign_id", campaign_id), date_start, date_end)

    async def collect_adset_insights(
        self, *, adset_id: str, date_start: date | str, date_end: date | str
    ) -> list[InsightRow]:
        """The days on which an ad set delivered; as `collect_campaign_insights`."""
        return await self._collect(Level.ADSET, _id("adset_id", adset_id), date_start, date_end)

    async def collect_ad_insights(
        self, *, ad_id: str, date_start: date | str, date_end: date | str
    ) -> list[InsightRow]:
        """The days on which an ad delivered; as `collect_campaign_insights`."""
        return await self._collect(Level.AD, _id("ad_id", ad_id), date_start, date_end)

    async def collect_all(
        self,
        *,
        days_back: int,
        levels: Iterable[Level | str] | None = None,
        accounts: Iterable[str] | None = None,
    ) -> InsightsResult:
        """Everything that delivered from `days_back` days ago through today, in each account's own days.

        Args:
            days_back: 0 for today alone.
            levels: Some of `account`, `campaign`, `adset` and `ad`; all when left out.
            accounts: Ids of ad accounts; those of the settings, or all that the token can read, when left out.

        Raises:
            ValueError: An argument cannot be used.
            InsightsError: Nothing at all could be had: there is no account, or the token is refused.
            SettingsError: Live mode without a token.
        """
        if not isinstance(days_back, int) or not 0 <= days_back <= MOST_DAYS_BACK:
            raise ValueError(f"days_back is {days_back!r}; give a whole number from 0 to {MOST_DAYS_BACK}.")
        reports = reports_of_levels(
            list(Level) if levels is None else [_level(one) for one in _several("levels", levels)]
        )
        named = self._settings.ad_account_ids
        if accounts is not None:
            named = tuple(bare_account_id(_text("accounts", one)) for one in _several("accounts", accounts))
        return await self._run(lambda collection: rows_of_accounts(collection, named, reports, days_back))

    async def _collect(
        self, level: Level, entity_id: str, date_start: date | str, date_end: date | str
    ) -> list[InsightRow]:
        now = self._clock.now()
        days = _days(date_start, date_end, newest_day(now))
        # Where the day is the earliest, Meta gives the earliest days: what is too old there is so for every account.
        check_reach(AdAccount("", "", "", LAST_ZONE), level, days, now, self._settings.graph_api_version)

        def work(collection: Collection) -> list[InsightRow]:
            account = self._account_of(collection, level, entity_id)
            return rows_of_entity(collection, account, level, entity_id, days)

        return await self._run(work)

    def _account_of(self, collection: Collection, level: Level, entity_id: str) -> AdAccount:
        """The ad account of an entity; asked for once, since neither it nor its time zone changes."""
        owner = entity_id if level is Level.ACCOUNT else self._owners.get((level, entity_id))
        if owner is None:
            owner = self._owners[level, entity_id] = find_owner(collection, level, entity_id)
        if owner not in self._accounts:
            self._accounts[owner] = find_account(collection, owner)
        return self._accounts[owner]

    async def _run(self, work: Callable[[Collection], T]) -> T:
        """Do blocking work on a thread; when nobody waits for it any more, it ends as soon as it can."""
        if self._closed.is_set():
            raise RuntimeError("The collector is closed; make another one.")
        given_up = threading.Event()
        clock = StoppableClock(self._clock, (given_up, self._closed))
        context = contextvars.copy_context()
        future = self._threads.submit(context.run, with_collection, self._settings, clock, work)
        try:
            return await asyncio.wrap_future(future)
        finally:
            given_up.set()


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(
            f"{name} is {value!r}; ids are text, since they have more digits than many programs keep of a number."
        )
    return value


def _id(name: str, value: object) -> str:
    text = _text(name, value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}, which is not an id of Meta; ids look like 120210000000000000.")
    return text


def _level(value: object) -> Level:
    try:
        return Level(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"levels names {value!r}; use {', '.join(Level)}.") from None


def _several(name: str, values: Iterable[object]) -> list[object]:
    """The values of an argument that must have some: an empty selection would otherwise mean everything."""
    several: list[object] = [values] if isinstance(values, str) else list(values)
    if not several:
        raise ValueError(f"{name} is empty; leave it out to collect all.")
    return several


def _days(date_start: date | str, date_end: date | str, newest: date) -> DayRange:
    since, until = _day("date_start", date_start), _day("date_end", date_end)
    if since > until:
        raise ValueError(f"date_start {since} is after date_end {until}; swap them.")
    if since > newest:
        raise ValueError(f"date_start {since} is in the future; the newest day that has begun anywhere is {newest}.")
    return DayRange(since, until)


def _day(name: str, value: object) -> date:
    # A moment is a day only once a time zone is chosen, and the account's own is the right one.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, which is not a day; give a date or text like 2026-01-31.") from None
