"""Pages: cut without loss, noticed when they end early, and followed to the end of their list."""

import itertools
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api import paging
from meta_insights_pipeline.graph_api.client import InvalidAnswerError, read_object
from meta_insights_pipeline.graph_api.errors import (
    BadRequestError,
    PagingError,
    TooMuchDataError,
    TransportError,
)
from meta_insights_pipeline.graph_api.paging import Page, PageSize, follow_pages, list_objects, read_page
from meta_insights_pipeline.simulator import World, WorldSpec
from meta_insights_pipeline_tests.graph_api.support import TOKEN, Talk, daily, failure, rows_of, talk

fixed = settings(derandomize=True, database=None, deadline=None)

# ---- random pages ----

# Words that stand in pages themselves, and characters that mean something in JSON.
_WORDS = st.sampled_from(
    [
        "data",
        "paging",
        "cursors",
        "next",
        "after",
        "summary",
        '"paging"',
        '"paging":{}',
        "]",
        "}]",
        '],"paging":{}}',
        "\\",
    ]
)
_texts = st.text(max_size=8) | _WORDS
_numbers = st.integers() | st.decimals(-(10**12), 10**12, allow_nan=False).map(float)


def _objects(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows whose keys, and those of everything inside them, have such names."""
    values: st.SearchStrategy[Any] = st.recursive(
        st.none() | st.booleans() | _numbers | _texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(names, values, max_size=4)


_cursors = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
_links = st.just("https://graph.facebook.com/v26.0/act_1/insights?access_token=EAAB&after=MjQZD")
_pagings = st.one_of(
    st.just({}),
    st.just([]),
    st.none(),
    st.builds(lambda after: {"cursors": {"before": "MAZDZD", "after": after}}, _cursors),
    st.builds(lambda after, link: {"cursors": {"before": "MAZDZD", "after": after}, "next": link}, _cursors, _links),
    st.builds(lambda after, link: {"next": link, "cursors": {"after": after}, "previous": link}, _cursors, _links),
)


@st.composite
def _answers(draw: st.DrawFn, objects: st.SearchStrategy[dict[str, Any]]) -> tuple[dict[str, Any], bytes]:
    """An answer with a list of rows, and one of the ways to write it down."""
    answer: dict[str, Any] = {"data": draw(st.lists(objects, max_size=4))}
    if draw(st.booleans()):
        answer["paging"] = draw(_pagings)
    for name in draw(st.lists(st.sampled_from(["summary", "__www", "é"]), max_size=2, unique=True)):
        answer[name] = draw(objects | _texts | st.integers())
    if draw(st.booleans()):
        answer = {name: answer[name] for name in draw(st.permutations(list(answer)))}
    space = draw(st.sampled_from(["", " ", "\n  ", "\t", "\r\n"]))
    text = json.dumps(
        answer,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 2])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (f"{space},{space}", f"{space}:{space}")])),
    )
    return answer, (space + text + space).encode()


def _after(answer: dict[str, Any]) -> str | None:
    paging_object = answer.get("paging") or {}
    return str(paging_object["cursors"]["after"]) if paging_object.get("next") else None


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(_answers(_objects(_texts)))
def test_a_page_holds_the_rows_and_the_cursor_that_a_parser_finds(answered: tuple[dict[str, Any], bytes]) -> None:
    answer, body = answered
    page = read_page(body)
    # Numbers with a fraction are compared as they are written; some pages give them as texts.
    assert json.loads(page.rows, parse_float=str) == json.loads(body, parse_float=str)["data"]
    assert page.after == _after(answer)
    assert page.is_empty is (answer["data"] == [])


@settings(derandomize=True, database=None, deadline=None, max_examples=80)
@given(_answers(_objects(_texts.filter(lambda name: name != "paging"))))
def test_a_page_that_ends_early_is_refused_wherever_it_ends(answered: tuple[dict[str, Any], bytes]) -> None:
    _, body = answered
    for end in range(len(body.rstrip())):
        with pytest.raises(InvalidAnswerError):
            read_page(body[:end])


# As in an answer with lists inside its rows, each with a paging object of its own.
NESTED = (
    b'{"data":[{"id":"1","ads":{"data":[{"id":"2"}],"paging":{"cursors":{"before":"a","after":"b"}}}},{"id":"3"}],'
    b'"paging":{"cursors":{"before":"c","after":"d"},"next":"https://graph.facebook.com/"}}'
)


def test_the_paging_of_a_list_inside_a_row_is_not_that_of_the_page() -> None:
    page = read_page(NESTED)
    assert page.after == "d"
    assert [row["id"] for row in json.loads(page.rows)] == ["1", "3"]
    for end in range(len(NESTED)):
        with pytest.raises(InvalidAnswerError):
            read_page(NESTED[:end])


# ---- single pages ----


@pytest.mark.parametrize(
    "rows",
    [
        b'[{"spend":"12.40","actions":[{"value":"3"}]},{"spend":"0.1"}]',
        b'[ { "spend" : 12.400000000000000000001 } ]',
        b'[{"name":"M\\u00fcller \\"Garten\\" \\\\ \\/ \\ud83c\\udf31"},{"name":"\xe3\x81\x95\xe3\x81\x8f\xe3\x82\x89"}]',
        b'[{"a":1e400,"b":-0.0,"c":123456789012345678901234567890}]',
        b'[{"name":"}]\\",\\"paging\\":{}","paging":{"next":"x"}}]',
        b"[]",
        b"[\n]",
    ],
)
@pytest.mark.parametrize("form", [b'{"data":%s,"paging":{}}', b'{ "data" : %s ,\n "paging" : {} }\n'])
def test_rows_stay_the_bytes_that_came(rows: bytes, form: bytes) -> None:
    assert read_page(form % rows).rows == rows


@pytest.mark.parametrize(
    "decimals", ["12.40", "0.100000000000000000000000000001", "1e-7", "123456789.987654321098765432"]
)
@pytest.mark.parametrize(
    "form", ['{"data":[{"spend":%s}],"paging":{}}', '{"data":[{"spend":%s}]}', '{"x":1,"data":[{"spend":%s}]}']
)
def test_numbers_keep_all_their_decimals(form: str, decimals: str) -> None:
    page = read_page((form % decimals).encode())
    assert Decimal(str(json.loads(page.rows, parse_float=Decimal)[0]["spend"])) == Decimal(decimals)


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00 \\ud83c", "\\u0000"])
def test_half_a_character_does_not_break_the_reading(text: str) -> None:
    for form in ('{"data":[{"name":"%s"}],"paging":{}}', '{"data":[{"name":"%s"}]}'):
        body = (form % text).encode()
        assert json.loads(read_page(body).rows) == json.loads(body)["data"]


@pytest.mark.parametrize(
    "text", [b'{"data":[]}', b'{"data":[],"paging":{}}', b'{"data":[],"paging":[]}', b'{"data":[],"paging":null}']
)
def test_an_empty_answer_is_an_empty_last_page(text: bytes) -> None:
    page = read_page(text)
    assert page == Page(b"[]", None)
    assert page.is_empty


def test_a_summary_after_the_paging_is_left_out() -> None:
    body = b'{"data":[{"id":"1"}],"paging":{"cursors":{"after":"x"},"next":"y"},"summary":{"paging":[1],"spend":"1"}}'
    assert read_page(body) == Page(b'[{"id": "1"}]', "x")


def test_a_cursor_without_a_next_page_is_no_cursor_to_follow() -> None:
    assert read_page(b'{"data":[],"paging":{"cursors":{"before":"a","after":"b"}}}').after is None
    assert read_page(b'{"data":[],"paging":{"cursors":{"before":"a","after":"b"},"next":""}}').after is None


def test_a_cursor_that_is_a_number_becomes_text() -> None:
    assert read_page(b'{"data":[],"paging":{"cursors":{"after":25},"next":"x"}}').after == "25"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"Service Unavailable",
        b"<html></html>",
        b'{"error":{"code":1}}',
        b'{"data":{}}',
        b'{"data":null}',
        b'{"data":"text"}',
        b'{"paging":{}}',
        b'{"data":[1',
        b'{"data":[1]',
        b'{"data":[{"a":[1]',
        b'{"data":[{"a":[1]}',
        b'{"data":[1]]}',
        b'{"data":[1]}}',
        b'{"data":[1],"paging":{}',
        b'{"data":[1],"paging":{}}}',
        b'{"data":[1]"paging":{}}',
        b'{"data":[1];"paging":{}}',
        b'{"data":[1],,"paging":{}}',
        b'{"data":[1],"paging":"text"}',
        b'{"data":[1],"paging":{"next":"x"}}',
        b'{"data":[1],"paging":{"next":"x","cursors":{}}}',
        b'{"data":[1],"paging":{"next":"x","cursors":{"after":""}}}',
        b'{"data":[1],"paging":{"next":"x","cursors":["after"]}}',
        b'{"data":["\xff"]}',
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        read_page(body)


# ---- following ----


@pytest.mark.parametrize("limit", [1, 7, 25, 79, 80, 81, 1000])
def test_every_row_comes_once_and_in_order_whatever_the_limit(limit: int, world: World) -> None:
    with talk(world) as session:
        whole = read_object(b'{"data":' + session.pages(daily(limit="1000"))[0].rows + b"}")["data"]
        assert len(whole) == 80
        session.simulator.received.clear()
        pages = session.pages(daily(limit=str(limit)))
        assert session.calls == len(pages) == -(-80 // limit)
        assert all(request.query["limit"] == str(limit) for request in session.simulator.received)
    assert rows_of(pages) == whole
    assert [page.after is None for page in pages] == [False] * (len(pages) - 1) + [True]


def test_the_rows_of_a_page_hold_no_token_although_metas_links_do(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add(
            "text",
            status=200,
            body=json.dumps(
                {
                    "data": [{"id": "1"}],
                    "paging": {
                        "cursors": {"after": "MAZDZD"},
                        "next": f"{session.api.base_url}/v26.0/{session.account}/insights?access_token={TOKEN}&after=x",
                    },
                }
            ),
        )
        pages = session.pages(daily(limit="40"))
        assert len(pages) == 3
        assert all(TOKEN.encode() not in page.rows for page in pages)
        # The token is not appended either: it is the cursor that is followed, and not the link.
        assert all("access_token" not in request.query for request in session.simulator.received)
        assert [request.query.get("after") for request in session.simulator.received][:2] == [None, "MAZDZD"]


def test_a_list_without_rows_has_no_page(world: World) -> None:
    with talk(world) as session:
        nothing = json.dumps({"since": "2026-12-24", "until": "2026-12-24"})
        assert session.pages({**daily(), "time_range": nothing}) == []
        assert session.calls == 1


def test_a_short_page_is_not_the_end(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("short_page", times=2)
        pages = session.pages(daily(limit="40"))
    assert [len(json.loads(page.rows)) for page in pages] == [20, 20, 40]
    assert len({(row["ad_id"], row["date_start"]) for row in rows_of(pages)}) == 80


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_an_empty_page_with_a_next_one_is_not_the_end(skip: int, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("empty_page", skip=skip)
        pages = session.pages(daily(limit="20"))
        assert session.calls == 5
    assert [len(json.loads(page.rows)) for page in pages] == [20, 20, 20, 20]
    assert len({(row["ad_id"], row["date_start"]) for row in rows_of(pages)}) == 80


def test_empty_pages_at_several_places_are_not_the_end_either(world: World) -> None:
    with talk(world) as session:
        for skip in (0, 2, 4, 6):
            session.simulator.faults.add("empty_page", skip=skip)
        pages = session.pages(daily(limit="20"))
        assert session.calls == 8
    assert [len(json.loads(page.rows)) for page in pages] == [20, 20, 20, 20]


def test_empty_pages_whose_cursors_move_are_passed_over(world: World) -> None:
    with talk(world) as session:
        for number, after in enumerate(("one", "two", "three")):
            body = json.dumps({"data": [], "paging": {"cursors": {"after": after}, "next": "https://x"}})
            session.simulator.faults.add("text", status=200, body=body, skip=number)
        session.simulator.faults.add("text", status=200, body='{"data":[{"id":"1"}]}', skip=3)
        assert rows_of(session.pages(daily())) == [{"id": "1"}]
        assert [request.query.get("after") for request in session.simulator.received] == [None, "one", "two", "three"]


def test_an_empty_page_whose_cursor_does_not_move_is_asked_for_once_more_and_then_is_the_end(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("looping_cursor", times=None)
        pages = session.pages(daily(limit="40"))
        assert len(rows_of(pages)) == 80
        asked = [request.query.get("after") for request in session.simulator.received]
    assert len(asked) == 4
    assert asked[2] == asked[3] is not None


def test_a_first_page_that_promises_more_and_gives_nothing_is_asked_for_again_and_then_given_up(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("empty_page", times=None)
        error = failure(lambda: session.pages(daily()))
        assert type(error) is TransportError
        assert "without a cursor" in error.message
        assert len(session.waits) == 4


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_cursor_that_comes_back_with_rows_is_an_error_and_not_a_list_without_end(length: int, world: World) -> None:
    with talk(world) as session:
        for number in range(length + 1):
            after = f"cursor{number % length}"
            body = json.dumps({"data": [{"id": number}], "paging": {"cursors": {"after": after}, "next": "https://x"}})
            session.simulator.faults.add("text", status=200, body=body, skip=number)
        given = follow_pages(session.api, "me/adaccounts", {}, kind="account")
        seen: list[Page] = []
        error = failure(lambda: seen.extend(given))
        assert type(error) is PagingError
        assert str(error) == "GET /me/adaccounts: the cursor 'cursor0' came twice, so the list would never end."
        assert session.calls == length + 1


def test_a_list_with_too_many_pages_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    with talk(world) as session:
        assert len(session.pages(daily(limit="30"))) == 3
        error = failure(lambda: session.pages(daily(limit="20")))
        assert type(error) is PagingError
        assert str(error) == f"GET /{session.account}/insights: more than 3 pages."


@pytest.mark.parametrize("fault", ["reset", "cut", "truncate", "html"])
def test_a_page_that_fails_is_asked_for_again_with_the_same_cursor(fault: str, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add(fault, skip=1)
        assert len(rows_of(session.pages(daily(limit="40")))) == 80
        asked = [request.query.get("after") for request in session.simulator.received]
        assert asked == [None, asked[1], asked[1]]
        assert session.waits == [0.5]


def test_a_throttle_in_the_middle_of_a_list_goes_on_at_its_cursor(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=17, subcode=2446079, skip=2, headers={"retry-after": "3"})
        assert len(rows_of(session.pages(daily(limit="20")))) == 80
        assert session.waits == [3.0]


def test_a_page_that_is_too_large_is_asked_for_in_half_and_the_size_grows_back_in_time(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add(
            "graph_error", code=1, status=500, message="Please reduce the amount of data", limit_above=5, times=2
        )
        pages = session.pages(daily(limit="16"))
        assert len(rows_of(pages)) == 80
    sizes = [len(orjson.loads(page.rows)) for page in pages]
    assert sizes[:9] == [4] * 8 + [8]


def test_a_page_that_is_too_large_with_a_single_row_is_an_error(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=100, subcode=1487534, status=400, times=None)
        with pytest.raises(TooMuchDataError):
            session.pages(daily(limit="16"))


def test_a_list_is_gone_on_with_behind_a_cursor(world: World) -> None:
    with talk(world) as session:
        first, *rest = session.pages(daily(limit="20"))
        path = f"{session.account}/insights"
        again = list(follow_pages(session.api, path, daily(limit="20"), kind="insights_page", after=first.after))
    assert [page.rows for page in again] == [page.rows for page in rest]


def test_a_row_that_came_twice_is_given_twice(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("duplicate_row", skip=1, times=1)
        rows = rows_of(session.pages(daily(limit="40")))
    assert len(rows) == 81
    assert rows[39] == rows[40]


def test_an_invalid_cursor_is_a_bad_request(world: World) -> None:
    with talk(world) as session:
        error = failure(lambda: session.pages(daily(after="no cursor")))
        assert type(error) is BadRequestError
        assert (error.code, error.remedy) == (2642, "read the report again from its first page")
        assert session.calls == 1


def test_pages_are_read_when_they_are_asked_for_and_not_before(world: World) -> None:
    with talk(world) as session:
        pages = follow_pages(session.api, f"{session.account}/insights", daily(limit="20"), kind="insights_page")
        assert session.calls == 0
        next(pages)
        assert session.calls == 1
        next(pages)
        assert session.calls == 2


def test_the_callers_parameters_are_not_changed(world: World) -> None:
    parameters = daily(limit="20")
    with talk(world) as session:
        session.pages(parameters)
    assert parameters == daily(limit="20")


def test_a_list_of_objects_is_given_object_by_object() -> None:
    with talk(World(WorldSpec(accounts=5))) as session:
        found = list(
            list_objects(session.api, "me/adaccounts", {"fields": "account_id,name", "limit": "2"}, kind="account")
        )
        assert session.calls == 3
        assert [row["account_id"] for row in found] == [account.id for account in session.simulator.world.accounts]
        assert [row["name"] for row in found] == [account.name for account in session.simulator.world.accounts]
        assert session.api.meter.counts().calls == {"account": 3}


def test_the_numbers_of_a_list_of_objects_are_exact(world: World) -> None:
    with talk(world) as session:
        body = '{"data":[{"balance":0.1000000000000000000001,"count":3}],"paging":{}}'
        session.simulator.faults.add("text", status=200, body=body)
        (row,) = list_objects(session.api, "me/adaccounts", {}, kind="account")
        assert row == {"balance": Decimal("0.1000000000000000000001"), "count": 3}


# ---- how large a page may be ----


def _sizes(talked: Talk) -> list[int]:
    """The limits that were asked for, each run of equal ones once."""
    return [
        int(limit) for limit, _ in itertools.groupby(request.query["limit"] for request in talked.simulator.received)
    ]


def _read_with(session: Talk, size: PageSize) -> int:
    pages = follow_pages(session.api, f"{session.account}/insights", daily(limit="80"), kind="insights_page", size=size)
    return len(rows_of(list(pages)))


def test_a_remembered_size_is_where_a_list_begins_and_it_does_not_grow(world: World) -> None:
    with talk(world) as session:
        size = PageSize(80, 5, grows=False)
        assert _read_with(session, size) == 80
        assert _sizes(session) == [5]
    assert (size.given, size.refused) == (5, None)


def test_a_size_that_was_refused_is_told(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=100, subcode=1487534, limit_above=30, times=None)
        size = PageSize(80, grows=False)
        assert _read_with(session, size) == 80
        assert _sizes(session) == [80, 40, 20]
    assert (size.given, size.refused, size.is_sure) == (20, 40, True)


def test_trouble_with_a_large_page_is_followed_by_a_small_one_and_larger_ones_as_long_as_they_come(
    world: World,
) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=1, status=500, limit_above=300, times=None)
        size = PageSize(400, grows=False, after_trouble=True)
        assert _read_with(session, size) == 80
        assert _sizes(session) == [400, 25, 50, 100]
    assert (size.given, size.refused, size.is_sure) == (100, 400, False)


def test_trouble_after_a_smaller_page_came_tells_how_large_a_page_may_be(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=1, status=500, limit_above=40, times=None)
        size = PageSize(400, grows=False, after_trouble=True)
        assert _read_with(session, size) == 80
        assert _sizes(session) == [400, 25, 50, 25]
    assert (size.given, size.refused, size.is_sure) == (25, 50, True)


@pytest.mark.parametrize(("after_trouble", "calls"), [(False, 5), (True, 10)])
def test_an_outage_is_met_by_one_small_page_at_most(after_trouble: bool, calls: int, world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("html", status=503, times=None)
        size = PageSize(400, grows=False, after_trouble=after_trouble)
        assert type(failure(lambda: _read_with(session, size))) is TransportError
        assert session.calls == calls
    assert size.given == 0
