"""Lists that come in pages: cutting a page into rows and cursor, and following the cursors to the end."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from meta_insights_pipeline.graph_api.client import GraphApi, InvalidAnswerError, read_object
from meta_insights_pipeline.graph_api.errors import PagingError, TooMuchDataError, TransientError, TransportError

MAX_PAGES = 100_000
_USUAL_LIMIT = "25"
_GROW_AFTER = 8
# What Meta gives when nobody names a limit: if that is too much, too, it is not the size.
_SMALL_PAGE = 25
_HEAD = re.compile(rb'\s*\{\s*"data"\s*:\s*(?=\[)')
_PAIRS = ((b"[", b"]"), (b"{", b"}"))


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    rows: bytes
    """The JSON array of rows, as Meta wrote it; the paging object, which holds the token, is cut off."""
    after: str | None
    """The cursor of the next page, or None on the last one."""

    @property
    def is_empty(self) -> bool:
        """Whether the page has no row; an empty page may still have a next one."""
        return self.rows[1:-1].strip() == b""


def read_page(body: bytes) -> Page:
    """Cut an answer `{"data": [...], "paging": {...}}` into rows and cursor.

    Rows stay the bytes that came: nothing is lost or rounded on the way to the warehouse, and parsing happens once, there.
    What follows the rows is parsed here; an answer that ends early is therefore noticed.

    Raises:
        InvalidAnswerError: The body is no such answer.
    """
    return _cut(body) or _parse(body)


def _cut(body: bytes) -> Page | None:
    """Cut without parsing the rows, or None when the answer is not laid out as Meta usually does."""
    head = _HEAD.match(body)
    at = body.rfind(b'"paging"')
    # Without a paging object behind the rows nothing tells whether they are complete.
    if head is None or at < head.end():
        return None
    rows = body[head.end() : at].rstrip()
    if not rows.endswith(b","):
        return None
    rows = rows[:-1].rstrip()
    if not rows.endswith(b"]") or not _are_whole(rows):
        return None
    try:
        rest = orjson.loads(b"{" + body[at:])
    except orjson.JSONDecodeError:
        return None
    return Page(rows, _after(rest["paging"]))


def _are_whole(rows: bytes) -> bool:
    """Whether these are whole rows: a paging object may be that of a list inside a row of an answer that ends early.

    Counting is all that is done for rows whose brackets match, since parsing takes several times as long.
    """
    if all(rows.count(left) == rows.count(right) for left, right in _PAIRS):
        return True
    # A bracket of its own in some name is rare; then only parsing tells.
    try:
        orjson.loads(rows)
    except orjson.JSONDecodeError:
        return False
    return True


def _parse(body: bytes) -> Page:
    # Numbers with a fraction become text, so that they come out of the second encoding as they went in.
    try:
        answer = json.loads(body, parse_float=str)
    except ValueError:
        raise InvalidAnswerError("the answer is not JSON") from None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise InvalidAnswerError("the answer holds no list of rows")
    return Page(json.dumps(rows).encode(), _after(answer.get("paging")))


def _after(paging: object) -> str | None:
    """The next cursor; Meta gives cursors on the last page too, only `next` tells whether there is more."""
    # Of nothing, Meta makes an empty object, an empty list or null.
    if not paging:
        return None
    if not isinstance(paging, dict):
        raise InvalidAnswerError("the answer's paging is not an object")
    if not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not after:
        raise InvalidAnswerError("the answer names a next page without a cursor")
    return str(after)


def follow_pages(
    api: GraphApi,
    path: str,
    parameters: Mapping[str, str],
    *,
    kind: str,
    account: str | None = None,
    after: str | None = None,
    size: "PageSize | None" = None,
) -> Iterator[Page]:
    """Every page of a list, in order.

    A short or empty page is not the end; only a missing `next` is. An empty page whose cursor does not move is asked for
    once more, and is the end when it comes again: Meta was seen to answer so for ever. A page that is too large for Meta is
    asked for with half the `limit`, which grows back once that works.

    Args:
        api: The session.
        path: Of the list.
        parameters: Of the list, `limit` among them.
        kind: What the calls are for, in the counts.
        account: Whose budget the calls are charged to.
        after: The cursor to go on behind; None begins with the first page.
        size: How many rows to ask for at once, in place of the `limit` of the parameters; learns what Meta gives.

    Raises:
        PagingError: A cursor that was there already returns with rows, or there are more than `MAX_PAGES` pages.
        GraphApiError: A page could not be read.
    """
    seen: set[str] = set() if after is None else {after}
    size = size or PageSize(int(parameters.get("limit", _USUAL_LIMIT)))
    stands = False
    for _ in range(MAX_PAGES):
        page = _read(api, path, {**parameters, **({"after": after} if after else {})}, size, kind, account)
        if not page.is_empty:
            yield page
        if page.after is None:
            return
        if page.after in seen:
            if not page.is_empty:
                raise PagingError(f"GET /{path}: the cursor {page.after!r} came twice, so the list would never end.")
            if stands:
                return
            stands = True
            continue
        seen.add(page.after)
        after, stands = page.after, False
    raise PagingError(f"GET /{path}: more than {MAX_PAGES} pages.")


@dataclass
class PageSize:
    """How many rows to ask for at once: what is wanted, what Meta gives just now, and what was found out about it."""

    wanted: int
    now: int = 0
    """What to ask for next; begins with what is wanted unless given."""
    grows: bool = True
    """Go back towards what is wanted after some pages; not when somebody remembers the size from list to list."""
    after_trouble: bool = False
    """Ask for less after trouble of Meta's own, too, which may be a word for too much."""
    given: int = 0
    """The size of the last page that came, unless it was refused since."""
    refused: int | None = None
    """The smallest size that was refused."""
    is_sure: bool = False
    """Whether Meta itself said that it was too much, or was in trouble with a larger page after a smaller one had come."""
    _pages: int = 0
    """That came since the size last changed."""
    _is_climbing: bool = False

    def __post_init__(self) -> None:
        self.now = self.now or self.wanted

    def halve(self) -> bool:
        """Ask for less, since Meta says that it is too much; False when that is not possible."""
        if self.now == 1:
            return False
        self._refuse(self.now // 2)
        self.is_sure = True
        return True

    def shrink(self) -> bool:
        """Ask for less after trouble, since it may be too much; False when that was tried, or cannot help."""
        if not self.after_trouble:
            return False
        if self._is_climbing and 0 < self.given < self.now:
            # Smaller pages came, this one did not: so it is the size.
            self.is_sure = True
            self._refuse(self.given)
            return True
        if self._is_climbing or self.now <= _SMALL_PAGE:
            return False
        self._refuse(_SMALL_PAGE)
        self._is_climbing = True
        return True

    def _refuse(self, smaller: int) -> None:
        self.refused = min(self.refused or self.now, self.now)
        self._is_climbing = False
        self.now, self.given, self._pages = smaller, 0, 0

    def came(self) -> None:
        """A page came: go back towards what is wanted, but not so soon that every other page is refused."""
        self.given = self.now
        self._pages += 1
        larger = min(self.wanted, self.now * 2)
        if self._is_climbing:
            if self.refused is None or larger < self.refused:
                self.now = larger
        elif self.grows and self._pages >= _GROW_AFTER:
            self.now, self._pages = larger, 0


def _read(
    api: GraphApi, path: str, parameters: Mapping[str, str], size: PageSize, kind: str, account: str | None
) -> Page:
    while True:
        asked = {**parameters, "limit": str(size.now)} if "limit" in parameters else parameters
        try:
            page = api.get(path, asked, kind=kind, read=read_page, account=account)
        except TooMuchDataError:
            if "limit" not in parameters or not size.halve():
                raise
            continue
        except (TransientError, TransportError) as error:
            # Where Meta names a time, it speaks of time and not of size.
            if "limit" not in parameters or error.retry_after is not None or not size.shrink():
                raise
            continue
        size.came()
        return page


def list_objects(
    api: GraphApi, path: str, parameters: Mapping[str, str], *, kind: str, account: str | None = None
) -> Iterator[dict[str, Any]]:
    """Every object of a list, for lists that are short enough to be Python values; numbers are exact decimals."""
    for page in follow_pages(api, path, parameters, kind=kind, account=account):
        yield from read_object(b'{"data":' + page.rows + b"}")["data"]
