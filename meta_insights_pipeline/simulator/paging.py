"""Pages of an answer: cursors that hide an offset, and links to the neighbours.

Belongs here: which rows make a page, and its `paging` object. Does not belong here: where rows come from.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from meta_insights_pipeline.simulator.errors import invalid_cursor
from meta_insights_pipeline.simulator.parameters import parse_limit

_PADDING = "ZD"


def encode_cursor(number: int) -> str:
    """Return a cursor: the decimal number in base64, with each `=` written as ZD."""
    return base64.b64encode(str(number).encode()).decode().replace("=", _PADDING)


def decode_cursor(text: str) -> int:
    """Return the number in a cursor."""
    body, padding = text, ""
    while body.endswith(_PADDING):
        body, padding = body.removesuffix(_PADDING), padding + "="
    try:
        digits = base64.b64decode(body + padding, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise invalid_cursor() from None
    if not digits.isdecimal() or len(digits) > 20:
        raise invalid_cursor()
    return int(digits)


@dataclass(frozen=True)
class Page:
    """Rows from `start` up to but not including `stop`, of `total`."""

    start: int
    stop: int
    total: int
    limit: int

    @property
    def more(self) -> bool:
        """Whether rows follow."""
        return self.stop < self.total


def offset_page(params: Mapping[str, str], total: int) -> Page:
    """Return the page that a request asks for, from offset cursors."""
    limit = parse_limit(params.get("limit"))
    if params.get("after"):
        start = decode_cursor(params["after"]) + 1
    elif params.get("before"):
        before = decode_cursor(params["before"])
        start, limit = max(0, before - limit), min(limit, before)
    else:
        start = 0
    start = min(start, total)
    return Page(start, min(start + limit, total), total, limit)


def paging_json(url: str, params: Mapping[str, str], cursors: tuple[str, str], *, more: bool, earlier: bool) -> bytes:
    """Return the `paging` object; `url` is absolute and without a query."""
    before, after = cursors
    paging: dict[str, object] = {"cursors": {"before": before, "after": after}}
    if more:
        paging["next"] = link(url, params, "after", after)
    if earlier:
        paging["previous"] = link(url, params, "before", before)
    return orjson.dumps(paging)


def link(url: str, params: Mapping[str, str], name: str, cursor: str) -> str:
    """Return the link to a neighbouring page: all parameters, the access token included."""
    kept = {key: value for key, value in params.items() if key not in {"after", "before", "method"}}
    return f"{url}?{urlencode({**kept, name: cursor})}"
