"""Answers of `/insights`, synchronous or of a report run: pages of rows, with the quirks that a fault asks for.

Belongs here: turning a query and paging parameters into a body. Does not belong here: how rows come about (`results`).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from meta_insights_pipeline.simulator.calls import Call
from meta_insights_pipeline.simulator.faults import NEW_PARTS, FaultRule
from meta_insights_pipeline.simulator.paging import Page, encode_cursor, offset_page, paging_json
from meta_insights_pipeline.simulator.query import InsightsQuery
from meta_insights_pipeline.simulator.results import Results


def insights_page(results: Results, query: InsightsQuery, call: Call, quirk: FaultRule | None) -> tuple[bytes, int]:
    """Return the body of a page and its number of rows."""
    page = offset_page(call.params, results.total(query))
    action = quirk.action if quirk is not None else ""
    if action == "short_page":
        page = (
            replace(page, stop=page.start + max(1, (page.stop - page.start) // 2)) if page.stop > page.start else page
        )
    elif action == "duplicate_row" and page.start > 0:
        page = replace(page, start=page.start - 1, stop=max(page.start, page.stop - 1))
    elif action == "empty_page":
        page = replace(page, stop=page.start)
    rows = results.rows(query, page.start, page.stop)
    if quirk is not None and action == NEW_PARTS:
        rows = [_with_parts(row, orjson.loads(quirk.body)) for row in rows]
    parts = [b'{"data":[', ",".join(rows).encode("ascii"), b"]"]
    paging = _paging(call, page, action)
    if paging:
        parts += [b',"paging":', paging]
    if query.summary:
        summary = results.summary(query)
        if summary is not None:
            parts += [b',"summary":', summary.encode("ascii")]
    return b"".join([*parts, b"}"]), len(rows)


def _with_parts(row: str, parts: Mapping[str, Any]) -> str:
    """Return a row with more keys; what stands for a list of actions goes into the entries of the same type, or is added."""
    values: dict[str, Any] = orjson.loads(row)
    for key, part in parts.items():
        present = values.get(key)
        if not isinstance(present, list) or not isinstance(part, list):
            values[key] = part
            continue
        by_type = {entry["action_type"]: entry for entry in present}
        for entry in part:
            by_type[entry["action_type"]] = {**by_type.get(entry["action_type"], {}), **entry}
        values[key] = list(by_type.values())
    # As all rows are: nothing but ASCII.
    return json.dumps(values, separators=(",", ":"))


def _paging(call: Call, page: Page, action: str) -> bytes | None:
    """Return the paging object; there is none for an answer without any row."""
    before = encode_cursor(page.start)
    if action == "looping_cursor" and page.total:
        # Past the end the cursor stands still and yet a next page is promised.
        after = encode_cursor(max(page.stop - 1, 0))
        return paging_json(call.url, call.params, (before, after), more=True, earlier=page.start > 0)
    if action == "empty_page" and page.more:
        if page.start == 0:
            # No cursor stands before the first row, so that the promise of a next page repeats the request.
            return paging_json(call.url, call.params, ("", ""), more=True, earlier=False)
        after = encode_cursor(page.start - 1)
        return paging_json(call.url, call.params, (after, after), more=True, earlier=True)
    if page.start >= page.stop:
        return None
    after = encode_cursor(page.stop - 1)
    return paging_json(call.url, call.params, (before, after), more=page.more, earlier=page.start > 0)
