"""Batches: up to fifty calls in one.

Belongs here: taking a batch apart and putting the answers together. Does not belong here: answering the calls.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from meta_insights_pipeline.simulator.calls import Call
from meta_insights_pipeline.simulator.errors import GraphError, invalid_parameter
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.parameters import parse_json

MAX_ENTRIES = 50
_INHERITED = ("access_token", "appsecret_proof")


def answer_batch(call: Call, answer: Callable[[SimRequest], SimResponse]) -> bytes:
    """Return the body of a batch's answer: one element an entry, null where the wire would have failed."""
    entries = parse_json(call.params.get("batch", ""), "batch")
    if not isinstance(entries, list):
        raise invalid_parameter("Param batch must be an array.", "batch")
    if len(entries) > MAX_ENTRIES:
        text = "An error has occurred. No further information is available."
        raise GraphError(text, 1, status=400, type="GraphBatchException")
    with_headers = call.params.get("include_headers", "true").lower() != "false"
    return orjson.dumps([_element(answer(_inner_request(call, entry)), with_headers) for entry in entries])


def _inner_request(call: Call, entry: Any) -> SimRequest:
    if not isinstance(entry, dict) or "relative_url" not in entry:
        raise invalid_parameter("Each entry of a batch needs a relative_url", "batch")
    parts = urlsplit("/" + str(entry["relative_url"]).lstrip("/"))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in _INHERITED:
        if name in call.params:
            query.setdefault(name, call.params[name])
    headers = {name: text for name, text in call.headers.items() if name in {"host", "authorization"}}
    for header in entry.get("headers") or []:
        headers[str(header.get("name", "")).lower()] = str(header.get("value", ""))
    path = parts.path if parts.path.startswith("/v") else f"/v{call.version[0]}.{call.version[1]}{parts.path}"
    return SimRequest(
        method=str(entry.get("method", "GET")).upper(),
        path=path,
        query=query,
        headers=headers,
        body=str(entry.get("body", "")).encode(),
    )


def _element(response: SimResponse, with_headers: bool) -> dict[str, Any] | None:
    if response.reset or response.hang or response.cut:
        return None
    element: dict[str, Any] = {"code": response.status}
    if with_headers:
        element["headers"] = [{"name": name, "value": text} for name, text in response.headers.items()]
    element["body"] = response.body.decode("utf-8", "replace")
    return element
