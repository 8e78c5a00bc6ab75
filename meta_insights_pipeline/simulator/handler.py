"""One handler for every request, whichever door it came through.

Belongs here: the order of things (faults, access, budgets, routing, headers, log). Does not belong here: sockets, and
the content of any answer.
"""

import hashlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from email.utils import format_datetime
from typing import Any

import orjson

from meta_insights_pipeline.simulator import edges, objects
from meta_insights_pipeline.simulator.auth import USER_ID, Gatekeeper, TokenInfo, token_of
from meta_insights_pipeline.simulator.batch import answer_batch
from meta_insights_pipeline.simulator.blocks import Block, Serving
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
    STALE,
    CallInfo,
    FaultPlan,
    FaultRule,
)
from meta_insights_pipeline.simulator.harm import harmed, plain_answer
from meta_insights_pipeline.simulator.insights import insights_page
from meta_insights_pipeline.simulator.limits import Limits
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.paging import paging_json
from meta_insights_pipeline.simulator.query import DELETED_ROWS, FILTERED, InsightsQuery, Scope, parse_query
from meta_insights_pipeline.simulator.requestlog import RequestLog, RequestRecord
from meta_insights_pipeline.simulator.results import CACHE_BYTES, Results
from meta_insights_pipeline.simulator.runs import ReportRun, RunStore
from meta_insights_pipeline.simulator.states import AccountStates
from meta_insights_pipeline.simulator.structure import level_of
from meta_insights_pipeline.simulator.usage import UsageMeter
from meta_insights_pipeline.simulator.world import Account, World

__all__ = ["SimRequest", "SimResponse", "Simulator"]

_JSON = "application/json; charset=UTF-8"


@dataclass
class _Answer:
    """A body on its way out."""

    body: bytes
    rows: int = 0


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
        score_limit: Whether an account is blocked that makes more calls in five minutes than its tier allows.
        in_flight_seconds: Real seconds after a refusal in which a call counts as under way and not as made while blocked.
        token: What `debug_token` tells about every good token, and what the token may do.
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
        score_limit: bool = False,
        in_flight_seconds: float = 0.0,
        token: TokenInfo | None = None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.base_url = base_url.rstrip("/")
        self.requests = RequestLog()
        self.faults = FaultPlan()
        self.states = AccountStates(world)
        self._deleted_rows = FILTERED
        self._gate = Gatekeeper(access_token, app_secret, token or TokenInfo())
        self._latency = latency
        self._results = Results(world, cache_bytes)
        self._runs = RunStore(report_seconds, monotonic)
        self._limits = Limits(
            UsageMeter(tier, budgets),
            self._active_ads,
            score_limit=score_limit,
            in_flight_seconds=in_flight_seconds,
        )
        self._serial = itertools.count(1)

    def handle(self, request: SimRequest) -> SimResponse:
        """Return the answer to a request; nothing is raised. Its `date` is that of the simulated clock."""
        if request.path.startswith(CONTROL_PREFIX):
            return self._dated(answer_control(self, request))
        serving = Serving(time.perf_counter())
        response = self._dated(self._respond(request, serving, inner=False))
        if self._latency:
            response = replace(response, delay=response.delay + self._latency)
        self._limits.tell(serving, time.perf_counter() + response.delay)
        return response

    @property
    def calls_while_blocked(self) -> Counter[str]:
        """Calls by account id that were made into what had been refused before, by a block or for a spent budget.

        A call counts if the simulator began to serve it after the first refusal had left; `app` stands for calls about
        no account.
        """
        return self._limits.calls_while_blocked()

    @property
    def calls_under_way(self) -> tuple[int, float]:
        """How many calls arrived within `in_flight_seconds` of a refusal, and how many seconds after it the latest did."""
        return self._limits.calls_under_way()

    def clear_counts(self) -> None:
        """Forget the requests seen so far, and set `calls_while_blocked` to zero."""
        self.requests.clear()
        self._limits.clear_counts()

    def set_account_state(self, account_id: str, state: str) -> None:
        """Change how an account stands: one of `states.STATES`.

        Raises:
            KeyError: The world has no such account.
            ValueError: There is no such state.
        """
        self.states.set(account_id, state)

    def hide_account(self, account_id: str) -> None:
        """Take an account away: it is not listed, and unknown when asked for. KeyError if the world has none such."""
        self.states.hide(account_id)

    def show_account(self, account_id: str) -> None:
        """Bring a hidden account back. KeyError if the world has none such."""
        self.states.hide(account_id, hidden=False)

    def set_deleted_rows(self, where: str) -> None:
        """Change where rows of deleted entities are: one of `query.DELETED_ROWS`. ValueError if there is no such place."""
        if where not in DELETED_ROWS:
            msg = f"unknown place {where!r}; known are {', '.join(DELETED_ROWS)}"
            raise ValueError(msg)
        self._deleted_rows = where

    def set_token(self, token: TokenInfo) -> None:
        """Change what every good token is good for from now on."""
        self._gate = replace(self._gate, info=token)

    # ---- one call ----

    def _respond(self, request: SimRequest, serving: Serving, *, inner: bool) -> SimResponse:
        call = read_call(request, self.world, self.base_url)
        run = self._runs.find(call.node) if is_run_id(call.node) else None
        if run is not None:
            call = replace(call, account_id=run.query.scope.account_id)
        now = self.clock.now().timestamp()
        rule: FaultRule | None = None
        block = self._limits.standing(call, now)
        if block is None:
            rule = self.faults.take(self._info(call, run, inner=inner))
            if rule is not None and rule.action == "block":
                block = self._limits.block(call, rule, now)
        response = self._refused(call, block, serving, now) if block is not None else None
        if response is None and rule is not None:
            response = self._without_work(call, rule)
        if response is None:
            response = self._work(call, run, rule, serving, inner=inner)
        if rule is not None:
            response = harmed(response, rule)
        record = RequestRecord(call.method, call.path, call.account_id, call.kind, call.params, response.status)
        self.requests.add(record)
        return response

    def _info(self, call: Call, run: ReportRun | None, *, inner: bool) -> CallInfo:
        return CallInfo(
            call.method,
            call.path,
            call.kind,
            call.params,
            days=_days_asked(call, run),
            inner=inner,
            account=call.account_id,
            use_case=self._limits.use_case(call),
            rows=lambda: self._rows_asked(call),
        )

    def _rows_asked(self, call: Call) -> int:
        """Return how many rows a request for insights has in all; none if it is refused anyway."""
        try:
            return self._results.total(self._query(call))
        except GraphError:
            return 0

    def _refused(self, call: Call, block: Block, serving: Serving, now: float) -> SimResponse:
        error = self._limits.refusal(call, block, serving, now)
        return SimResponse(error.status, {**self._headers(call), **error.headers}, error.body(self._trace_id()))

    def _without_work(self, call: Call, rule: FaultRule) -> SimResponse | None:
        """Return the answer of a fault that keeps the request from being executed."""
        if rule.action == "graph_error":
            error = rule.error()
            return SimResponse(error.status, {**self._headers(call), **error.headers}, error.body(self._trace_id()))
        if rule.action in ERROR_ACTIONS:
            return plain_answer(rule)
        if rule.action in {"reset", "hang", "null_batch_element"}:
            return SimResponse(200, {}, b"")
        return None

    def _work(
        self, call: Call, run: ReportRun | None, rule: FaultRule | None, serving: Serving, *, inner: bool
    ) -> SimResponse:
        now = self.clock.now().timestamp()
        try:
            if not _is_open_batch(call):
                self._gate.admit(call.params, call.headers, call.node, now)
            self._limits.charge(call, serving, now)
            self._check_access(call)
            answer = self._route(call, run, rule, serving, inner=inner)
            status, body = 200, answer.body
            usage = self._limits.headers(call, answer.rows, now)
        except GraphError as error:
            status, body = error.status, error.body(self._trace_id())
            usage = {**self._limits.headers(call, 0, now), **error.headers}
        return SimResponse(status, {**self._headers(call), **usage}, body)

    def _check_access(self, call: Call) -> None:
        """Raise the error of a call about an account that the token may not read, or that is not there."""
        self._gate.permit(call.kind)
        if not self.states.visible(call.account_id):
            raise no_such_object(call.node, call.method.lower())
        refusal = self.states.refusal(call.account_id)
        if refusal is not None:
            raise refusal

    def _route(
        self, call: Call, run: ReportRun | None, rule: FaultRule | None, serving: Serving, *, inner: bool
    ) -> _Answer:
        if call.kind in {"insights", "create_run"}:
            return self._insights(call, rule)
        if call.kind in {"run_status", "run_insights"}:
            return self._run(call, run, rule)
        if call.kind == "batch" and not inner:
            return _Answer(answer_batch(call, lambda request: self._respond(request, serving, inner=True)))
        routes: dict[str, Callable[[Call], Any]] = {
            "me": lambda _: {"id": USER_ID, "name": "Simulated system user"},
            "accounts": self._accounts,
            "permissions": lambda _: self._gate.permissions(),
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

    def _query(self, call: Call, rule: FaultRule | None = None) -> InsightsQuery:
        scope = self._scope(call)
        account = self.world.account(scope.account_id)
        behind = timedelta(seconds=rule.seconds if rule is not None and rule.action == STALE else 0.0)
        query = parse_query(call.params, scope, account.timezone_name, floor_step(self.clock.now() - behind))
        return replace(query, deleted_rows=self._deleted_rows)

    def _insights(self, call: Call, rule: FaultRule | None) -> _Answer:
        query = self._query(call, rule)
        if call.kind == "insights":
            return _Answer(*insights_page(self._results, query, call, rule))
        run = self._runs.create(
            query, self.clock.now(), rule if rule is not None and rule.action in RUN_ACTIONS else None
        )
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
        if level == "creative":
            raise objects.unknown_object_field(call.edge, level)
        return Scope(account.id, level, self.world.graph(account.id).table(level).ids[place])

    # ---- structure ----

    def _account(self, call: Call) -> Account:
        if not self.world.knows(call.account_id):
            raise no_such_object(call.node, call.method.lower())
        return self.world.account(call.account_id)

    def _entity(self, call: Call) -> tuple[Account, str, int]:
        """Return the account, level and place of the object that a call names."""
        level = level_of(call.node)
        account = self.world.owner(call.node)
        if level is None:
            raise unknown_alias(call.node)
        place = None if account is None else self._place(account, level, call.node)
        if account is None or place is None:
            raise no_such_object(call.node, call.method.lower())
        return account, level, place

    def _place(self, account: Account, level: str, object_id: str) -> int | None:
        """Return where an object stands among those of its level; None if there is none such yet."""
        at = floor_step(self.clock.now())
        if level == "creative":
            creatives = self.world.edits(account.id).creatives
            index, begun = creatives.index, creatives.begun
        else:
            table = self.world.graph(account.id).table(level)
            index, begun = table.index, table.created
        place = index.get(object_id)
        return place if place is not None and begun[place] <= at else None

    def _view(self, account: Account) -> objects.View:
        return objects.view(self.world, account, floor_step(self.clock.now()), self.states.standing(account.id))

    def _account_object(self, call: Call) -> dict[str, Any]:
        fields = objects.parse_fields(call.params.get("fields"))
        return objects.account_object(self._view(self._account(call)), fields)

    def _object(self, call: Call) -> dict[str, Any]:
        account, level, place = self._entity(call)
        fields = objects.parse_fields(call.params.get("fields"))
        return objects.entity_object(self._view(account), level, place, fields)

    def _structure(self, call: Call) -> _Answer:
        parent: edges.Parent | None = None
        if call.node.startswith("act_"):
            account = self._account(call)
        else:
            account, level, place = self._entity(call)
            parent = (level, place)
        return _edge_answer(call, edges.entity_edge(self._view(account), call.edge, parent, call.params))

    def _accounts(self, call: Call) -> _Answer:
        at = floor_step(self.clock.now())
        return _edge_answer(call, edges.account_edge(self.world, self.states, at, call.params))

    def _debug_token(self, call: Call) -> dict[str, Any]:
        token = call.params.get("input_token")
        if not token:
            raise invalid_parameter("The parameter input_token is required", "input_token")
        visible = [account.id for account in self.world.accounts if self.states.visible(account.id)]
        return {"data": self._gate.introspect(token, visible, self.clock.now().timestamp())}

    # ---- limits and headers ----

    def _active_ads(self, account_id: str) -> int | None:
        """Return how many ads of an account are active; None if there is no such account for the token."""
        if not self.world.knows(account_id) or not self.states.visible(account_id):
            return None
        return self.world.graph(account_id).count_active_ads(floor_step(self.clock.now()))

    def _dated(self, response: SimResponse) -> SimResponse:
        """Return an answer with the time of the simulated clock, unless a fault has given it another."""
        if "date" not in response.headers:
            response.headers["date"] = format_datetime(self.clock.now(), usegmt=True)
        return response

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


def _edge_answer(call: Call, page: edges.EdgePage) -> _Answer:
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
