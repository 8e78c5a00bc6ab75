"""The control doors: looking behind the curtain over HTTP, outside Graph's paths and without a token.

Belongs here: clock, truth, faults, accounts, the token and request counts as JSON. Does not belong here: anything that
Graph serves.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import orjson

from meta_insights_pipeline.simulator.auth import TokenInfo
from meta_insights_pipeline.simulator.clock import Clock, SimulatedClock
from meta_insights_pipeline.simulator.entity_truth import KINDS, entity_truth
from meta_insights_pipeline.simulator.faults import FaultPlan, FaultRule
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.requestlog import RequestLog
from meta_insights_pipeline.simulator.states import AccountStates
from meta_insights_pipeline.simulator.truth import truth
from meta_insights_pipeline.simulator.world import World

CONTROL_PREFIX = "/_simulator"


class Controlled(Protocol):
    """What a simulator shows to the control doors."""

    world: World
    clock: Clock
    faults: FaultPlan
    requests: RequestLog
    states: AccountStates

    @property
    def calls_while_blocked(self) -> Counter[str]:
        """Calls by account id made into what had been refused before."""
        ...

    def clear_counts(self) -> None:
        """Set every count to zero."""
        ...

    def set_token(self, token: TokenInfo) -> None:
        """Change what every good token is good for."""
        ...

    def set_deleted_rows(self, where: str) -> None:
        """Change where rows of deleted entities are."""
        ...


def answer_control(simulator: Controlled, request: SimRequest) -> SimResponse:
    """Return the answer of a control door."""
    doors: dict[tuple[str, str], Callable[[Controlled, SimRequest], Any]] = {
        ("GET", "/clock"): _show_clock,
        ("POST", "/clock"): _move_clock,
        ("GET", "/truth"): _show_truth,
        ("POST", "/faults"): _add_fault,
        ("DELETE", "/faults"): _clear_faults,
        ("GET", "/entities"): _show_entities,
        ("POST", "/accounts"): _change_account,
        ("POST", "/token"): _change_token,
        ("POST", "/deleted_rows"): _change_deleted_rows,
        ("GET", "/requests"): _show_requests,
        ("DELETE", "/requests"): _clear_requests,
    }
    door = doors.get((request.method, request.path.removeprefix(CONTROL_PREFIX).rstrip("/")))
    if door is None:
        return _json(404, {"error": "no such control door"})
    try:
        return _json(200, door(simulator, request))
    except (KeyError, TypeError, ValueError) as error:
        return _json(400, {"error": f"{type(error).__name__}: {error}"})


def _show_clock(simulator: Controlled, _: SimRequest) -> dict[str, str]:
    return {"now": simulator.clock.now().isoformat()}


def _move_clock(simulator: Controlled, request: SimRequest) -> dict[str, str]:
    clock = simulator.clock
    if not isinstance(clock, SimulatedClock):
        msg = "this simulator runs on a clock that cannot be moved"
        raise TypeError(msg)
    body = orjson.loads(request.body)
    if "now" in body:
        clock.set(datetime.fromisoformat(body["now"]))
    else:
        clock.advance(timedelta(seconds=float(body["advance_seconds"])))
    return {"now": clock.now().isoformat()}


def _show_truth(simulator: Controlled, request: SimRequest) -> dict[str, Any]:
    query = request.query
    at = datetime.fromisoformat(query["at"]) if "at" in query else simulator.clock.now()
    since, until = date.fromisoformat(query["since"]), date.fromisoformat(query["until"])
    account_id = query["account_id"].removeprefix("act_")
    stated = truth(simulator.world, query["level"], account_id, since, until, at)
    return {"rows": stated.rows, "actions": stated.actions}


def _show_entities(simulator: Controlled, request: SimRequest) -> dict[str, Any]:
    query = request.query
    if query["kind"] not in KINDS:
        msg = f"unknown kind {query['kind']!r}; known are {', '.join(KINDS)}"
        raise ValueError(msg)
    at = datetime.fromisoformat(query["at"]) if "at" in query else simulator.clock.now()
    rows = entity_truth(simulator.world, query["kind"], query.get("account_id", ""), at, states=simulator.states)
    return {"entities": rows}


def _change_account(simulator: Controlled, request: SimRequest) -> dict[str, Any]:
    body = orjson.loads(request.body)
    account_id, state = body["account_id"], body["state"]
    if state in {"hidden", "shown"}:
        simulator.states.hide(account_id, hidden=state == "hidden")
    else:
        simulator.states.set(account_id, state)
    return {"account_id": account_id, "state": state}


def _change_token(simulator: Controlled, request: SimRequest) -> dict[str, Any]:
    token = TokenInfo.from_json(orjson.loads(request.body))
    simulator.set_token(token)
    return {"token": asdict(token)}


def _change_deleted_rows(simulator: Controlled, request: SimRequest) -> dict[str, str]:
    where = orjson.loads(request.body)["where"]
    simulator.set_deleted_rows(where)
    return {"where": where}


def _show_requests(simulator: Controlled, _: SimRequest) -> dict[str, Any]:
    counts, blocked = simulator.requests.counts(), simulator.calls_while_blocked
    # Only when there are any, so that the values of this answer can be added up.
    return {**counts, "calls_while_blocked": dict(blocked)} if blocked else dict(counts)


def _add_fault(simulator: Controlled, request: SimRequest) -> dict[str, str]:
    rule = simulator.faults.add(FaultRule.from_json(orjson.loads(request.body)))
    return {"added": rule.action}


def _clear_faults(simulator: Controlled, _: SimRequest) -> dict[str, bool]:
    simulator.faults.clear()
    return {"cleared": True}


def _clear_requests(simulator: Controlled, _: SimRequest) -> dict[str, bool]:
    simulator.clear_counts()
    return {"cleared": True}


def _json(status: int, value: Any) -> SimResponse:
    body = orjson.dumps(value, default=_exact)
    return SimResponse(status, {"content-type": "application/json; charset=UTF-8"}, body)


def _exact(value: Any) -> str:
    """Write exact numbers as strings."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError
