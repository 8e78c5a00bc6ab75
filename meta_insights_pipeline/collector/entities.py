"""Fetching campaigns, ad sets, ads and creatives of an account: all of them once a day, and what has changed in between.

A refresh is one list call for campaigns, one for ad sets and one for ads with their creatives. Meta's lists leave deleted
entities out, so whatever a full listing no longer shows is asked for by id, and so is whatever only insights know. A refresh
that is interrupted is gone on with by the next one, behind the last page (`list_book`).
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import (
    EntityBatch,
    EntityRow,
    Ghost,
    KnownEntities,
    MissingEntity,
    Recovered,
    Value,
)
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.entity_values import UnreadableValueError, entity_row
from meta_insights_pipeline.collector.list_book import ListBook, OldPage, Progress
from meta_insights_pipeline.collector.report_book import identity
from meta_insights_pipeline.graph_api.batch import BatchCall, get_many
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    BlockedError,
    GraphApiError,
    NotFoundError,
    PagingError,
    PermissionDeniedError,
    RetryableError,
    ThrottleError,
    TooMuchDataError,
)
from meta_insights_pipeline.graph_api.paging import Page, follow_pages

log = logging.getLogger(__name__)

PAGE_OBJECTS = 500
# Creatives make an ad ten times as large.
HEAVY_PAGE_OBJECTS = 100
# Lists are not quite in step with `updated_time`, and pages are read one after the other.
UPDATED_MARGIN = timedelta(hours=1)
# With more, listing all ad sets and ads takes fewer calls than listing those of each parent.
CHANGED_PARENTS_AT_MOST = 10
# Each refused creative takes some fifteen calls to find in a list; with more, creatives are asked for one by one.
REFUSED_CREATIVES_AT_MOST = 10
# Creatives that came with no ad are asked for in turn, one request a day: no ad uses them, and few ever change again.
UNLISTED_CREATIVES_AT_MOST = 50
# The score of an account and the budget of the app are shared with insights, which must find room in them at any time.
SHARED_PERCENT_AT_MOST = 75.0
# Where insights alone take more than that, lists would otherwise never be read.
PAGES_AT_LEAST = 5
_LISTS = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)
_REFUSED = (TooMuchDataError, BadRequestError, NotFoundError, PermissionDeniedError)


def full_listing_is_due(known: KnownEntities, account: AdAccount, now: datetime) -> bool:
    """Whether everything should be listed: the first time, and once in each day of the account."""
    return known.listed_at is None or account.today(known.listed_at) < account.today(now)


@dataclass(frozen=True)
class Refreshed:
    """What a refresh came to."""

    batches: tuple[EntityBatch, ...]
    """What may be stored, by the moment at which it was true, the oldest first."""
    interrupted: GraphApiError | None = None
    """Why it is not at its end; the next refresh goes on."""
    seen: datetime | None = None
    """When (UTC) the oldest page that it used was true, once it is at its end."""

    @property
    def has_rows(self) -> bool:
        """Whether the batches hold whatever was read."""
        return any(batch.rows for batch in self.batches)


def fetch_entities(
    api: GraphApi,
    account: AdAccount,
    known: KnownEntities,
    *,
    full: bool,
    ghosts: Sequence[Ghost] = (),
    now: datetime | None = None,
    book: ListBook | None = None,
) -> Refreshed:
    """Refresh the entities of an account.

    A full listing reads the account itself and every campaign, ad set and ad with its creative, archived ones included. An
    incremental one reads those that were changed since, and those whose status may have changed with their parent's.

    When it is interrupted, what a full listing has read so far can be stored at once. Of an incremental one nothing can: what
    is stored decides what the next one asks for.

    Args:
        api: The session.
        account: Whose entities.
        known: What is stored of them; without a full listing before, this one is full.
        full: Whether to list everything.
        ghosts: Entities that only insights know.
        now: The moment of the refresh; None takes the clock's.
        book: Where half-read lists are kept; without one, every refresh begins anew.

    Raises:
        AuthError: The token is refused.
    """
    refresh = _Refresh(
        api, account, known, full=full or known.listed_at is None, began=now or datetime.now(UTC), book=book
    )
    try:
        refresh.read_lists()
        refresh.read_by_id(ghosts)
    except AuthError:
        raise
    except GraphApiError as error:
        return refresh.so_far(error)
    return refresh.done()


class _Refresh:
    """One refresh of one account while it is under way."""

    def __init__(
        self,
        api: GraphApi,
        account: AdAccount,
        known: KnownEntities,
        *,
        full: bool,
        began: datetime,
        book: ListBook | None,
    ) -> None:
        self._api = api
        self._account = account
        self._known = known
        self._full = full
        self._began = began
        self._book = book
        self._rows: dict[EntityKind, dict[str, EntityRow]] = {kind: {} for kind in EntityKind}
        self._moments: dict[tuple[EntityKind, str], datetime | None] = {}
        """When each row was true; None: it is stored already."""
        self._moment: datetime | None = began
        """Of what comes in."""
        self._oldest = began
        self._reading: EntityKind = EntityKind.AD_ACCOUNTS
        self._pages_read = 0
        self._by_id: dict[EntityKind, set[str]] = {}
        self._missing: list[MissingEntity] = []
        self._refused_creatives: set[str] = set()
        self._about = {"account": account.id}

    def done(self) -> Refreshed:
        """What it came to, everything being read."""
        return Refreshed(self._batches(full=self._full), seen=self._oldest)

    def so_far(self, error: GraphApiError) -> Refreshed:
        """What it came to, being interrupted."""
        self._missing.append(MissingEntity(self._reading, None, str(error)))
        if self._full:
            return Refreshed(self._batches(full=False), error)
        # The books alone: what is stored of an incremental refresh would hide what it has not read.
        return Refreshed((EntityBatch(self._account.id, self._began, False, {}, missing=tuple(self._missing)),), error)

    def _batches(self, *, full: bool) -> tuple[EntityBatch, ...]:
        moments = sorted({at for at in self._moments.values() if at is not None and at != self._began})
        last = EntityBatch(
            account_id=self._account.id,
            collected_at=self._began,
            full=full,
            rows=self._rows_of(self._began),
            fetched_by_id={kind: frozenset(ids) for kind, ids in self._by_id.items()},
            missing=tuple(self._missing),
        )
        return (*(EntityBatch(self._account.id, at, False, self._rows_of(at)) for at in moments), last)

    def _rows_of(self, at: datetime) -> dict[EntityKind, tuple[EntityRow, ...]]:
        return {
            kind: tuple(row for entity_id, row in rows.items() if self._moments[kind, entity_id] == at)
            for kind, rows in self._rows.items()
        }

    # ---- lists ----

    def read_lists(self) -> None:
        """Read the account and the three lists."""
        if self._full:
            self._read_account()
        changed: list[str] = []
        for kind in _LISTS:
            everything = self._full or len(changed) > CHANGED_PARENTS_AT_MOST
            since = None if everything else self._changed_since(kind)
            self._list(kind, self._account.node, since)
            if not everything:
                # What a parent passes down changes without a change of `updated_time`.
                for parent in changed:
                    self._list(kind, parent, None)
            changed += self._changed(kind, changed)

    def _changed_since(self, kind: EntityKind) -> datetime | None:
        """Of a refresh that went on over several syncs, the first pages are older than the newest change that it saw."""
        updated = self._known.updated.get(kind)
        seen = self._book.seen_until(self._account.id) if self._book is not None else None
        return min(updated, seen) if updated is not None and seen is not None else updated

    def _read_account(self) -> None:
        kind = EntityKind.AD_ACCOUNTS
        for guarded in (True, False):
            parameters = {"fields": kind.request_fields(guarded=guarded)}
            try:
                answer = self._api.get(
                    self._account.node, parameters, kind="entities", read=read_object, account=self._account.id
                )
            except (PermissionDeniedError, BadRequestError) as error:
                if not guarded:
                    raise
                self._miss(kind, self._account.id, f"Some attributes are left out. {error}")
            else:
                self._take(kind, {**answer, "id": self._account.id})
                return

    def _list(self, kind: EntityKind, node: str, since: datetime | None) -> None:
        path = f"{node}/{kind.value}"
        parameters = {"effective_status": _compact(kind.listed_statuses)}
        if since is not None:
            after = int((since - UPDATED_MARGIN).timestamp())
            rule = {"field": f"{kind.level}.updated_time", "operator": "GREATER_THAN", "value": after}
            parameters["filtering"] = _compact([rule])
        if kind is EntityKind.ADS:
            self._list_ads(path, parameters)
            return
        parameters["fields"] = kind.request_fields()

        def read(reading: _Reading) -> None:
            for page in self._pages(path, parameters, PAGE_OBJECTS, reading.after):
                self._take_page(kind, page, reading)

        self._go_on(kind, path, parameters, read)

    def _go_on(
        self, kind: EntityKind, path: str, parameters: Mapping[str, str], read: Callable[["_Reading"], None]
    ) -> None:
        """Read a list from where an earlier sync left it; from its beginning when its cursor leads nowhere any more."""
        self._reading = kind
        reading = _Reading(self._book, self._account.id, self._api, path, parameters)
        for page in reading.old_pages():
            self._moment = None if page.is_stored else page.at
            self._oldest = min(self._oldest, page.at)
            for answer in page.objects:
                self._take(kind, answer)
        self._moment = self._began
        if reading.is_complete:
            return
        try:
            read(reading)
        except (PagingError, BadRequestError, NotFoundError) as error:
            if not reading.is_old:
                raise
            log.info("%s: the list of %s is begun anew. %s", self._account.node, kind.value, error)
            reading.restart()
            read(reading)
        reading.finish()

    def _changed(self, kind: EntityKind, above: Sequence[str]) -> list[str]:
        """Entities whose status is another than the stored one; what is below one of `above` has been listed with it."""
        before, listed = self._known.live.get(kind, {}), frozenset(above)
        return [
            entity_id
            for entity_id, row in self._rows[kind].items()
            if before.get(entity_id, row[kind.status_column]) != row[kind.status_column]
            and row.get("campaign_id") not in (listed if kind is EntityKind.ADSETS else ())
        ]

    def _list_ads(self, path: str, parameters: Mapping[str, str]) -> None:
        """Read ads with their creatives; where Meta refuses a page because of one of these, find the ad and go on without.

        Meta refuses a whole page when the post of one creative is gone (code 100, subcode 2446289) or one is too large.
        """
        rich = {**parameters, "fields": EntityKind.ADS.request_fields(creatives=True)}
        self._go_on(EntityKind.ADS, path, rich, lambda reading: self._read_ads(path, parameters, rich, reading))

    def _read_ads(self, path: str, parameters: Mapping[str, str], rich: Mapping[str, str], reading: "_Reading") -> None:
        after = reading.after
        size, refusals = HEAVY_PAGE_OBJECTS, 0
        seen: set[str] = set()
        while refusals < REFUSED_CREATIVES_AT_MOST:
            try:
                for page in self._pages(path, rich, size, after):
                    after = page.after
                    self._take_page(EntityKind.ADS, page, reading)
                    if size < HEAVY_PAGE_OBJECTS:
                        break
                else:
                    return
                size = min(HEAVY_PAGE_OBJECTS, 2 * size)
            except _REFUSED as error:
                # A page that is too large has been tried down to one ad already.
                if size > 1 and not isinstance(error, TooMuchDataError):
                    size //= 2
                    continue
                size, refusals = 1, refusals + 1
                after = self._read_without_creative(path, parameters, after, error, reading)
            if after is None:
                return
            if after in seen:
                raise PagingError(f"GET /{path}: the cursor {after!r} came twice, so the list would never end.")
            seen.add(after)
        self._list_without_creatives(path, parameters, after, reading)

    def _read_without_creative(
        self,
        path: str,
        parameters: Mapping[str, str],
        after: str | None,
        error: GraphApiError,
        reading: "_Reading",
    ) -> str | None:
        """Read the one ad whose creative is refused; gives the cursor behind it."""
        plain = {**parameters, "fields": EntityKind.ADS.request_fields()}
        page = next(self._pages(path, plain, 1, after), None)
        if page is None:
            return None
        for answer in _objects(page):
            creative = answer.get("creative") or {}
            if "id" in creative:
                self._refused_creatives.add(str(creative["id"]))
                self._miss(EntityKind.CREATIVES, str(creative["id"]), str(error))
        self._take_page(EntityKind.ADS, page, reading)
        return page.after

    def _list_without_creatives(
        self, path: str, parameters: Mapping[str, str], after: str | None, reading: "_Reading"
    ) -> None:
        """Read the ads that are left; their creatives, when not stored yet, are asked for by id: there each is refused alone."""
        plain = {**parameters, "fields": EntityKind.ADS.request_fields()}
        for page in self._pages(path, plain, PAGE_OBJECTS, after):
            self._take_page(EntityKind.ADS, page, reading)

    def _pages(self, path: str, parameters: Mapping[str, str], size: int, after: str | None) -> Iterator[Page]:
        asked = {**parameters, "limit": str(size)}
        return follow_pages(self._api, path, asked, kind="entities", account=self._account.id, after=after)

    # ---- by id ----

    def read_by_id(self, ghosts: Sequence[Ghost]) -> None:
        """Ask by id for what no list shows; from the ads up, since these name parents that may be unknown too."""
        for kind in reversed(_LISTS):
            self._read_each(kind, self._unlisted(kind, ghosts))
        self._read_each(EntityKind.CREATIVES, dict.fromkeys([*self._unread_creatives(), *self._unlisted_creatives()]))

    def _unlisted(self, kind: EntityKind, ghosts: Iterable[Ghost]) -> dict[str, Ghost | None]:
        wanted: dict[str, Ghost | None] = {}
        if self._full:
            wanted |= dict.fromkeys(self._known.live.get(kind, {}))
        wanted |= dict.fromkeys(each for each in self._parents(kind) if not self._known.holds(kind, each))
        wanted |= {each.id: each for each in ghosts if each.kind is kind and not self._known.holds(kind, each.id)}
        return {each: ghost for each, ghost in wanted.items() if each not in self._rows[kind]}

    def _parents(self, kind: EntityKind) -> Iterator[str]:
        for child in _LISTS[_LISTS.index(kind) + 1 :]:
            for row in self._rows[child].values():
                if parent := row.get(kind.id_column):
                    yield str(parent)

    def _unread_creatives(self) -> list[str]:
        kind = EntityKind.CREATIVES
        used = dict.fromkeys(
            str(row["creative_id"]) for row in self._rows[EntityKind.ADS].values() if row.get("creative_id")
        )
        return [
            each
            for each in used
            if each not in self._rows[kind]
            and each not in self._refused_creatives
            and not self._known.holds(kind, each)
        ]

    def _unlisted_creatives(self) -> list[str]:
        if not self._full:
            return []
        kind = EntityKind.CREATIVES
        unlisted = [
            each
            for each in self._known.live.get(kind, {})
            if each not in self._rows[kind] and each not in self._refused_creatives
        ]
        return unlisted[:UNLISTED_CREATIVES_AT_MOST]

    def _read_each(self, kind: EntityKind, wanted: Mapping[str, Ghost | None]) -> None:
        if not wanted:
            return
        self._reading = kind
        log.info("%s: %d %s are read by id", self._account.node, len(wanted), kind.value, extra=self._about)
        self._by_id.setdefault(kind, set()).update(wanted)
        answers = self._ask_by_id(wanted, kind.request_fields(creatives=True))
        # Of an ad, the creative may be what is refused.
        wrong = GraphApiError if kind is EntityKind.ADS else RetryableError
        again = [each for each, answer in answers.items() if isinstance(answer, wrong)]
        answers |= self._ask_by_id(again, kind.request_fields())
        for entity_id, answer in answers.items():
            if isinstance(answer, NotFoundError):
                self._bury(kind, entity_id, wanted[entity_id])
            elif isinstance(answer, GraphApiError):
                self._miss(kind, entity_id, str(answer))
            else:
                self._take(kind, answer, Recovered.BY_ID)

    def _ask_by_id(self, ids: Iterable[str], fields: str) -> dict[str, dict[str, Any] | GraphApiError]:
        wanted = list(ids)
        calls = [BatchCall(each, {"fields": fields}) for each in wanted]
        answers = get_many(self._api, calls, kind="entity_by_id", account=self._account.id, read=read_object)
        for answer in answers:
            if isinstance(answer, ThrottleError | AuthError):
                raise answer
        return dict(zip(wanted, answers, strict=True))

    def _bury(self, kind: EntityKind, entity_id: str, ghost: Ghost | None) -> None:
        """Write down an entity that Meta does not know any more: its row stays, or is made of what insights know."""
        row: dict[str, Value] = {"account_id": self._account.id, kind.id_column: entity_id, "is_deleted": True}
        if self._known.holds(kind, entity_id):
            row["recovered"] = Recovered.KEPT
        else:
            row |= {**(ghost.attributes if ghost else {}), "recovered": Recovered.INSIGHTS}
        self._put(kind, entity_id, row)

    # ---- what comes in ----

    def _take_page(self, kind: EntityKind, page: Page, reading: "_Reading") -> None:
        """Take a page that has just come, and see whether there is room for the next one."""
        for answer in _objects(page):
            self._take(kind, answer)
        reading.keep(page, self._began)
        self._pages_read += 1
        if page.after is None or self._pages_read < PAGES_AT_LEAST:
            return
        percent = self._api.budget.shared_percent(self._account.id)
        if percent > SHARED_PERCENT_AT_MOST:
            raise BlockedError(
                f"Listing stopped after {self._pages_read} pages of {kind.value}, since {percent:.0f} percent of a limit that "
                "insights share are used; the next sync goes on."
            )

    def _take(self, kind: EntityKind, answer: Mapping[str, Any], recovered: Recovered | None = None) -> None:
        entity_id = str(answer.get("id") or "")
        if not entity_id:
            self._miss(kind, None, f"Meta gave a {kind.noun} without its id.")
            return
        if kind is EntityKind.ADS:
            self._take_creative(answer.get("creative") or {}, recovered)
        try:
            row = entity_row(
                kind, answer, account_id=self._account.id, currency=self._account.currency, recovered=recovered
            )
        except UnreadableValueError as error:
            self._miss(kind, entity_id or None, f"{error}; the {kind.noun} stays as it was.")
            return
        self._put(kind, entity_id, row)

    def _put(self, kind: EntityKind, entity_id: str, row: EntityRow) -> None:
        self._rows[kind][entity_id] = row
        self._moments[kind, entity_id] = self._moment

    def _take_creative(self, answer: Mapping[str, Any], recovered: Recovered | None) -> None:
        # With the id alone the creative was not asked for.
        if len(answer) > 1:
            self._take(EntityKind.CREATIVES, answer, recovered)

    def _miss(self, kind: EntityKind, entity_id: str | None, reason: str) -> None:
        log.warning("%s: %s %s: %s", self._account.node, kind.noun, entity_id or "?", reason, extra=self._about)
        self._missing.append(MissingEntity(kind, entity_id, reason))


class _Reading:
    """One list while it is read, in the book if there is one."""

    def __init__(
        self, book: ListBook | None, account_id: str, api: GraphApi, path: str, parameters: Mapping[str, str]
    ) -> None:
        key = identity(api.base_url, api.version, path, parameters)
        self._book = book
        self._progress = book.claim(account_id, key) if book is not None else Progress(account_id, key)
        self.is_old = self._progress.pages > 0
        """Whether an earlier sync has begun it."""

    @property
    def after(self) -> str | None:
        """The cursor to go on behind."""
        return self._progress.after

    @property
    def is_complete(self) -> bool:
        return self._progress.complete

    def old_pages(self) -> Iterable[OldPage]:
        """The pages of earlier syncs."""
        return self._book.pages(self._progress) if self._book is not None else ()

    def keep(self, page: Page, at: datetime) -> None:
        if self._book is not None:
            self._progress = self._book.add(self._progress, at, page.rows, page.after)

    def restart(self) -> None:
        self.is_old = False
        if self._book is not None:
            self._progress = self._book.restart(self._progress)

    def finish(self) -> None:
        if self._book is not None:
            self._book.finish(self._progress)


def _objects(page: Page) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = read_object(b'{"data":' + page.rows + b"}")["data"]
    return objects


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
