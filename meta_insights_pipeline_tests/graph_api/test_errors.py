"""Which error an answer becomes: the whole table, the cases that only text decides, and what errors carry."""

import copy
import csv
import pickle
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.client import read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    BlockedError,
    GraphApiError,
    NotFoundError,
    PagingError,
    PermissionDeniedError,
    ReportHungError,
    ReportRunError,
    RetryableError,
    TerminalError,
    ThrottleError,
    TooMuchDataError,
    TransientError,
    TransportError,
    closed_budget,
    error_class,
    error_from_envelope,
    known_errors,
    parse_envelope,
    read_table,
)
from meta_insights_pipeline.graph_api.paging import read_page
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import ONCE, daily, failure, talk

TABLE = files("meta_insights_pipeline.graph_api").joinpath("data/error_codes.csv").read_text("utf-8")
ROWS = list(csv.DictReader(TABLE.splitlines()))
CLASSES: dict[str, type[GraphApiError]] = {
    "throttle": ThrottleError,
    "transient": TransientError,
    "too_much_data": TooMuchDataError,
    "auth": AuthError,
    "permission": PermissionDeniedError,
    "bad_request": BadRequestError,
    "not_found": NotFoundError,
}
REDUCE = "Please reduce the amount of data you're asking for, then retry your request"
IN_SUMMARY = "(#100) Cannot include spend in summary param because they were not there while creating the report run."


def _pair(row: dict[str, str]) -> tuple[int, int | None]:
    return int(row["code"]), int(row["subcode"]) if row["subcode"] else None


def _name(row: dict[str, str]) -> str:
    return f"{row['code']}/{row['subcode']}" if row["subcode"] else row["code"]


def _classified(code: int | None, subcode: int | None = None, text: str = "", **more: Any) -> type[GraphApiError]:
    envelope = {"code": code, "error_subcode": subcode, "message": text, **more}
    status = envelope.pop("http_status", 400)
    return type(error_from_envelope(envelope, http_status=status, call="GET /me"))


# ---- the table ----


def test_no_error_stands_in_the_table_twice() -> None:
    assert len({_pair(row) for row in ROWS}) == len(ROWS) == len(known_errors())


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_every_row_of_the_table_says_what_it_means_and_what_to_do(row: dict[str, str]) -> None:
    assert row["class"] in CLASSES
    assert row["meaning"]
    assert row["remedy"]
    # Both end up in the middle of a sentence.
    assert not row["meaning"].endswith(".")
    assert not row["remedy"].endswith(".")


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_every_row_of_the_table_becomes_an_error_of_its_class(row: dict[str, str], world: World) -> None:
    code, subcode = _pair(row)
    with talk(world, retry=ONCE) as session:
        session.simulator.faults.add("graph_error", code=code, subcode=subcode, message="Something is amiss.")
        error = session.fails()
    assert type(error) is CLASSES[row["class"]]
    assert (error.code, error.subcode, error.http_status) == (code, subcode, 500 if code == 1 else 400)
    assert error.remedy == row["remedy"]
    expected = f"GET /me was refused: {row['meaning']}. Meta says: Something is amiss. (code {_name(row)}, fbtrace_id "
    assert str(error).startswith(expected)
    assert str(error).endswith(f" Remedy: {row['remedy']}.")


@pytest.mark.parametrize("row", [row for row in ROWS if not row["subcode"]], ids=_name)
def test_a_subcode_that_is_not_in_the_table_falls_back_to_its_code(row: dict[str, str]) -> None:
    assert _classified(int(row["code"]), 987_654_321) is CLASSES[row["class"]]


HEAD = "code,subcode,class,budget,meaning,remedy\n"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_every_throttle_of_the_table_closes_a_budget_and_nothing_else_does(row: dict[str, str]) -> None:
    assert bool(row["budget"]) is (row["class"] == "throttle")
    assert closed_budget(*_pair(row)) == (row["budget"] or None)


@pytest.mark.parametrize(
    ("code", "subcode", "budget"),
    [
        (4, None, "app"),
        (4, 1504022, "app"),
        (341, None, "app"),
        (17, None, "score"),
        (17, 2446079, "score"),
        (32, None, "score"),
        (613, None, "score"),
        (613, 1996, "app"),
        (368, None, "app"),
        (80000, None, "ads_insights"),
        (80000, 2446079, "ads_insights"),
        (80003, 2446079, "custom_audience"),
        (80004, 2446079, "ads_management"),
        (80050, None, None),
        (190, None, None),
        (None, None, None),
    ],
)
def test_a_throttle_closes_the_budget_of_its_code(code: int | None, subcode: int | None, budget: str | None) -> None:
    assert closed_budget(code, subcode) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "code,subcode,class,meaning,remedy\n17,,throttle,much,wait\n",
        HEAD + "17,,throttle,,too much,wait\n",
        HEAD + "190,,auth,score,too much,wait\n",
        HEAD + "17,,throtle,score,too much,wait\n",
        HEAD + "17,,throttle,score,too much\n",
        HEAD + "17,,throttle,score,too much,wait,again\n",
        HEAD + "17,,throttle,score,too much,wait\n17,,throttle,score,too much,wait\n",
        HEAD + "seventeen,,throttle,score,too much,wait\n",
    ],
)
def test_a_table_of_another_form_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"table of error codes|invalid literal"):
        read_table(text)


# ---- what only the text tells ----


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (1, REDUCE, TooMuchDataError),
        (100, f"(#100) {REDUCE}", TooMuchDataError),
        (100, REDUCE.upper(), TooMuchDataError),
        (2, REDUCE, TooMuchDataError),
        (100, "(#100) Missing permissions", PermissionDeniedError),
        (100, IN_SUMMARY, TransientError),
        (100, "Invalid appsecret_proof provided in the API argument", AuthError),
        (2500, "An active access token must be used to query information about the current user.", AuthError),
        # The same codes with other words.
        (1, "An unknown error occurred", TransientError),
        (100, "(#100) dma is not valid for breakdowns param.", BadRequestError),
        (100, "(#100) breakdowns[0] must be one of the following values: age, gender", BadRequestError),
        (2500, "Unknown path components: /nothing", BadRequestError),
    ],
)
def test_text_decides_where_meta_uses_one_code_for_several_things(
    code: int, text: str, expected: type[GraphApiError], world: World
) -> None:
    with talk(world, retry=ONCE) as session:
        session.simulator.faults.add("graph_error", code=code, message=text)
        error = session.fails()
    assert type(error) is expected
    assert text in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("code", "subcode", "text", "expected"),
    [
        (190, None, REDUCE, AuthError),
        (1, 99, REDUCE, TooMuchDataError),
        (2, 1504044, REDUCE, TooMuchDataError),
        (100, 987_654_321, REDUCE, TooMuchDataError),
        (-2, 2490547, REDUCE, TooMuchDataError),
        (80000, None, REDUCE, ThrottleError),
        (17, None, "Missing permissions", ThrottleError),
        (200, None, "An active access token must be used", PermissionDeniedError),
        (2, None, "Invalid appsecret_proof", TransientError),
        # A subcode tells more than words: this text speaks of missing permissions, too.
        (100, 33, "Object with ID '1' cannot be loaded due to missing permissions", NotFoundError),
        (100, 1487534, "Missing permissions", TooMuchDataError),
    ],
)
def test_text_says_nothing_with_other_codes_or_with_a_subcode(
    code: int, subcode: int | None, text: str, expected: type[GraphApiError]
) -> None:
    assert _classified(code, subcode, text) is expected


def test_where_the_text_decides_the_meaning_and_remedy_are_those_of_the_text() -> None:
    error = error_from_envelope({"code": 100, "message": "(#100) Missing permissions"}, http_status=400, call="GET /x")
    assert error.message == "GET /x was refused: the token lacks a permission. Meta says: (#100) Missing permissions"
    assert error.remedy is not None
    assert "ads_read" in error.remedy


def test_a_wrong_proof_is_an_error_of_authentication(world: World) -> None:
    with talk(world, app_secret="not the app's secret", simulator={"app_secret": "the app's secret"}) as session:
        error = session.fails()
    assert type(error) is AuthError
    assert "appsecret_proof" in error.message


def test_an_object_that_is_not_there_is_not_found(world: World) -> None:
    with talk(world) as session:
        error = failure(lambda: session.api.get("act_1", {}, kind="account", read=read_object))
    assert type(error) is NotFoundError
    assert (error.code, error.subcode) == (100, 33)
    assert "missing permissions" in error.message


@pytest.mark.parametrize(("token", "subcode"), [("invalid token", None), ("expired token", 463)])
def test_a_token_that_is_not_accepted_is_an_error_of_authentication(
    token: str, subcode: int | None, world: World
) -> None:
    with talk(world, token=token) as session:
        error = session.fails()
        assert session.calls == 1
    assert type(error) is AuthError
    assert (error.code, error.subcode) == (190, subcode)


@pytest.mark.parametrize(("path", "code"), [("me", 2500), ("debug_token", 104)])
def test_a_missing_token_is_an_error_of_authentication(path: str, code: int, world: World) -> None:
    with talk(world, token="") as session:
        error = failure(lambda: session.api.get(path, {}, kind="me", read=read_object))
    assert type(error) is AuthError
    assert error.code == code


# ---- what is in no table ----


@pytest.mark.parametrize("code", [-7, 0, 5, 99, 199, 300, 4711, 79999, 80100, 2_147_483_647])
def test_an_unknown_code_is_a_bad_request_unless_something_says_that_it_will_pass(code: int) -> None:
    assert _classified(code) is BadRequestError
    assert _classified(code, 12) is BadRequestError
    assert _classified(code, is_transient=False) is BadRequestError
    assert _classified(code, is_transient=True) is TransientError
    assert _classified(code, http_status=500) is TransientError
    assert _classified(code, http_status=503) is TransientError


def test_every_code_from_200_to_299_is_a_missing_permission() -> None:
    for code in range(200, 300):
        assert _classified(code) is PermissionDeniedError
        assert _classified(code, 5, http_status=500) is PermissionDeniedError


def test_every_code_from_80000_to_80099_is_a_throttle() -> None:
    for code in range(80000, 80100):
        assert _classified(code) is ThrottleError
        assert _classified(code, 2446079, is_transient=False) is ThrottleError


@pytest.mark.parametrize(
    ("status", "is_transient", "expected"),
    [(400, False, BadRequestError), (400, True, TransientError), (500, False, TransientError)],
)
def test_without_a_code_the_status_and_the_flag_decide(
    status: int, is_transient: bool, expected: type[GraphApiError]
) -> None:
    assert _classified(None, http_status=status, is_transient=is_transient) is expected


@pytest.mark.parametrize("code", [17, 80000, 190, 10, 2642])
def test_the_status_says_nothing_where_the_code_is_known(code: int) -> None:
    assert _classified(code, http_status=500) is _classified(code, http_status=400) is not TransientError


def test_a_refused_parameter_is_not_asked_again_although_the_status_is_500() -> None:
    text = "(#100) The ids query parameter is deprecated in v26.0+"
    assert _classified(100, text=text, http_status=500) is BadRequestError


@pytest.mark.parametrize(("code", "subcode"), [(100, None), (100, 4711), (2500, None), (2601, None), (2601, 4711)])
def test_a_refusal_that_meta_calls_passing_is_transient(code: int, subcode: int | None) -> None:
    assert _classified(code, subcode) in (BadRequestError, NotFoundError)
    assert _classified(code, subcode, is_transient=True) is TransientError


@pytest.mark.parametrize(
    ("code", "subcode", "expected"),
    [
        (2, 1504041, BadRequestError),
        (2, 1504042, BadRequestError),
        (100, 33, NotFoundError),
        (190, None, AuthError),
        (80000, 2446079, ThrottleError),
        (100, 1487534, TooMuchDataError),
    ],
)
def test_a_known_subcode_is_believed_more_than_the_flag(
    code: int, subcode: int | None, expected: type[GraphApiError]
) -> None:
    assert _classified(code, subcode, is_transient=True) is expected


@pytest.mark.parametrize("subcode", [None, 0, "0", ""])
def test_a_subcode_of_0_is_none(subcode: object) -> None:
    error = error_from_envelope(
        {"code": 100, "error_subcode": subcode, "message": REDUCE}, http_status=200, call="report run 1"
    )
    assert type(error) is TooMuchDataError
    assert error.subcode is None
    assert "(code 100)" in str(error)


def test_codes_may_come_as_text() -> None:
    error = error_from_envelope({"code": "190", "error_subcode": "463", "message": "x"}, http_status=400, call="GET /x")
    assert (type(error), error.code, error.subcode) == (AuthError, 190, 463)


@settings(derandomize=True, database=None, deadline=None)
@given(
    code=st.none() | st.integers(-5000, 100_000),
    subcode=st.none() | st.integers(-5, 5_000_000),
    text=st.text(max_size=30),
    is_transient=st.booleans(),
    status=st.sampled_from([200, 400, 401, 403, 404, 429, 500, 503]),
)
def test_every_error_has_a_class(
    code: int | None, subcode: int | None, text: str, is_transient: bool, status: int
) -> None:
    assert error_class(code, subcode, text, is_transient=is_transient, http_status=status) in CLASSES


_ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(max_size=9) | st.just([]) | st.just({})
)


@settings(derandomize=True, database=None, deadline=None)
@given(
    envelope=st.dictionaries(
        st.sampled_from(["code", "error_subcode", "message", "is_transient", "fbtrace_id", "type", "error_data"]),
        _ANYTHING,
    ),
    status=st.sampled_from([200, 400, 500]),
)
def test_an_envelope_with_odd_values_is_an_error_all_the_same(envelope: dict[str, Any], status: int) -> None:
    error = error_from_envelope(envelope, http_status=status, call="GET /me")
    assert str(error).startswith("GET /me was refused")
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__


# ---- answers that are no answers ----


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_page_in_html_is_an_error_of_transport(status: int, world: World) -> None:
    with talk(world, retry=ONCE) as session:
        session.simulator.faults.add("html", status=status, headers={"x-fb-trace-id": "AtraceOfTheGateway"})
        error = session.fails()
    assert type(error) is TransportError
    assert isinstance(error, RetryableError)
    assert (error.http_status, error.code, error.fbtrace_id) == (status, None, "AtraceOfTheGateway")
    assert str(error) == (f"GET /me: HTTP {status} without an error of Meta's form. (fbtrace_id AtraceOfTheGateway)")


@pytest.mark.parametrize("body", ["Service Unavailable", "<html></html>", "", "null", "17", '"text"', "[]"])
def test_an_answer_of_200_that_is_no_object_is_an_error_of_transport(body: str, world: World) -> None:
    with talk(world, retry=ONCE) as session:
        # A fault needs a body that is not empty.
        session.simulator.faults.add("text", status=200, body=body or "  ", headers={"x-fb-trace-id": "Atrace"})
        error = session.fails()
    assert type(error) is TransportError
    assert (error.http_status, error.fbtrace_id) == (200, "Atrace")


@pytest.mark.parametrize("body", ['{"error":"text"}', '{"error":null}', '{"error":[]}', '{"message":"no"}'])
def test_a_refusal_of_another_form_is_an_error_of_transport(body: str, world: World) -> None:
    assert parse_envelope(body.encode()) is None
    with talk(world, retry=ONCE) as session:
        session.simulator.faults.add("text", status=400, body=body)
        error = session.fails()
    assert type(error) is TransportError
    assert error.http_status == 400


def test_json_that_ends_early_is_an_error_of_transport(world: World) -> None:
    with talk(world, retry=ONCE) as session:
        session.simulator.faults.add("truncate", times=None)
        assert type(session.fails()) is TransportError
        error = failure(lambda: session.pages(daily()))
    assert type(error) is TransportError
    assert error.http_status == 200
    assert error.fbtrace_id


@pytest.mark.parametrize(
    "body",
    [
        '{"error":{"message":"Expired.","code":190,"error_subcode":463,"fbtrace_id":"Atrace"}}',
        '\n{\n  "error" : {"message":"Expired.","code":190,"error_subcode":463,"fbtrace_id":"Atrace"}\n}',
    ],
)
@pytest.mark.parametrize("read", [read_object, read_page])
def test_an_error_inside_an_answer_of_200_is_that_error(body: str, read: Any, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("text", status=200, body=body)
        error = failure(lambda: session.api.get("me", {}, kind="me", read=read))
        assert session.calls == 1
    assert type(error) is AuthError
    assert (error.code, error.subcode, error.http_status, error.fbtrace_id) == (190, 463, 200, "Atrace")


def test_an_error_behind_other_keys_of_a_list_is_noticed(world: World) -> None:
    with talk(world) as session:
        body = '{"__id":"1","error":{"message":"Expired.","code":190}}'
        session.simulator.faults.add("text", status=200, body=body)
        assert type(failure(lambda: session.pages(daily()))) is AuthError


# ---- what errors carry ----


def test_the_trace_id_is_carried(world: World) -> None:
    with talk(world) as session:
        error = failure(lambda: session.api.get("act_1", {}, kind="account", read=read_object))
    assert error.fbtrace_id
    assert error.fbtrace_id.startswith("A")
    assert f"fbtrace_id {error.fbtrace_id}" in str(error)


def test_the_text_of_an_error_names_the_call_but_not_its_parameters(world: World) -> None:
    with talk(world) as session:
        parameters = {"fields": "id,nonsense"}
        error = failure(lambda: session.api.get(f"{session.account}/insights", parameters, kind="x", read=read_object))
        assert type(error) is BadRequestError
        assert str(error).startswith(f"GET /{session.account}/insights was refused")
        assert "fields=" not in str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GraphApiError("It failed."), "It failed."),
        (GraphApiError("It failed.", code=4), "It failed. (code 4)"),
        (GraphApiError("It failed.", code=4, subcode=12), "It failed. (code 4/12)"),
        (GraphApiError("It failed.", subcode=12), "It failed."),
        (GraphApiError("It failed.", code=4, fbtrace_id="A1"), "It failed. (code 4, fbtrace_id A1)"),
        (GraphApiError("It failed.", remedy="wait"), "It failed. Remedy: wait."),
    ],
)
def test_the_text_of_an_error_holds_what_is_known(error: GraphApiError, expected: str) -> None:
    assert str(error) == expected


def _tree(root: type[GraphApiError]) -> list[type[GraphApiError]]:
    return [root, *(one for child in root.__subclasses__() for one in _tree(child))]


@pytest.mark.parametrize("kind", _tree(GraphApiError))
def test_errors_survive_pickling(kind: type[GraphApiError]) -> None:
    error = kind(
        "It failed.", code=17, subcode=2446079, http_status=400, fbtrace_id="A1", remedy="wait", retry_after=12.5
    )
    error.add_note("Seen at night.")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is kind
        assert again.__dict__ == error.__dict__
        assert (again.args, str(again), again.retry_after) == (error.args, str(error), 12.5)
        assert again.__notes__ == ["Seen at night."]


def test_errors_can_be_copied() -> None:
    error = ThrottleError("It failed.", code=17, retry_after=3.0)
    again = copy.deepcopy(error)
    assert (type(again), again.__dict__) == (ThrottleError, error.__dict__)


def test_errors_that_may_pass_and_errors_that_will_not_are_two_branches_of_one_tree() -> None:
    assert set(_tree(RetryableError)) == {
        RetryableError,
        ThrottleError,
        BlockedError,
        TransientError,
        TransportError,
    }
    assert set(_tree(TerminalError)) == {
        TerminalError,
        AuthError,
        PermissionDeniedError,
        NotFoundError,
        TooMuchDataError,
        BadRequestError,
        ReportRunError,
        ReportHungError,
        PagingError,
    }
    assert set(_tree(GraphApiError)) == {GraphApiError, *_tree(RetryableError), *_tree(TerminalError)}
