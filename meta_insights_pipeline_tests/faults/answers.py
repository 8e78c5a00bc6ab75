"""Cases in which an answer comes that is not what it should be: reports, sizes, pages, values."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline_tests.faults.case import Case, Outcome, Rule, always, each_its_own, error, of_victims, once
from meta_insights_pipeline_tests.faults.stage import DIRECT, REPORT, VICTIMS, Alteration, Tables

# ---- reports ----


def _quirk(id_: str, meta: str, does: str, action: str, **values: Any) -> Case:
    """A peculiar report run."""
    return Case(id=id_, meta=meta, does=does, outcome=Outcome.EQUAL, rules=once(action, ("create_run",), **values))


def _run_error(id_: str, meta: str, does: str, kind: str, **values: Any) -> Case:
    """An error about a report run, once."""
    return Case(id=id_, meta=meta, does=does, outcome=Outcome.EQUAL, rules=once("graph_error", (kind,), **values))


def report_cases() -> tuple[Case, ...]:
    """Asynchronous reports that fail, hang or vanish."""
    again = "submits the report once more"
    less = "counts the report as hung after 15 min without progress, asks for half of the days"
    return (
        _quirk("job-failed", "Job Failed (code -2/2490547)", again, "job_failed", **error(-2, 2490547)),
        _quirk("job-skipped", "Job Skipped", again, "job_skipped"),
        Case(
            id="job-failed-lasting",
            meta="Job Failed for every report of an account",
            does="submits it once more, then asks directly for as many days as fit on a page",
            outcome=Outcome.EQUAL,
            rules=(Rule("job_failed", "create_run", REPORT, {"times": None}),),
        ),
        Case(
            id="job-failed-lasting-large",
            meta="the same, and nothing but lists of campaigns, ad sets and ads with rows is given directly",
            does="submits it once more, then for a day, a campaign, an ad set, an ad; gives up, goes on with the other accounts",
            outcome=Outcome.DEFERRED,
            rules=(
                Rule("job_failed", "create_run", REPORT, {"times": None}),
                Rule("graph_error", "insights", REPORT, error(100, 1487534, times=None, query="actions")),
            ),
            lacking=(REPORT,),
            says=("code -2/2490547",),
        ),
        _quirk("stuck-at-100", "Job Running at 100 %, for ever", less, "stuck_at_100_running"),
        Case(
            id="stuck-at-100-lasting",
            meta="Job Running at 100 %, for ever, for every report of an account",
            does=f"{less}; then asks directly for as many days as fit on a page",
            outcome=Outcome.EQUAL,
            rules=(Rule("stuck_at_100_running", "create_run", REPORT, {"times": None}),),
            leaves=True,
        ),
        _quirk(
            "completed-below-100",
            "Job Completed at 98 %, and at 100 % later",
            "reads the report when both signs agree",
            "completed_below_100",
        ),
        Case(
            id="completed-below-100-lasting",
            meta="Job Completed at 98 %, for ever, for every report of an account",
            does=f"{less}; then asks directly for as many days as fit on a page",
            outcome=Outcome.EQUAL,
            alteration=Alteration(_stays_at_98, ("run_status",)),
            leaves=True,
        ),
        Case(
            id="stuck-below-100-lasting",
            meta="Job Running at 57 %, for ever, for every report of an account",
            does=f"{less}; then asks directly for as many days as fit on a page",
            outcome=Outcome.EQUAL,
            alteration=Alteration(_stays_at_57, ("run_status",)),
            leaves=True,
        ),
        Case(
            id="percent-no-number",
            meta="gives a word for a report's percentage, once",
            does="asks for the status again",
            outcome=Outcome.EQUAL,
            alteration=Alteration(lambda answer: {**answer, "async_percent_completion": "most"}, ("run_status",), 1),
        ),
        _quirk(
            "fresh-run-not-found",
            "does not know a report that was submitted 10 s ago (code 100/33)",
            "goes on asking for its status for a minute",
            "fresh_run_not_found",
            seconds=10.0,
        ),
        _quirk("numeric-run-id", "gives the report's id as a number", "takes it as text", "numeric_run_id"),
        _run_error(
            "run-not-ready",
            "refuses to give the pages of a report that is completed (code 2601/1815107)",
            "calls again after a growing wait",
            "run_insights",
            **error(2601, 1815107, is_transient=True),
        ),
        _run_error(
            "run-gone",
            "no longer has a report that is completed (code 2601)",
            again,
            "run_insights",
            **error(2601),
        ),
        _run_error(
            "run-gone-33",
            "no longer knows a report that is completed (code 100/33)",
            again,
            "run_insights",
            **error(100, 33),
        ),
    )


def _stays_at_57(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "async_status": "Job Running", "async_percent_completion": 57}


def _stays_at_98(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["async_status"] == "Job Completed":
        answer["async_percent_completion"] = 98
    return answer


# ---- too much data ----

_REDUCE = "Please reduce the amount of data you're asking for, then retry your request"
_LARGE = {"rows_above": 12}
_TOO_MUCH = (
    (
        "words",
        "codes 1 and 100 with the words `reduce the amount of data`",
        each_its_own(
            "graph_error", error(1, status=500, message=_REDUCE, **_LARGE), error(100, message=_REDUCE, **_LARGE)
        ),
    ),
    (
        "codes",
        "codes 100/1487534 and 100/1504018",
        each_its_own("graph_error", error(100, 1487534, **_LARGE), error(100, 1504018, **_LARGE)),
    ),
    (
        "report",
        "code 2/1504038; of reports: Job Failed with code -3/1504045",
        (
            Rule("graph_error", "", DIRECT, error(2, 1504038, times=None, **_LARGE)),
            Rule("job_failed", "create_run", REPORT, error(-3, 1504045, times=None, **_LARGE)),
        ),
    ),
)


def size_cases() -> tuple[Case, ...]:
    """More data at once than Meta gives, in each of the forms in which it says so."""
    return (
        *(
            Case(
                id=f"reduce-{id_}",
                meta=f"refuses more than 12 rows at once ({codes})",
                does="asks for half of the days, and remembers how many work",
                outcome=Outcome.EQUAL,
                rules=rules,
                leaves=True,
            )
            for id_, codes, rules in _TOO_MUCH
        ),
        Case(
            id="reduce-day",
            meta="refuses more than 2 rows at once, fewer than there are on a day (code 100/1487534)",
            does="asks for single days, then for the ads of fewer campaigns, ad sets, ads; no row is cut in two",
            outcome=Outcome.EQUAL,
            rules=of_victims("graph_error", **error(100, 1487534, rows_above=2)),
            leaves=True,
        ),
        Case(
            id="reduce-page",
            meta="refuses pages of more than 100 rows (code 1 with the words `reduce the amount of data`)",
            does="asks for pages of half as many rows",
            outcome=Outcome.EQUAL,
            rules=always(
                "graph_error", ("insights", "run_insights"), **error(1, message=_REDUCE, status=500, limit_above=100)
            ),
        ),
        Case(
            id="reduce-list",
            meta="the same, of lists of campaigns, ad sets and ads",
            does="asks for pages of half as many objects",
            outcome=Outcome.EQUAL,
            rules=always("graph_error", ("structure",), **error(1, message=_REDUCE, status=500, limit_above=20)),
            entities=True,
        ),
        Case(
            id="reduce-field",
            meta="refuses every request for one of the fields (code 100/1487534)",
            does="finds the field by halving days, entities and fields; collects the report without it",
            outcome=Outcome.WITHHELD,
            rules=of_victims("graph_error", **error(100, 1487534, query="video_thruplay_watched_actions")),
            expect=lambda tables: tables.drop_lists("video_thruplay_watched_actions"),
            says=("video_thruplay_watched_actions",),
            later=timedelta(days=2),
        ),
        Case(
            id="field-refused",
            meta="refuses every request for one of the fields (code 100)",
            does="finds the field by halving the fields; collects the report without it",
            outcome=Outcome.WITHHELD,
            rules=of_victims("graph_error", **error(100, message="(#100) reach is not valid", query="reach")),
            expect=lambda tables: tables.put(reach=None),
            says=("reach",),
            later=timedelta(days=2),
        ),
        Case(
            id="field-refused-2",
            meta="the same, with codes of trouble that passes (2/1504041 and 2/1504042)",
            does="does not repeat the call, since these never pass: finds the field, goes on without it",
            outcome=Outcome.WITHHELD,
            rules=each_its_own(
                "graph_error", error(2, 1504041, query="conversions"), error(2, 1504042, query="conversions")
            ),
            expect=lambda tables: tables.drop_lists("conversions"),
            says=("conversions", "code 2/1504041", "code 2/1504042"),
            later=timedelta(days=2),
        ),
    )


# ---- pages ----

_PAGES = ("insights", "run_insights")
_SHORT_FIRST = always("short_page", _PAGES, without_query="after=")


def _looping(answer: dict[str, Any]) -> dict[str, Any]:
    answer["paging"] = {"cursors": {"before": "MAZDZD", "after": "MAZDZD"}, "next": "https://graph.facebook.com/next"}
    return answer


def _without_cursors(answer: dict[str, Any]) -> dict[str, Any]:
    answer["paging"] = {"next": "https://graph.facebook.com/next"}
    return answer


def _with_paging(value: object) -> Callable[[dict[str, Any]], Any]:
    return lambda answer: {**answer, "paging": value}


def page_cases() -> tuple[Case, ...]:
    """Lists whose pages do not follow each other as they should."""
    anew = "reads the list again from its first page"
    given_up = f"{anew}, once; goes on with the other accounts"
    return (
        Case(
            id="cursor-invalid",
            meta="does not take the cursor that it gave (code 2642)",
            does=anew,
            outcome=Outcome.EQUAL,
            rules=(*once("graph_error", _PAGES, **error(2642, query="after=")), *_SHORT_FIRST),
        ),
        Case(
            id="cursor-invalid-lasting",
            meta="never takes the cursor that it gave (code 2642)",
            does=given_up,
            outcome=Outcome.FAILED,
            rules=(*always("graph_error", _PAGES, **error(2642, query="after=")), *_SHORT_FIRST),
            says=("code 2642",),
        ),
        Case(
            id="cursor-stands",
            meta="promises a next page for ever, empty and with the same cursor",
            does="asks once more, then takes the list as ended",
            outcome=Outcome.EQUAL,
            rules=always("looping_cursor", _PAGES),
        ),
        Case(
            id="cursor-loops",
            meta="gives the same cursor twice, with rows",
            does=anew,
            outcome=Outcome.EQUAL,
            alteration=Alteration(_looping, _PAGES, 2),
        ),
        Case(
            id="cursor-loops-lasting",
            meta="gives the same cursor for ever, with rows",
            does=given_up,
            outcome=Outcome.FAILED,
            alteration=Alteration(_looping, _PAGES),
            says=("came twice",),
        ),
        Case(
            id="cursor-missing",
            meta="promises a next page and gives no cursor",
            does="calls again after a growing wait",
            outcome=Outcome.EQUAL,
            alteration=Alteration(_without_cursors, _PAGES, 1),
        ),
        Case(
            id="page-short",
            meta="gives pages with half of the rows asked for",
            does="reads on until there is no next page",
            outcome=Outcome.EQUAL,
            rules=always("short_page", _PAGES),
        ),
        Case(
            id="page-empty",
            meta="gives an empty page in the middle of a list",
            does="reads on until there is no next page",
            outcome=Outcome.EQUAL,
            rules=(*once("empty_page", _PAGES, query="after="), *_SHORT_FIRST),
        ),
        Case(
            id="row-twice",
            meta="gives a row on two pages",
            does="stores it once",
            outcome=Outcome.EQUAL,
            sees="`repeated_rows` counts it",
            rules=(*once("duplicate_row", _PAGES, query="after="), *_SHORT_FIRST),
            receipt=lambda receipt: receipt.repeated_rows == len(VICTIMS),
        ),
        Case(
            id="paging-list",
            meta="gives an empty list for the paging of the last page",
            does="takes the list as ended",
            outcome=Outcome.EQUAL,
            alteration=Alteration(_with_paging([]), _PAGES),
        ),
    )


# ---- values ----


def _each_row(change: Callable[[dict[str, Any]], object]) -> Alteration:
    """Every row of an answer changed."""

    def changed(answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["data"]:
            change(row)
        return answer

    return Alteration(changed, _PAGES)


def _first_row(change: Callable[[dict[str, Any]], object]) -> Alteration:
    """One row of each answer changed."""

    def changed(answer: dict[str, Any]) -> dict[str, Any]:
        change(answer["data"][0])
        return answer

    return Alteration(changed, _PAGES)


def _put(**values: Any) -> Alteration:
    return _each_row(lambda row: row.update(values))


def _leave_out(*names: str) -> Alteration:
    return _each_row(lambda row: [row.pop(name, None) for name in names])


def _actions(change: Callable[[dict[str, Any]], object]) -> Alteration:
    """Every entry of the lists of actions changed."""
    return _each_row(lambda row: [change(entry) for entry in row.get("actions", ())])


def value_cases() -> tuple[Case, ...]:
    """Values that are not there, or not of the form that was expected."""
    zero, unknown = "stores 0: Meta leaves out counts and money that are 0", "stores NULL: none is not 0"
    named = "`drift` names it, and so does the check `schema_drift`"
    no_values = tuple(
        Case(
            id=f"{form}-values",
            meta=f"{how} `clicks`, `spend`, `reach` and `actions`",
            does=f"{zero}; of `reach`, NULL; of `actions`, no row",
            outcome=Outcome.AS_GIVEN,
            alteration=alteration,
            expect=_without_values,
        )
        for form, how, alteration in (
            ("null", "gives null for", _put(clicks=None, spend=None, reach=None, actions=None)),
            ("empty", "gives an empty text, or an empty list, for", _put(clicks="", spend="", reach="", actions=[])),
            ("missing", "leaves out", _leave_out("clicks", "spend", "reach", "actions")),
        )
    )
    return (
        *no_values,
        Case(
            id="null-action-value",
            meta="gives null for the value of an action, and an empty text for a window",
            does=unknown,
            outcome=Outcome.AS_GIVEN,
            alteration=_actions(lambda entry: entry.update({"value": None, "7d_click": ""})),
            expect=lambda tables: tables.put_actions(value=None, value_7d_click=None),
        ),
        Case(
            id="numbers",
            meta="gives numbers in place of texts, ids too",
            does="stores them as if they were texts; no digit is lost",
            outcome=Outcome.EQUAL,
            alteration=_each_row(_as_numbers),
        ),
        Case(
            id="unknown-field",
            meta="adds fields to the rows, and to the answer, that nobody asked for",
            does="keeps those of the rows as they came, in `other_fields`",
            outcome=Outcome.AS_GIVEN,
            sees=named,
            alteration=Alteration(_with_unknown_fields, _PAGES),
            expect=lambda tables: tables.put(
                other_fields='{"depth":{"unit":null},"gaze_spots":[{"actions":[],"x":1}],"gazes":"12"}'
            ),
            receipt=_tells(("field", "depth"), ("field", "gaze_spots"), ("field", "gazes")),
        ),
        Case(
            id="unknown-window",
            meta="adds an attribution window that nobody asked for",
            does="keeps it as it came, in `other_windows`",
            outcome=Outcome.AS_GIVEN,
            sees=named,
            alteration=_actions(lambda entry: entry.update({"90d_gaze": "7"})),
            expect=lambda tables: tables.put_actions(other_windows='{"90d_gaze":"7"}'),
            receipt=_tells(("window", "90d_gaze")),
        ),
        Case(
            id="unknown-action-type",
            meta="gives an action type that nobody knows",
            does="stores it like the others",
            outcome=Outcome.AS_GIVEN,
            sees="`drift` names it unless it came with the first rows of the report",
            alteration=_each_row(
                lambda row: row.setdefault("actions", []).append({"action_type": "gaze.into_space", "value": "3"})
            ),
            expect=_with_unknown_action,
        ),
        Case(
            id="fraction",
            meta="gives a fraction for `clicks`",
            does="stores NULL, since a count that is rounded is a wrong one; keeps the value in `other_fields`",
            outcome=Outcome.AS_GIVEN,
            sees=named,
            alteration=_put(clicks="1.5"),
            expect=lambda tables: tables.put(clicks=None, other_fields='{"clicks":"1.5"}'),
            receipt=_tells(("value", "clicks")),
        ),
        Case(
            id="action-breakdown",
            meta="splits an action type by a key that nobody asked for",
            does="stores no row of the type, since the parts need not add up; keeps the entries in `other_fields`",
            outcome=Outcome.AS_GIVEN,
            sees=named,
            alteration=_each_row(lambda row: row.update(actions=_SPLIT)),
            expect=_with_split_actions,
            receipt=_tells(("action", "actions of lead more than once"), ("action_key", "action_device")),
        ),
        Case(
            id="huge-field",
            meta="adds a text of 30,000 characters to every row",
            does="stores the rows, and in `other_fields` how long the text was and its SHA-256",
            outcome=Outcome.AS_GIVEN,
            sees=named,
            alteration=_put(gaze=_LONG),
            expect=lambda tables: tables.put(other_fields=_LONG_LEFT_OUT),
            receipt=_tells(("field", "gaze"), ("left_out", "gaze")),
        ),
        Case(
            id="odd-name",
            meta="gives a name with quotes, line breaks, a null character and characters beyond the first plane",
            does="stores it as it is",
            outcome=Outcome.AS_GIVEN,
            alteration=_put(ad_name=_ODD_NAME),
            expect=lambda tables: tables.put(ad_name=_ODD_NAME),
        ),
        *(
            Case(
                id=f"unreadable-{id_}",
                meta=f"gives {meta}",
                does="stores no row of the report, since one is not what was asked for; goes on with the others",
                outcome=Outcome.FAILED,
                alteration=_first_row(change),
                says=(says,),
            )
            for id_, meta, change, says in (
                ("number", "a word for a number", _put_in(impressions="many"), "a page cannot be read"),
                ("day", "a row without its day", lambda row: row.pop("date_start"), "not asked for"),
                ("account", "a row of another account", _put_in(account_id="1"), "not asked for"),
            )
        ),
        Case(
            id="null-data",
            meta="gives null for the rows of a page, once",
            does="calls again after a growing wait",
            outcome=Outcome.EQUAL,
            alteration=Alteration(lambda answer: {**answer, "data": None}, _PAGES, 1),
        ),
    )


_ODD_NAME = 'A "quoted" \\ name,\nof two lines,\x00 and \U0001f6d2 \u202e'


def _without_values(tables: Tables) -> None:
    tables.put(clicks=0, spend=Decimal(0), reach=None)
    tables.drop_lists("actions")


def _put_in(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda row: row.update(values)


def _as_numbers(row: dict[str, Any]) -> None:
    for name in ("impressions", "clicks", "reach", "account_id", "ad_id"):
        row[name] = int(row[name])
    row["spend"] = float(row["spend"])


def _with_unknown_fields(answer: dict[str, Any]) -> dict[str, Any]:
    for row in answer["data"]:
        row.update({"gazes": "12", "gaze_spots": [{"x": 1, "actions": []}], "depth": {"unit": None}})
    return {"__debug__": {"messages": []}, **answer, "summary": {"impressions": "1"}}


_LONG = "x" * 30_000
_DIGEST = sha256(f'"{_LONG}"'.encode()).hexdigest()
_LONG_LEFT_OUT = f'{{"gaze":"(left out: 30002 characters, SHA-256 {_DIGEST})"}}'

_SPLIT = [{"action_type": "lead", "value": "1", "action_device": device} for device in ("ipad", "iphone")]


def _with_split_actions(tables: Tables) -> None:
    tables.drop_lists("actions")
    entries = ",".join(
        f'{{"action_device":"{one["action_device"]}","action_type":"lead","value":"1"}}' for one in _SPLIT
    )
    tables.put(other_fields=f'{{"actions":[{entries}]}}')


def _tells(*parts: tuple[str, str]) -> Callable[[Receipt], bool]:
    """Whether a receipt names these parts as new, by kind and name, and no others."""
    return lambda receipt: {(one.kind, one.name) for one in receipt.drift} == set(parts)


def _with_unknown_action(tables: Tables) -> None:
    none = dict.fromkeys(next(iter(tables.actions.values())))
    for key in tables.of_victims().facts:
        tables.actions[*key, "actions", "gaze.into_space"] = {**none, "value": Decimal(3)}
