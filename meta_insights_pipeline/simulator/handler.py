"""One handler for every request, whichever door it came through.

Belongs here: the order of things (faults, access, budgets, routing, headers, log). Does not belong here: sockets, and
the content of any answer.
"""

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import orjson

from meta_insights_pipeline.simulator import objects
from meta_insights_pipeline.simulator.auth import USER_ID, Gatekeeper, token_of
from meta_insights_pipeline.simulator.batch import answer_batch
from meta_insights_pipeline.simulator.calls import Call, is_run_id, read_call
from meta_insights_pipeline.simulator.clock import Clock
from meta_insights_pipeline.simulator.control import CONTROL_PREFIX, answer_control
from meta_insights_pipeline.simulator.days import floor_step
from meta_insights_pipeline.simulator.errors import (
    GraphError,
    invalid_parameter,
    no_such_object,
    unknown_alias,
    unknown_path,
)
from meta_insights_pipeline.simulator.faults import (
    ERROR_ACTIONS,
    RUN_ACTIONS,
    CallInfo,
    FaultPlan,
    FaultRule,
)
from meta_insights_pipeline.simulator.insights import insights_page
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.paging import paging_json
from meta_insights_pipeline.simulator.query import Scope, parse_query
from meta_insights_pipeline.simulator.requestlog import RequestLog, RequestRecord
from meta_insights_pipeline.simulator.results import CACHE_BYTES, Results
from meta_insights_pipeline.simulator.runs import ReportRun, RunStore
from meta_insights_pipeline.simulator.structure import ACTIVE, ad_id_of, level_of
from meta_insights_pipeline.simulator.usage import INSIGHTS, MANAGEMENT, UsageMeter
from meta_insights_pipeline.simulator.world import Account, World

__all__ = ["SimRequest", "SimResponse", "Simulator"]

_JSON = "application/json; charset=UTF-8"
_INSIGHTS_KINDS = frozenset({"insights", "create_run", "run_status", "run_insights"})
_MANAGEMENT_KINDS = frozenset({"structure", "account", "object"})


@dataclass
class _Answer:
    """A body on its way out."""

    body: bytes
    rows: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Simulator:
    """A Graph API over a world and a clock; safe for threads.

    Args:
        world: The accounts and what they deliver.
        clock: What time it is there.
        access_token: The only good token; None takes any that does not begin with `invalid` or `expired`.
        app_secret: When given, every call needs the right `appsecret_proof`.
        latency: Seconds that pass before each answer.
        report_seconds: Real seconds that a report run takes.
        tier: Access tier, `standard_access` or `development_access`.
        base_url: What absolute links begin with when a request names no host.
        budgets: Calls an hour by use case (`ads_insights`, `ads_management`) in place of the documented ones.
        cache_bytes: How much text of rows is kept for a second reading.
        monotonic: Real seconds, for report runs.
    """

    def __init__(
        self,
        world: World,
        clock: Clock,
        *,
        access_token: str | None = None,
        app_secret: str | None = None,
        latency: float = 0.0,
        report_seconds: float = 0.0,
        tier: str = "standard_access",
        base_url: str = "https://graph.facebook.com",
        budgets: Mapping[str, int] | None = None,
        cache_bytes: int = CACHE_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = world
        self.clock = clock
        self.base_url = base_url.rstrip("/")
        self.requests = RequestLog()
        self.faults = FaultPlan()
        self._gate = Gatekeeper(access_token, app_secret)
        self._latency = latency
        self._results = Results(world, cache_bytes)
        self._runs = RunStore(report_seconds, monotonic)
        self._usage = UsageMeter(tier, budgets)
        self._serial = itertools.count(1)

    def handle(self, request: SimRequest) -> SimResponse:
        """Return the answer to a request; nothing is raised."""
        if request.path.startswith(CONTROL_PREFIX):
            return answer_control(self, request)
        response = self._respond(request, inner=False)
        return replace(response, delay=response.delay + self._latency) if self._latency else response

    # ---- one call ----

    def _respond(self, request: SimRequest, *, inner: bool) -> SimResponse:
        call = read_call(request, self.world, self.base_url)
        run = self._runs.find(call.node) if is_run_id(call.node) else None
        if run is not None:
            call = replace(call, account_id=run.query.scope.account_id)
        days = _days_asked(call, run)
        rule = self.faults.take(CallInfo(call.method, call.path, call.kind, call.params, days, inner))
        response = self._without_work(call, rule) if rule is not None else None
        if response is None:
            response = self._work(call, run, rule, inner=inner)
        if rule is not None:
            response = _harmed(response, rule)
        record = RequestRecord(call.method, call.path, call.account_id, call.kind, call.params, response.status)
        self.requests.add(record)
        return response

    def _without_work(self, call: Call, rule: FaultRule) -> SimResponse | None:
        """Return the answer of a fault that keeps the request from being executed."""
        if rule.action == "graph_error":
            error = rule.error()
            return SimResponse(error.status, {**self._headers(call), **error.headers}, error.body(self._trace_id()))
        if rule.action in ERROR_ACTIONS:
            return _plain_answer(rule)
        if rule.action in {"reset", "hang", "null_batch_element"}:
            return SimResponse(200, {}, b"")
        return None

    def _work(self, call: Call, run: ReportRun | None, rule: FaultRule | None, *, inner: bool) -> SimResponse:
        usage: dict[str, str] = {}
        try:
            if not _is_open_batch(call):
                self._gate.admit(call.params, call.headers, call.node)
            self._charge(call)
            answer = self._route(call, run, rule, inner=inner)
            status, body = 200, answer.body
            usage = self._usage_headers(call, answer.rows)
        except GraphError as error:
            status, body = error.status, error.body(self._trace_id())
            usage = {**self._usage_headers(call, 0), **error.headers}
        return SimResponse(status, {**self._headers(call), **usage}, body)

    def _route(self, call: Call, run: ReportRun | None, rule: FaultRule | None, *, inner: bool) -> _Answer:
        if call.kind in {"insights", "create_run"}:
            return self._insights(call, rule)
        if call.kind in {"run_status", "run_insights"}:
            return self._run(call, run, rule)
        if call.kind == "batch" and not inner:
            return _Answer(answer_batch(call, lambda request: self._respond(request, inner=True)))
        routes: dict[str, Callable[[Call], Any]] = {
            "me": lambda _: {"id": USER_ID, "name": "Simulated system user"},
            "accounts": self._accounts,
            "debug_token": self._debug_token,
            "account": self._account_object,
            "object": self._object,
            "structure": self._structure,
        }
        if call.kind not in routes or call.method != "GET":
            raise unknown_path(f"/{call.edge}") if call.edge else no_such_object(call.node, call.method.lower())
        answer = routes[call.kind](call)
        return answer if isinstance(answer, _Answer) else _Answer(orjson.dumps(answer))

    # ---- insights ----

    def _insights(self, call: Call, rule: FaultRule | None) -> _Answer:
        scope = self._scope(call)
        account = self.world.account(scope.account_id)
        now = self.clock.now()
        query = parse_query(call.params, scope, account.timezone_name, floor_step(now))
        if call.kind == "insights":
            return _Answer(*insights_page(self._results, query, call, rule))
        run = self._runs.create(query, now, rule if rule is not None and rule.action in RUN_ACTIONS else None)
        numeric = run.quirk is not None and run.quirk.action == "numeric_run_id"
        return _Answer(orjson.dumps({"report_run_id": int(run.id) if numeric else run.id}))

    def _run(self, call: Call, run: ReportRun | None, rule: FaultRule | None) -> _Answer:
        if run is None or call.method != "GET":
            raise no_such_object(call.node, call.method.lower())
        if call.kind == "run_insights":
            return _Answer(*insights_page(self._results, self._runs.readable(run, self.clock.now()), call, rule))
        status = self._runs.status(run, self.clock.now())
        fields = objects.parse_fields(call.params.get("fields"))
        usual = {"id", "account_id", "time_ref", "time_completed", "async_status", "async_percent_completion"}
        wanted = {*fields, "id"} if fields else usual | {name for name in status if name.startswith("error_")}
        return _Answer(orjson.dumps({name: value for name, value in status.items() if name in wanted}))

    def _scope(self, call: Call) -> Scope:
        if call.node.startswith("act_"):
            return Scope(self._account(call).id)
        account, level, place = self._entity(call)
        return Scope(account.id, level, self.world.graph(account.id).table(level).ids[place])

    # ---- structure ----

    def _account(self, call: Call) -> Account:
        try:
            return self.world.account(call.account_id)
        except KeyError:
            raise no_such_object(call.node, call.method.lower()) from None

    def _entity(self, call: Call) -> tuple[Account, str, int]:
        """Return the account, level and place of the object that a call names; creatives stand for their ad."""
        level = level_of(call.node)
        account = self.world.owner(call.node)
        if level is None:
            raise unknown_alias(call.node)
        stored, stored_id = ("ad", ad_id_of(call.node)) if level == "creative" else (level, call.node)
        if account is not None:
            table = self.world.graph(account.id).table(stored)
            place = table.index.get(stored_id)
            if place is not None and table.created[place] <= floor_step(self.clock.now()):
                return account, level, place
        raise no_such_object(call.node, call.method.lower())

    def _account_object(self, call: Call) -> dict[str, Any]:
        shown = objects.view(self.world, self._account(call), floor_step(self.clock.now()))
        fields = objects.parse_fields(call.params.get("fields"))
        return objects.account_object(shown, fields)

    def _object(self, call: Call) -> dict[str, Any]:
        account, level, place = self._entity(call)
        shown = objects.view(self.world, account, floor_step(self.clock.now()))
        return objects.entity_object(shown, level, place, objects.parse_fields(call.params.get("fields")))

    def _structure(self, call: Call) -> _Answer:
        parent: tuple[str, int] | None = None
        if call.node.startswith("act_"):
            account = self._account(call)
        else:
            account, level, place = self._entity(call)
            parent = (level, place)
        shown = objects.view(self.world, account, floor_step(self.clock.now()))
        return _edge_answer(call, objects.entity_edge(shown, call.edge, parent, call.params))

    def _accounts(self, call: Call) -> _Answer:
        return _edge_answer(call, objects.account_edge(self.world, floor_step(self.clock.now()), call.params))

    def _debug_token(self, call: Call) -> dict[str, Any]:
        token = call.params.get("input_token")
        if not token:
            raise invalid_parameter("The parameter input_token is required", "input_token")
        return {"data": self._gate.introspect(token, [account.id for account in self.world.accounts])}

    # ---- limits and headers ----

    def _use_case(self, call: Call) -> str | None:
        if call.account_id not in {account.id for account in self.world.accounts}:
            return None
        if call.kind in _INSIGHTS_KINDS:
            return INSIGHTS
        return MANAGEMENT if call.kind in _MANAGEMENT_KINDS else None

    def _charge(self, call: Call) -> None:
        use_case = self._use_case(call)
        if use_case is not None:
            now = self.clock.now().timestamp()
            self._usage.count(call.account_id, use_case, now)
            self._usage.check(call.account_id, use_case, self._active_ads(call.account_id), now)

    def _usage_headers(self, call: Call, rows: int) -> dict[str, str]:
        use_case = self._use_case(call)
        if use_case is None:
            return {}
        now = self.clock.now().timestamp()
        self._usage.add_rows(call.account_id, use_case, now, rows)
        return self._usage.headers(call.account_id, use_case, self._active_ads(call.account_id), now)

    def _active_ads(self, account_id: str) -> int:
        shown = objects.view(self.world, self.world.account(account_id), floor_step(self.clock.now()))
        return objects.count_with_status(shown, "ad", ACTIVE)

    def _headers(self, call: Call) -> dict[str, str]:
        served = f"v{call.served[0]}.{call.served[1]}"
        trace = self._trace_id()
        headers = {
            "content-type": _JSON,
            "facebook-api-version": served,
            "x-fb-trace-id": trace,
            "x-fb-request-id": trace,
            "x-fb-rev": "1030000000",
            "cache-control": "private, no-cache, no-store, must-revalidate",
        }
        if call.version != call.served:
            asked = f"v{call.version[0]}.{call.version[1]}"
            text = f"The call has been auto-upgraded to {served} as {asked} has been deprecated."
            headers["x-ad-api-version-warning"] = text
        return headers

    def _trace_id(self) -> str:
        return "A" + hashlib.blake2b(str(next(self._serial)).encode(), digest_size=11).hexdigest()


def _edge_answer(call: Call, page: objects.EdgePage) -> _Answer:
    parts = [b'{"data":', orjson.dumps(page.data)]
    if page.cursors is not None:
        paging = paging_json(call.url, call.params, page.cursors, more=page.more, earlier=page.earlier)
        parts += [b',"paging":', paging]
    if page.summary is not None:
        parts += [b',"summary":', orjson.dumps(page.summary)]
    return _Answer(b"".join([*parts, b"}"]), len(page.data))


def _is_open_batch(call: Call) -> bool:
    """Tell whether a batch leaves it to its entries to bring tokens."""
    return call.kind == "batch" and not token_of(call.params, call.headers)


def _days_asked(call: Call, run: ReportRun | None) -> int:
    """Return the days of a request for insights, as far as they can be told before it is read in earnest."""
    if run is not None:
        return run.query.days
    found = re.findall(r"\d{4}-\d{2}-\d{2}", call.params.get("time_range", ""))
    if len(found) != 2:
        return 0
    try:
        return (date.fromisoformat(found[1]) - date.fromisoformat(found[0])).days + 1
    except ValueError:
        return 0


def _plain_answer(rule: FaultRule) -> SimResponse:
    """Return an answer that is no JSON."""
    if rule.action == "html":
        status = rule.status or 503
        body = rule.body or f"<!DOCTYPE html><html><head><title>Error</title></head><body>{status}</body></html>"
        return SimResponse(status, {"content-type": "text/html; charset=utf-8", **rule.headers}, body.encode())
    body = rule.body or "Service Unavailable"
    return SimResponse(rule.status or 200, {"content-type": "text/plain; charset=utf-8", **rule.headers}, body.encode())


def _harmed(response: SimResponse, rule: FaultRule) -> SimResponse:
    """Return an answer with what a fault does to it on the wire."""
    changes: dict[str, dict[str, Any]] = {
        "truncate": {"body": response.body[: len(response.body) * 2 // 3]},
        "cut": {"cut": True},
        "reset": {"reset": True},
        "null_batch_element": {"reset": True},
        "hang": {"hang": True, "delay": rule.seconds},
        "slow": {"delay": rule.seconds},
        "slow_body": {"body_seconds": rule.seconds},
        "headers": {"headers": {**response.headers, **{name.lower(): text for name, text in rule.headers.items()}}},
    }
    return replace(response, **changes.get(rule.action, {}))
