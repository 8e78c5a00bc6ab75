"""What a fault makes of an answer: something else in its place, or harm on its way.

Belongs here: changes of answers. Does not belong here: which requests are hit (`faults`) and the wire (the two doors).
"""

from dataclasses import replace
from typing import Any

from meta_insights_pipeline.simulator.faults import FaultRule
from meta_insights_pipeline.simulator.messages import SimResponse


def plain_answer(rule: FaultRule) -> SimResponse:
    """Return an answer that is no JSON."""
    if rule.action == "html":
        status = rule.status or 503
        body = rule.body or f"<!DOCTYPE html><html><head><title>Error</title></head><body>{status}</body></html>"
        return SimResponse(status, {"content-type": "text/html; charset=utf-8", **rule.lower_headers}, body.encode())
    body = rule.body or "Service Unavailable"
    return SimResponse(
        rule.status or 200, {"content-type": "text/plain; charset=utf-8", **rule.lower_headers}, body.encode()
    )


def harmed(response: SimResponse, rule: FaultRule) -> SimResponse:
    """Return an answer with what a fault does to it on the wire."""
    changes: dict[str, dict[str, Any]] = {
        "truncate": {"body": response.body[: len(response.body) * 2 // 3]},
        "cut": {"cut": True},
        "reset": {"reset": True},
        "null_batch_element": {"reset": True},
        "hang": {"hang": True, "delay": rule.seconds},
        "slow": {"delay": rule.seconds},
        "slow_body": {"body_seconds": rule.seconds},
        "headers": {"headers": {**response.headers, **rule.lower_headers}},
    }
    return replace(response, **changes.get(rule.action, {}))
