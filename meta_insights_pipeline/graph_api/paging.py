"""Lists that come in pages: cutting a page into rows and cursor, and following the cursors to the end."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from meta_insights_pipeline.graph_api.client import GraphApi, InvalidAnswerError, read_object
from meta_insights_pipeline.graph_api.errors import PagingError

MAX_PAGES = 100_000
_HEAD = re.compile(rb'\s*\{\s*"data"\s*:\s*(?=\[)')


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
    if head is None:
        return None
    at = body.rfind(b'"paging"')
    rows = body[head.end() : at].rstrip() if at > 0 else body[head.end() :].rstrip()
    rest = b"{" + body[at:] if at > 0 else b"{}"
    rows = rows.removesuffix(b"," if at > 0 else b"}").rstrip()
    if not rows.endswith(b"]"):
        return None
    try:
        paging = orjson.loads(rest).get("paging", {})
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return Page(rows, _after(paging))


def _parse(body: bytes) -> Page:
    # Numbers with a fraction become text, so that they come out of the second encoding as they went in.
    try:
        answer = json.loads(body, parse_float=str)
    except ValueError:
        raise InvalidAnswerError("the answer is not JSON") from None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise InvalidAnswerError("the answer holds no list of rows")
    return Page(json.dumps(rows, ensure_ascii=False).encode(), _after(answer.get("paging") or {}))


def _after(paging: Mapping[str, Any]) -> str | None:
    """The next cursor; Meta gives cursors on the last page too, only `next` tells whether there is more."""
    if not paging.get("next"):
        return None
    after = (paging.get("cursors") or {}).get("after")
    if not after:
        raise InvalidAnswerError("the answer names a next page without a cursor")
    return str(after)


def follow_pages(api: GraphApi, path: str, parameters: Mapping[str, str], *, kind: str) -> Iterator[Page]:
    """Every page of a list, in order.

    A short or empty page is not the end; only a missing `next` is. An empty page whose cursor does not move is the end
    too: Meta was seen to answer so for ever.

    Raises:
        PagingError: A cursor that was there already returns with rows, or there are more than `MAX_PAGES` pages.
        GraphApiError: A page could not be read.
    """
    seen: set[str] = set()
    after: str | None = None
    for _ in range(MAX_PAGES):
        page = api.get(path, {**parameters, **({"after": after} if after else {})}, kind=kind, read=read_page)
        if not page.is_empty:
            yield page
        if page.after is None:
            return
        if page.after in seen or page.after == after:
            if page.is_empty:
                return
            raise PagingError(f"GET /{path}: the cursor {page.after!r} came twice, so the list would never end.")
        seen.add(page.after)
        after = page.after
    raise PagingError(f"GET /{path}: more than {MAX_PAGES} pages.")


def list_objects(api: GraphApi, path: str, parameters: Mapping[str, str], *, kind: str) -> Iterator[dict[str, Any]]:
    """Every object of a list, for lists that are short enough to be Python values; numbers are exact decimals."""
    for page in follow_pages(api, path, parameters, kind=kind):
        yield from read_object(b'{"data":' + page.rows + b"}")["data"]
