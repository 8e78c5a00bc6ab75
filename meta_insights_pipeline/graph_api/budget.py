"""The book of Meta's budgets: what every thread and process knows of them together, and who may call now.

One budget for the app; for each ad account one for each business use case, and its score, which counts them all. What
follows from what is known is decided in `pacing`; here it is read, written and told.
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

import orjson

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.graph_api import pacing
from meta_insights_pipeline.graph_api.errors import (
    BlockedError,
    GraphApiError,
    ThrottleError,
    closed_budget,
    is_abuse_signal,
)
from meta_insights_pipeline.graph_api.pacing import Decision, Outcome, Reading, Standing
from meta_insights_pipeline.graph_api.usage import APP, INSIGHTS, SCORE, UsageReading, read_usage
from meta_insights_pipeline.process_ids import is_running
from meta_insights_pipeline.state import State

MANAGEMENT = "ads_management"
_INSIGHTS_KINDS = frozenset({"report_submit", "report_poll", "report_page", "insights_page"})
# How long the app is left alone at least when Meta finds its calls abusive: Meta does not say, and asks for "long".
ABUSE_HOLD = 3600.0
# A call takes no longer than the client's time-outs; what is older belongs to a process that died, perhaps on another machine.
_FADES_SECONDS = 300.0

_STANDINGS = """
    CREATE TABLE IF NOT EXISTS usage_standings (
        namespace TEXT, account TEXT, budget TEXT, standing TEXT NOT NULL, PRIMARY KEY (namespace, account, budget)
    ) WITHOUT ROWID
"""
_UNDER_WAY = """
    CREATE TABLE IF NOT EXISTS calls_under_way (
        number INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, account TEXT NOT NULL, use_case TEXT NOT NULL,
        calls INTEGER NOT NULL, owner TEXT NOT NULL, thread INTEGER NOT NULL, began_at REAL NOT NULL
    )
"""

_Scope = tuple[str, str]
"""Account, empty for the app, and budget."""


@dataclass(frozen=True)
class BudgetLevel:
    """How full one budget is, as far as known."""

    account: str | None
    """Id without `act_`; None for the app."""
    budget: str
    """`app`, `score` (the ad account in every use case), or a business use case."""
    percent: float | None
    """By its fullest metric; None when no header told lately: in the last hour, of a score in the last five minutes."""
    blocked_until: datetime | None
    """When calls are made again; None when they are made."""
    tier: str | None
    """Access tier that Meta's headers named: `development_access` (limited) or `standard_access` (full)."""


@dataclass(frozen=True)
class CallAnswer:
    """What came of one call, as far as budgets are concerned."""

    headers: Mapping[str, str] | None
    """None when no answer came."""
    error: GraphApiError | None = None


def use_case(kind: str) -> str:
    """The business use case that a kind of call is charged to."""
    return INSIGHTS if kind in _INSIGHTS_KINDS else MANAGEMENT


class Budget:
    """Paces calls; safe for threads, and for all processes that share the state."""

    def __init__(self, state: State, clock: Clock, *, namespace: str) -> None:
        """Open the book.

        Args:
            state: Where it is kept.
            clock: The time; the same for all who share the state.
            namespace: Base URL of the API, so that simulated and real budgets do not mix.
        """
        self._state = state
        self._clock = clock
        self._namespace = namespace.rstrip("/")
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"
        state.ensure((_STANDINGS, _UNDER_WAY))

    def admit(self, account: str | None, kind: str) -> float:
        """Let one call begin: `answered` must follow in the same thread.

        Args:
            account: Id of the ad account without `act_`; None when the call is about none, or it is not known.
            kind: What the call is for; decides the business use case.

        Returns:
            Seconds to wait before the call. After a wait of more than 0, ask `blocked_until` before calling.

        Raises:
            BlockedError: It must not be made now; nothing was begun.
        """
        return self.admit_some(account, kind, 1).wait

    def admit_some(self, account: str | None, kind: str, wanted: int) -> Decision:
        """As `admit`, for up to so many calls in one batch; gives how many may begin, at least 1."""
        now = self._now()
        scopes = _scopes(account, kind)
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM calls_under_way WHERE began_at < ?", (now - _FADES_SECONDS,))
            decisions = self._decide(scopes, wanted, now)
            if not all(decision.calls for decision in decisions) and self._forget_dead(connection):
                decisions = self._decide(scopes, wanted, now)
            calls = min(decision.calls for decision in decisions)
            if calls:
                connection.execute(
                    "INSERT INTO calls_under_way (namespace, account, use_case, calls, owner, thread, began_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (self._namespace, account or "", use_case(kind), calls, self._owner, threading.get_ident(), now),
                )
        if calls:
            return Decision(calls, max(decision.wait for decision in decisions))
        refusals = [(one.wait, scope) for one, scope in zip(decisions, scopes, strict=True) if not one.calls]
        seconds, scope = max(refusals)
        raise _blocked(scope, seconds, now)

    def answered(
        self, account: str | None, kind: str, headers: Mapping[str, str] | None, error: GraphApiError | None
    ) -> None:
        """Note what came of a call that was let begin.

        Args:
            account: As given to `admit`.
            kind: As given to `admit`.
            headers: Of the answer, an error's too; None when no answer came.
            error: What the answer was classified as; None for a good one.
        """
        self.answered_all(account, kind, [CallAnswer(headers, error)])

    def answered_all(self, account: str | None, kind: str, answers: Sequence[CallAnswer]) -> None:
        """As `answered`, for all calls of one batch."""
        now = self._now()
        noted = [_Noted(answer, account, kind) for answer in answers]
        with self._state.transaction() as connection:
            number, newest = self._finish(connection, account, kind)
            under_way = self._under_way()
            scopes = {scope for one in noted for scope in one.scopes}
            standings = self._standings(scopes)
            for one in noted:
                for scope in one.scopes:
                    answer = pacing.Answer(
                        number=number,
                        newest=newest,
                        under_way=len(_numbers(under_way, scope)),
                        outcome=one.outcome(scope),
                        readings=one.readings_of(scope),
                        retry_after=one.hint(scope),
                        counts=one.counts(scope),
                    )
                    standings[scope] = pacing.after(standings[scope], answer, now)
            connection.executemany(
                "INSERT OR REPLACE INTO usage_standings (namespace, account, budget, standing) VALUES (?, ?, ?, ?)",
                [(self._namespace, *scope, orjson.dumps(standing).decode()) for scope, standing in standings.items()],
            )

    def blocked_until(self, account: str | None, kind: str) -> datetime | None:
        """When such a call may be made again; None when nothing forbids it now."""
        standings = self._standings(_scopes(account, kind)).values()
        until = max(standing.blocked_until for standing in standings)
        return datetime.fromtimestamp(until, UTC) if until > self._now() else None

    def shared_percent(self, account: str) -> float:
        """How full the fullest budget is that all sorts of calls about an account share, as far as headers told; otherwise 0."""
        now = self._now()
        standings = self._standings([("", APP), (account, SCORE)]).values()
        return max((standing.percent(now) or 0.0 for standing in standings), default=0.0)

    def levels(self) -> list[BudgetLevel]:
        """Every budget of which anything is known; the app first, then by account."""
        now = self._now()
        rows = self._state.read(
            "SELECT account, budget, standing FROM usage_standings WHERE namespace = ? ORDER BY account, budget",
            (self._namespace,),
        )
        return [_level(account, budget, _standing(text), now) for account, budget, text in rows]

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _decide(self, scopes: Iterable[_Scope], wanted: int, now: float) -> list[Decision]:
        standings, under_way = self._standings(scopes), self._under_way()
        return [pacing.decide(standings[scope], _numbers(under_way, scope), wanted, now) for scope in standings]

    def _forget_dead(self, connection: Connection) -> bool:
        """Strike out calls of processes of this machine that are gone, whose answers nobody awaits; whether there were any."""
        owners = [owner for (owner,) in connection.execute("SELECT DISTINCT owner FROM calls_under_way")]
        dead = [(owner,) for owner in owners if _is_dead(owner)]
        connection.executemany("DELETE FROM calls_under_way WHERE owner = ?", dead)
        return bool(dead)

    def _standings(self, scopes: Iterable[_Scope]) -> dict[_Scope, Standing]:
        sql = "SELECT standing FROM usage_standings WHERE namespace = ? AND account = ? AND budget = ?"
        found = {}
        for scope in scopes:
            rows = self._state.read(sql, (self._namespace, *scope))
            found[scope] = _standing(rows[0][0]) if rows else Standing(window=_window(scope))
        return found

    def _under_way(self) -> list[tuple[Any, ...]]:
        """Number, account, use case and calls of what is under way."""
        return self._state.read(
            "SELECT number, account, use_case, calls FROM calls_under_way WHERE namespace = ?", (self._namespace,)
        )

    def _finish(self, connection: Connection, account: str | None, kind: str) -> tuple[int, int]:
        """Strike out a call that is under way; give its number, and that of the newest call."""
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls_under_way'").fetchone()
        newest = int(found[0]) if found else 0
        row = connection.execute(
            "DELETE FROM calls_under_way WHERE number = (SELECT number FROM calls_under_way WHERE owner = ? "
            "AND account = ? AND use_case = ? ORDER BY thread = ? DESC, number LIMIT 1) RETURNING number",
            (self._owner, account or "", use_case(kind), threading.get_ident()),
        ).fetchone()
        # A call of which nothing is known any more counts as one that has just begun.
        return (int(row[0]) if row else newest + 1), newest


class _Noted:
    """One answer, sorted by the budgets that it is about."""

    def __init__(self, answer: CallAnswer, account: str | None, kind: str) -> None:
        self._charged = _scopes(account, kind)
        self._error = answer.error
        self._readings: dict[_Scope, list[UsageReading]] = {}
        for reading in read_usage(answer.headers, account) if answer.headers is not None else ():
            if reading.account is None and reading.budget != APP:
                # Of some account, but nothing says of which.
                continue
            self._readings.setdefault((reading.account or "", reading.budget), []).append(reading)
        self._closed = self._closed_scopes(account, kind)
        # Without an error of Meta's own form nothing says that Meta has dealt with the call.
        self._reached_meta = answer.headers is not None and (answer.error is None or answer.error.code is not None)

    def _closed_scopes(self, account: str | None, kind: str) -> set[_Scope]:
        """What the code closes; and what the call was charged to, if that is something else, since it was refused."""
        if not isinstance(self._error, ThrottleError):
            return set()
        budget = closed_budget(self._error.code, self._error.subcode) or use_case(kind)
        if budget == APP:
            return {("", APP)}
        named = {owner for owner, _ in self._readings if owner}
        owner = account or (named.pop() if len(named) == 1 else None)
        if not owner:
            return set()
        return {(owner, budget)} if budget in (SCORE, use_case(kind)) else {(owner, budget), (owner, use_case(kind))}

    @property
    def scopes(self) -> set[_Scope]:
        return {*self._charged, *self._readings, *self._closed}

    def hint(self, scope: _Scope) -> float | None:
        """How long Meta asks to wait, as far as the headers of the budget itself do not say it."""
        if self._error is None:
            return None
        hints = [self._error.retry_after or 0.0]
        if scope in self._closed and len(self._closed) > 1:
            # One refusal, and whichever of its budgets a header names: none of them is free before.
            hints += [one.regain_seconds or 0.0 for readings in self._readings.values() for one in readings]
        if scope in self._closed and is_abuse_signal(self._error):
            hints.append(ABUSE_HOLD)
        return max(hints) or None

    def readings_of(self, scope: _Scope) -> list[UsageReading]:
        return self._readings.get(scope, [])

    def counts(self, scope: _Scope) -> bool:
        return self._reached_meta and scope in self._charged

    def outcome(self, scope: _Scope) -> Outcome:
        if scope in self._closed:
            return Outcome.REFUSED
        passed = self.counts(scope) and not isinstance(self._error, ThrottleError)
        return Outcome.PASSED if passed else Outcome.UNKNOWN


def _is_dead(owner: str) -> bool:
    parts = owner.split("/")
    return len(parts) == 3 and parts[0] == socket.gethostname() and not is_running(int(parts[1]))


def _scopes(account: str | None, kind: str) -> list[_Scope]:
    """The budgets that a call is charged to."""
    of_account = [(account, use_case(kind)), (account, SCORE)] if account else []
    return [("", APP), *of_account]


def _numbers(under_way: Iterable[tuple[Any, ...]], scope: _Scope) -> list[int]:
    """Numbers of the calls under way that are charged to a budget; a batch's stands there once for each of its calls."""
    account, budget = scope
    return [
        number
        for number, of_account, of_case, calls in under_way
        if budget == APP or (of_account == account and budget in (SCORE, of_case))
        for _ in range(calls)
    ]


def _window(scope: _Scope) -> float:
    """For how long Meta counts a call: in a score it fades within five minutes, everywhere else it counts for an hour."""
    return 300.0 if scope[1] == SCORE else pacing.HOUR


def _standing(text: str) -> Standing:
    values = orjson.loads(text)
    readings = {header: Reading(**reading) for header, reading in values.pop("readings").items()}
    return Standing(readings=readings, **values)


def _level(account: str, budget: str, standing: Standing, now: float) -> BudgetLevel:
    until = standing.blocked_until
    return BudgetLevel(
        account=account or None,
        budget=budget,
        percent=standing.percent(now),
        blocked_until=datetime.fromtimestamp(until, UTC) if until > now else None,
        tier=standing.tier,
    )


def _blocked(scope: _Scope, seconds: float, now: float) -> BlockedError:
    account, budget = scope
    until = datetime.fromtimestamp(now + seconds, UTC)
    whose = f"of ad account {account} " if account else ""
    return BlockedError(
        f"No call was made: the budget {budget} {whose}is held until {until:%Y-%m-%d %H:%M:%S} UTC.",
        retry_after=seconds,
    )
