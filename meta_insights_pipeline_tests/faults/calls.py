"""Cases in which a call gets no answer that can be used: limits, trouble, silence, refusals."""

from dataclasses import replace
from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.graph_api.client import Timeouts
from meta_insights_pipeline_tests.faults.case import (
    INSIGHTS,
    Case,
    Outcome,
    Rule,
    always,
    each_its_own,
    error,
    in_turn,
    named,
    of_victims,
    once,
    told,
)
from meta_insights_pipeline_tests.faults.stage import DIRECT, EVERYBODY, REPORT, VICTIMS, Alteration

# ---- limits of calls ----

# With what is wrong with the header that should say when calls are let in again.
_LIMITS = (
    (4, None, "the app's limit", ", and no header says for how long"),
    (341, None, "the app's temporary limit", ", and no header says for how long"),
    (17, 2446079, "the ad account's score", ""),
    (32, None, "a page's limit", ", and no header says for how long"),
    (613, None, "the limit of one sort of call", ""),
    (80000, 2446079, "the ad account's hourly limit for insights", ""),
    (80003, 2446079, "the ad account's hourly limit for audiences", ""),
)
_TOLD = "goes on with the other accounts, makes no call into what is closed, comes back when it is open"
_GUESSED = "goes on with what is open, tries what is closed with single calls, further and further apart"
_OF_THE_APP = (4, 341)
_LONG = 1200.0
# Holds of 1, 2, 4, 8 and 10 minutes, each with one probe at its end.
_PROBES = 5


def limit_cases() -> tuple[Case, ...]:
    """Limits of calls, told by a refusal or by a header."""
    long = [
        Case(
            id=f"limit-{_id(code, subcode)}-long",
            meta=f"{meaning} is reached ({named(code, subcode)}), for 20 min{flaw}",
            does=_GUESSED if flaw else _TOLD,
            outcome=Outcome.DEFERRED,
            rules=tuple(
                Rule("block", kind, place, error(code, subcode, seconds=_LONG)) for kind, place in _first_calls(code)
            ),
            lacking=EVERYBODY if code in _OF_THE_APP else VICTIMS,
            says=(named(code, subcode),),
            lasts=True,
            told=not flaw,
            probes=_PROBES if flaw else 0,
        )
        for code, subcode, meaning, flaw in _LIMITS
    ]
    abuse = [
        Case(
            id=f"limit-{_id(code, subcode)}",
            meta=f"finds the app's calls abusive ({named(code, subcode)})",
            does="makes no further call for an hour, writes it to the log as an error",
            outcome=Outcome.DEFERRED,
            rules=(Rule("graph_error", "", None, error(code, subcode, times=None, path="/insights$")),),
            lacking=EVERYBODY,
            says=(named(code, subcode),),
        )
        for code, subcode in ((613, 1996), (368, None))
    ]
    return (*long, *abuse, *_more_limit_cases())


def _id(code: int, subcode: int | None = None) -> str:
    return f"{code}-{subcode}" if subcode else f"{code}"


def _first_calls(code: int) -> tuple[tuple[str, int | None], ...]:
    """With which calls a block begins: the app has but one."""
    return (("insights", None),) if code in _OF_THE_APP else (("insights", DIRECT), ("create_run", REPORT))


def _more_limit_cases() -> tuple[Case, ...]:
    return (
        Case(
            id="limit-17-bare",
            meta="the user's limit is reached (code 17 without a subcode), and no header says for how long",
            does=_GUESSED,
            outcome=Outcome.DEFERRED,
            rules=of_victims("graph_error", **error(17, path="/insights$")),
            says=("code 17,",),
        ),
        Case(
            id="limit-80000-short",
            meta="the hourly limit is reached (code 80000/2446079) for 3 s, at each kind of call",
            does="waits as long as Meta says and calls again",
            outcome=Outcome.EQUAL,
            sees="`retries` and `waited_seconds` count it",
            rules=once("graph_error", **error(80000, 2446079, headers={"retry-after": "3"})),
            receipt=lambda receipt: receipt.retries >= len(INSIGHTS) and receipt.waited_seconds >= 3,
            leaves=True,
        ),
        Case(
            id="limit-80000-minute",
            meta="the hourly limit for insights is reached (code 80000/2446079), for 40 s",
            does="collects everything else, waits for the end of the block, goes on",
            outcome=Outcome.EQUAL,
            leaves=True,
            rules=tuple(
                Rule("block", kind, place, error(80000, 2446079, seconds=40.0))
                for kind, place in (("insights", DIRECT), ("run_status", REPORT))
            ),
            lasts=True,
        ),
        Case(
            id="limit-after-submission",
            meta="the hourly limit is reached while the pages of a report are read",
            does="keeps the report's id and the pages it has; the next sync reads on, and submits nothing again",
            outcome=Outcome.DEFERRED,
            rules=(
                *always("short_page", ("run_insights",), without_query="after="),
                Rule("block", "run_insights", REPORT, error(80000, 2446079, seconds=_LONG, query="after=")),
            ),
            lacking=(REPORT,),
            says=("code 80000/2446079",),
            lasts=True,
            calls={"create_run": 1},
        ),
        Case(
            id="limit-80004-entities",
            meta="the hourly limit for campaigns, ad sets and ads is reached (code 80004/2446079), for 20 min",
            does="collects the insights, which have a limit of their own, and refreshes the others the next time",
            outcome=Outcome.ENTITIES,
            rules=(Rule("block", "structure", DIRECT, error(80004, 2446079, seconds=_LONG)),),
            lacking=(DIRECT,),
            says=("ads_management",),
            lasts=True,
            entities=True,
        ),
        Case(
            id="limit-announced",
            meta="an answer's usage header says that the ad account's score is at 100 %, for 20 min",
            does="makes no further call about the account until then",
            outcome=Outcome.DEFERRED,
            rules=once(
                "headers",
                ("create_run",),
                headers={"x-ad-account-usage": '{"acc_id_util_pct":100,"reset_time_duration":1200}'},
            ),
            lacking=(REPORT,),
            says=("the budget score",),
            lasts=True,
        ),
        Case(
            id="limit-first-call",
            meta="the app's limit is reached (code 4) when the accounts are listed, for 20 min",
            does="makes no further call; the accounts are not known yet, so the next sync begins anew",
            outcome=Outcome.STOPPED,
            rules=(Rule("block", "accounts", None, error(4, seconds=_LONG)),),
            says=("code 4",),
            lasts=True,
        ),
        Case(
            id="limit-known-accounts",
            meta="the same, once an earlier sync has listed the accounts",
            does="makes no further call and notes what is due of each account",
            outcome=Outcome.DEFERRED,
            rules=(Rule("block", "accounts", None, error(4, seconds=_LONG)),),
            lacking=EVERYBODY,
            told=False,
            probes=_PROBES,
            says=("the budget app",),
            lasts=True,
            known=True,
        ),
    )


# ---- Meta's own trouble ----

_GIVES_UP = "calls 5 times, then for a report, then for a single day; gives up, goes on with the other accounts"
_TROUBLE = (
    ("1", "codes 1 and 1/99", (error(1, status=500), error(1, 99, status=500))),
    ("2", "codes 2, 2/1504043 and 2/1504044", (error(2), error(2, 1504043), error(2, 1504044))),
)


def trouble_cases() -> tuple[Case, ...]:
    """Errors of Meta's that pass, or do not."""
    passing = [
        Case(
            id=f"trouble-{id_}",
            meta=f"has trouble ({codes}, one after the other) with a call of each kind",
            does="calls again after a growing wait, 5 calls in all",
            outcome=Outcome.EQUAL,
            sees="`retries` and `waited_seconds` count it",
            rules=in_turn("graph_error", *errors),
            receipt=lambda receipt: receipt.retries >= 2 * len(INSIGHTS),
        )
        for id_, codes, errors in _TROUBLE
    ]
    return (
        *passing,
        Case(
            id="trouble-lasting",
            meta="has trouble (code 1) with every call for insights of some accounts",
            does=_GIVES_UP,
            outcome=Outcome.DEFERRED,
            rules=of_victims("graph_error", **error(1, status=500, path="/insights$")),
            says=("code 1",),
        ),
        Case(
            id="trouble-direct-lasting",
            meta="has trouble (code 1) with every direct call for insights",
            does="asks for an asynchronous report after 5 calls, and remembers that",
            outcome=Outcome.EQUAL,
            rules=always("graph_error", ("insights",), **error(1, status=500)),
            leaves=True,
        ),
        Case(
            id="trouble-when-large",
            meta="has trouble with more than 12 rows at once (code 1/99; of another account: code 2/1504044)",
            does="asks for one day, and for twice as many each time as long as they come; remembers how many did",
            outcome=Outcome.EQUAL,
            rules=each_its_own(
                "graph_error", error(1, 99, status=500, rows_above=12), error(2, 1504044, rows_above=12)
            ),
            leaves=True,
        ),
        Case(
            id="trouble-when-day-large",
            meta="has trouble (code 1) with more than 2 rows at once, fewer than there are on a day",
            does="asks for one campaign, ad set, ad of a day, then for more; no row is cut in two",
            outcome=Outcome.EQUAL,
            rules=(Rule("graph_error", "", REPORT, error(1, status=500, times=None, rows_above=2)),),
            leaves=True,
        ),
        Case(
            id="trouble-page-large",
            meta="has trouble (code 1) with pages of more than 100 rows of a report",
            does="asks for a page of 25 rows, and for twice as many each time as long as they come; remembers how many did",
            outcome=Outcome.EQUAL,
            rules=always("graph_error", ("run_insights",), **error(1, status=500, limit_above=100)),
            leaves=True,
        ),
        Case(
            id="trouble-unknown-code",
            meta="refuses with a code that nobody knows, and says that it will pass (`is_transient`)",
            does="calls again after a growing wait",
            outcome=Outcome.EQUAL,
            rules=once("graph_error", **error(99_999, is_transient=True)),
        ),
        Case(
            id="trouble-unknown-code-lasting",
            meta="refuses with a code that nobody knows, and does not say that it will pass",
            does="does not repeat the call, goes on with the other accounts",
            outcome=Outcome.FAILED,
            rules=always("graph_error", **error(99_999)),
            says=("code 99999",),
        ),
        Case(
            id="trouble-entities",
            meta="has trouble (code 2) with every list of campaigns, ad sets and ads of an account",
            does="gives up after 5 calls, refreshes them the next time",
            outcome=Outcome.ENTITIES,
            rules=(Rule("graph_error", "structure", DIRECT, error(2, times=None, without_query="summary=true")),),
            lacking=(DIRECT,),
            says=("code 2",),
            entities=True,
        ),
    )


# ---- no usable answer ----


def _garbled(id_: str, meta: str, action: str, **values: Any) -> Case:
    return Case(
        id=id_,
        meta=f"{meta}, once for each kind of call",
        does="calls again after a growing wait",
        outcome=Outcome.EQUAL,
        rules=once(action, **values),
        receipt=lambda receipt: receipt.retries >= len(INSIGHTS),
    )


def silence_cases() -> tuple[Case, ...]:
    """No answer, or none that can be read."""
    impatient = Timeouts(connect=1.0, silence=0.1, total=0.25)
    return (
        Case(
            id="html",
            meta="answers 500, 502 and 503 with a page of HTML, one after the other, at each kind of call",
            does="calls again after a growing wait, 5 calls in all",
            outcome=Outcome.EQUAL,
            rules=in_turn("html", {"status": 500}, {"status": 502}, {"status": 503}),
            receipt=lambda receipt: receipt.retries == 3 * (1 + len(INSIGHTS)),
        ),
        _garbled("text", "answers 200 with the text `Service Unavailable`", "text"),
        _garbled("json-of-another-form", "answers 200 with JSON that is not of the form asked for", "text", body="[]"),
        _garbled("reset", "breaks the connection", "reset"),
        _garbled("hang-up", "closes the connection without an answer", "hang"),
        _garbled("truncated", "answers with two thirds of the JSON", "truncate"),
        _garbled("cut", "breaks the connection in the middle of the body", "cut"),
        replace(
            _garbled("hang", "does not answer", "hang", seconds=5.0),
            does="waits 60 s for a sign of life, calls again",
            timeouts=impatient,
        ),
        replace(
            _garbled("slow-body", "lets the body drip", "slow_body", seconds=0.6),
            does="gives a call 180 s in all, calls again",
            timeouts=impatient,
        ),
        *(
            Case(
                id=f"{id_}-lasting",
                meta=f"{meta} to every call for insights of some accounts",
                does=_GIVES_UP,
                outcome=Outcome.DEFERRED,
                rules=of_victims(action, path="/insights$"),
                says=(says,),
            )
            for id_, meta, action, says in (
                ("html", "answers 503 with HTML", "html", "HTTP 503"),
                ("truncated", "answers with two thirds of the JSON", "truncate", "the answer"),
            )
        ),
        Case(
            id="hang-lasting",
            meta="does not answer any call for insights of some accounts",
            does=_GIVES_UP,
            outcome=Outcome.DEFERRED,
            rules=of_victims("hang", path="/insights$", seconds=5.0),
            says=("no answer",),
            timeouts=impatient,
        ),
        Case(
            id="reset-lasting",
            meta="breaks the connection at every call for insights of some accounts",
            does=_GIVES_UP,
            outcome=Outcome.DEFERRED,
            rules=of_victims("reset", path="/insights$"),
            says=("no answer",),
        ),
        Case(
            id="slow-body-lasting",
            meta="lets the body of every answer about insights of some accounts drip",
            does=_GIVES_UP,
            outcome=Outcome.DEFERRED,
            rules=of_victims("slow_body", path="/insights$", seconds=0.3),
            says=("took longer than",),
            timeouts=replace(impatient, total=0.1),
        ),
        Case(
            id="html-503-retry-after",
            meta="answers 503 and asks to wait 10 min",
            does="does not wait so long: goes on with the other accounts, comes back after 10 min",
            outcome=Outcome.DEFERRED,
            rules=always("html", headers={"retry-after": "600"}),
            says=("HTTP 503",),
        ),
    )


# ---- token ----

_DEAD_TOKENS = (None, 458, 459, 460, 463, 464, 467, 492)


def token_cases() -> tuple[Case, ...]:
    """The token is not taken."""
    return (
        *(
            Case(
                id=f"token-{subcode or 'invalid'}",
                meta=f"no longer takes the token ({named(190, subcode)})",
                does="makes no further call",
                outcome=Outcome.STOPPED,
                rules=always("graph_error", ("accounts",), **error(190, subcode)),
                says=(named(190, subcode), "Remedy: "),
            )
            for subcode in _DEAD_TOKENS
        ),
        Case(
            id="token-proof",
            meta="does not take the `appsecret_proof` (code 100)",
            does="makes no further call",
            outcome=Outcome.STOPPED,
            rules=always(
                "graph_error",
                ("accounts",),
                **error(100, message="Invalid appsecret_proof provided in the API argument"),
            ),
            says=("META_APP_SECRET",),
        ),
        Case(
            id="token-halfway",
            meta="no longer takes the token (code 190/463) when the pages of a report are read",
            does="makes no further call, keeps the report's id; the next sync reads on",
            outcome=Outcome.TOKEN,
            rules=once("graph_error", ("run_insights",), **error(190, 463)),
            says=("META_ACCESS_TOKEN",),
        ),
        Case(
            id="token-while-report-runs",
            meta="no longer takes the token (code 190/463) while a report is not ready yet",
            does="makes no further call, keeps the report's id; the next sync reads on",
            outcome=Outcome.TOKEN,
            rules=once("graph_error", ("insights",), **error(190, 463)),
            says=("META_ACCESS_TOKEN",),
            lasts=True,
            calls={"create_run": 1},
        ),
        Case(
            id="token-while-blocked",
            meta="no longer takes the token (code 190/463) while the limit of another account is reached, for 40 s",
            does="makes no further call",
            outcome=Outcome.TOKEN,
            rules=(
                Rule("block", "insights", DIRECT, error(80000, 2446079, seconds=40.0)),
                *once("graph_error", ("run_insights",), **error(190, 463)),
            ),
            says=("META_ACCESS_TOKEN",),
        ),
    )


# ---- permissions and accounts ----

_INSIGHTS_ONLY = {"path": "/insights$"}

_PERMISSIONS = (
    ("10-200", error(10), error(200)),
    ("294-1-2853001", error(294), error(1, 2853001)),
    ("100-3191001-100-33", error(100, 3191001), error(100, 33)),
)


def permission_cases() -> tuple[Case, ...]:
    """The token may not read an account, or nobody knows the account."""
    leaves_out = "leaves the account out, goes on with the others, asks again at the next sync"
    return (
        *(
            Case(
                id=f"permission-{id_}",
                meta=f"does not let the token read an account ({told(direct)}; another account: {told(report)})",
                does=leaves_out,
                outcome=Outcome.REFUSED,
                rules=each_its_own("graph_error", {**direct, **_INSIGHTS_ONLY}, {**report, **_INSIGHTS_ONLY}),
                says=(told(direct), told(report)),
            )
            for id_, direct, report in _PERMISSIONS
        ),
        Case(
            id="permission-100-text",
            meta="the same (code 100 with the words `Missing permissions`)",
            does=leaves_out,
            outcome=Outcome.REFUSED,
            rules=always("graph_error", **error(100, message="(#100) Missing permissions")),
            says=("ads_read",),
        ),
        Case(
            id="account-twice",
            meta="gives an ad account on two pages of its list",
            does="collects it once",
            outcome=Outcome.EQUAL,
            alteration=Alteration(_first_again, ("accounts",)),
        ),
        Case(
            id="account-zone",
            meta="gives an ad account a time zone that nobody knows",
            does="leaves the account out, since its days cannot be told; goes on with the others",
            outcome=Outcome.REFUSED,
            alteration=Alteration(_first_on_mars, ("accounts",)),
            lacking=(DIRECT,),
            says=("Mars/Olympus", "tzdata"),
        ),
        Case(
            id="permission-named",
            meta="does not let the token read an account (code 200) that META_AD_ACCOUNT_IDS or `--account` names",
            does=leaves_out,
            outcome=Outcome.NAMED,
            rules=(Rule("graph_error", "account", DIRECT, error(200, status=403)),),
            lacking=(DIRECT,),
            says=("code 200",),
            named=True,
        ),
        *(
            Case(
                id=f"account-unknown-{code}",
                meta=f"does not know an account ({named(code, subcode)}) that META_AD_ACCOUNT_IDS or `--account` names",
                does=leaves_out,
                outcome=Outcome.NAMED,
                rules=rules,
                lacking=(),
                says=(named(code, subcode),),
                named=True,
                named_too=("999",),
            )
            for code, subcode, rules in (
                (100, 33, ()),
                (803, None, (Rule("graph_error", "account", None, error(803, status=404, path="act_999$")),)),
            )
        ),
    )


def _first_again(answer: dict[str, Any]) -> dict[str, Any]:
    first, *_ = answer["data"]
    return {**answer, "data": [*answer["data"], {**first, "name": "Renamed meanwhile"}]}


def _first_on_mars(answer: dict[str, Any]) -> dict[str, Any]:
    first, *others = answer["data"]
    return {**answer, "data": [{**first, "timezone_name": "Mars/Olympus"}, *others]}


# ---- versions ----


def version_cases() -> tuple[Case, ...]:
    """The version of the API is not the one that was asked for."""
    return (
        Case(
            id="version-upgraded",
            meta="answers with a newer version than the one that is set and has ended, and warns",
            does="tells an error before the first call and one with the answer, which it reads as ever",
            outcome=Outcome.EQUAL,
            sees="`version_warnings` says that the version has ended and that another one answered; the asset check fails",
            variables={"META_GRAPH_API_VERSION": "v24.0"},
            receipt=lambda receipt: (
                len(receipt.warnings) == 2
                and "v24.0 of the Marketing API ended" in receipt.warnings[0]
                and "auto-upgraded" in receipt.warnings[1]
            ),
        ),
        Case(
            id="version-warning",
            meta="warns in one answer that the version will end",
            does="reads the answer as ever",
            outcome=Outcome.EQUAL,
            sees="`warnings` says so, once",
            rules=once("headers", INSIGHTS, headers={"x-ad-api-version-warning": "v26.0 will end on 2027-06-01"}),
            receipt=lambda receipt: ["will end on" in warning for warning in receipt.warnings] == [True],
        ),
        Case(
            id="version-retired",
            meta="no longer serves the version (code 2635)",
            does="makes no further call",
            outcome=Outcome.STOPPED,
            rules=always("graph_error", ("accounts",), **error(2635)),
            says=("META_GRAPH_API_VERSION",),
        ),
    )


# ---- batches ----

# The list of ads is empty, so that those whose insights came are asked for by id, in a batch.
_NO_ADS = Rule(
    "text",
    "structure",
    DIRECT,
    {"path": "/ads$", "without_query": "summary=true", "body": '{"data":[]}'},
)


def _batch(id_: str, meta: str, does: str, rule: Rule, **more: Any) -> Case:
    return Case(
        **{
            "id": id_,
            "meta": meta,
            "does": does,
            "outcome": Outcome.EQUAL,
            "rules": (_NO_ADS, rule),
            "lacking": (DIRECT,),
            "entities": True,
            **more,
        }
    )


def batch_cases() -> tuple[Case, ...]:
    """Many calls in one request, of which some get no answer."""
    return (
        _batch(
            "batch-null",
            "answers null for two calls of a batch",
            "asks for these two again",
            Rule("null_batch_element", "object", DIRECT, {"times": 2}),
        ),
        _batch(
            "batch-null-lasting",
            "answers null for the same call in three batches",
            "goes on without the object, asks again at the next sync",
            Rule("null_batch_element", "object", DIRECT, {"times": None}),
            outcome=Outcome.OBJECTS,
            lists=(EntityKind.ADS,),
            says=("leave it out",),
        ),
        _batch(
            "batch-given-up",
            "gives up a batch that takes too long (code 960)",
            "asks for half as much in one batch",
            Rule("graph_error", "batch", None, error(960)),
        ),
        _batch(
            "batch-limit",
            "refuses one call of a batch, since the hourly limit is reached (code 80004/2446079), for 20 min",
            "makes no further call of that sort about the account, refreshes its entities the next time",
            Rule("block", "object", DIRECT, error(80004, 2446079, seconds=_LONG)),
            outcome=Outcome.ENTITIES,
            lists=(EntityKind.ADS,),
            says=("code 80004/2446079",),
            lasts=True,
        ),
    )
