"""Many calls in one request: what goes over the wire, what comes back for each, and what it costs."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from meta_insights_pipeline.graph_api.batch import BatchCall, get_many
from meta_insights_pipeline.graph_api.client import InvalidAnswerError, read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    BlockedError,
    NotFoundError,
    ThrottleError,
    TransientError,
    TransportError,
)
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import APP_SECRET, PROOF, TOKEN, Talk, daily
from meta_insights_pipeline_tests.graph_api.support import talk as new_talk

KIND = "entity_by_id"


@contextmanager
def talk(world: World, **options: Any) -> Iterator[Talk]:
    """A client that has called the account before, so that its budgets are no riddle."""
    with new_talk(world, **options) as session:
        session.api.budget.answered(session.account_id, KIND, {}, None)
        yield session


def entities(session: Talk) -> list[str]:
    """Ids of everything that the first account holds: 14 of them."""
    graph = session.simulator.world.graph(session.account_id)
    return [one for level in ("campaign", "adset", "ad") for one in graph.table(level).ids]


def calls_for(ids: Sequence[str]) -> list[BatchCall]:
    return [BatchCall(one, {"fields": "id,name"}) for one in ids]


def ask(session: Talk, calls: Sequence[BatchCall], kind: str = KIND) -> list[Any]:
    return get_many(session.api, calls, kind=kind, account=session.account_id, read=read_object)


def sizes(session: Talk) -> list[int]:
    """How many entries each batch had that was sent."""
    return [len(json.loads(request.params["batch"])) for request in session.simulator.received]


def ids_of(answers: list[Any]) -> list[str]:
    return [answer["id"] if isinstance(answer, dict) else type(answer).__name__ for answer in answers]


# ---- as it should be ----


@pytest.mark.parametrize("served", [False, True])
def test_answers_come_in_the_order_of_the_calls_whatever_these_are(served: bool, world: World) -> None:
    with talk(world, served=served) as session:
        ids = list(reversed(entities(session)))
        assert ids_of(ask(session, calls_for(ids))) == ids
        rows = ask(session, [BatchCall(f"{session.account}/insights", daily()), BatchCall("me")])
        assert len(rows[0]["data"]) == 25
        assert rows[1]["name"]
        assert sizes(session) == [len(ids), 2]


def test_each_answer_is_that_of_a_call_of_its_own(world: World) -> None:
    with talk(world) as session:
        calls = calls_for(entities(session))
        single = [session.api.get(call.path, call.parameters, kind=KIND, read=read_object) for call in calls]
        assert ask(session, calls) == single


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [1]), (50, [50]), (51, [50, 1]), (120, [50, 50, 20])])
def test_no_batch_has_more_than_fifty_entries(count: int, expected: list[int], world: World) -> None:
    with talk(world) as session:
        assert len(ask(session, [BatchCall("me")] * count)) == count
        assert sizes(session) == expected


def test_a_batch_is_one_request_and_as_many_calls_as_it_has_entries(world: World) -> None:
    with talk(world) as session:
        ask(session, calls_for(entities(session)))
        counts = session.api.meter.counts()
        assert (counts.calls, counts.total, counts.requests) == ({KIND: 14}, 14, 1)
        assert counts.received_bytes > 1000


def test_entries_carry_version_and_parameters_and_no_secret(world: World) -> None:
    with talk(world, version="v25.0", app_secret=APP_SECRET, simulator={"app_secret": APP_SECRET}) as session:
        assert ask(session, [BatchCall("me", {"fields": "id,name", "other": "näme & a=b?"})])[0]["id"]
        (request,) = session.simulator.received
    assert (request.method, request.path, request.query) == ("POST", "/v25.0/", {})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN.encode() not in request.body
    assert request.params["appsecret_proof"] == PROOF
    assert request.params["include_headers"] == "true"
    assert json.loads(request.params["batch"]) == [
        {"method": "GET", "relative_url": "v25.0/me?fields=id%2Cname&other=n%C3%A4me+%26+a%3Db%3F"}
    ]


def test_a_version_that_meta_replaced_is_told_of_entries_too(world: World) -> None:
    with talk(world, version="v19.0") as session:
        ask(session, [BatchCall("me")])
        assert len(session.api.version_warnings) == 1


# ---- entries that fail ----


def test_an_entry_that_fails_is_the_error_that_a_single_call_would_be(world: World) -> None:
    with talk(world) as session:
        first, *others = entities(session)
        calls = [BatchCall("1"), *calls_for([first]), BatchCall(first, {"fields": "nonsense"}), *calls_for(others)]
        missing, good, bad, *rest = ask(session, calls)
        assert [type(one) for one in (missing, good, bad)] == [NotFoundError, dict, BadRequestError]
        for call, error in zip(calls, (missing, None, bad), strict=False):
            if error is not None:
                with pytest.raises(type(error)) as single:
                    session.api.get(call.path, call.parameters, kind=KIND, read=read_object)
                assert (single.value.code, single.value.subcode) == (error.code, error.subcode)
                assert single.value.http_status == error.http_status
                assert str(error).startswith(f"GET /{call.path} was refused: ")
                assert error.fbtrace_id
        assert ids_of(rest) == others
        assert session.waits == []


def test_an_entry_that_cannot_be_read_is_an_error_of_transport(world: World) -> None:
    def read(body: bytes) -> str:
        if b"a" in body:
            raise InvalidAnswerError("the answer holds an a")
        return "good"

    with talk(world) as session:
        (answer,) = get_many(session.api, [BatchCall("me")], kind=KIND, account=None, read=read)
        assert isinstance(answer, TransportError)
        assert answer.message == "GET /me: the answer holds an a."


def test_only_entries_that_were_left_out_are_asked_again(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("null_batch_element", path=f"/{ids[3]}$", times=2)
        session.simulator.faults.add("null_batch_element", path=f"/{ids[8]}$", times=1)
        assert ids_of(ask(session, calls_for(ids))) == ids
        assert sizes(session) == [14, 2, 1]
        assert session.api.meter.counts().total == 17


def test_an_entry_that_is_left_out_again_and_again_is_given_up(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("null_batch_element", path=f"/{ids[3]}$", times=None)
        answers = ask(session, calls_for(ids))
        assert isinstance(answers[3], TransportError)
        assert answers[3].message == f"GET /{ids[3]}: the answers to 3 batches leave it out."
        assert ids_of([*answers[:3], *answers[4:]]) == [*ids[:3], *ids[4:]]
        assert sizes(session) == [14, 1, 1]


# ---- batches that fail ----


def test_a_batch_that_is_given_up_is_halved_until_it_works(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("graph_error", kind="batch", code=960, times=2)
        assert ids_of(ask(session, calls_for(ids))) == ids
        assert sizes(session) == [14, 7, 3, 3, 3, 3, 2]
        assert session.waits == []


def test_entries_that_were_given_up_with_their_batch_are_asked_again_in_smaller_ones(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("graph_error", kind="object", code=960, status=500, skip=4, times=10)
        assert ids_of(ask(session, calls_for(ids))) == ids
        assert sizes(session) == [14, 7, 3]


def test_a_single_entry_that_is_too_much_for_a_batch_fails_alone(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)[:2]
        session.simulator.faults.add("graph_error", kind="batch", code=960, times=2)
        failed, good = ask(session, calls_for(ids))
        assert (type(failed), failed.code) == (TransientError, 960)
        assert good["id"] == ids[1]


def test_a_batch_that_asks_for_too_much_data_is_halved(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("graph_error", kind="batch", code=1, message="Please reduce the amount of data")
        assert ids_of(ask(session, calls_for(ids))) == ids
        assert sizes(session) == [14, 7, 7]


def test_a_batch_that_got_no_answer_is_tried_again_as_any_call(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("reset", kind="batch", times=1)
        session.simulator.faults.add("html", kind="batch", skip=1, times=1)
        session.simulator.faults.add("text", kind="batch", skip=2, times=1, body='[{"code":200,"body":"{}"}]')
        session.simulator.faults.add("text", kind="batch", skip=3, times=1, body=json.dumps([{"code": "x"}] * 14))
        assert ids_of(ask(session, calls_for(ids))) == ids
        assert session.waits == [0.5, 1.0, 2.0, 4.0]
        assert sizes(session) == 5 * [14]


def test_when_a_request_fails_what_came_before_is_kept_and_nothing_more_is_asked(world: World) -> None:
    with talk(world, retry=RetryPolicy(attempts=1)) as session:
        session.simulator.faults.add("graph_error", kind="batch", code=190, subcode=463, skip=1)
        answers = ask(session, [BatchCall("me")] * 120)
        assert [type(answer) for answer in answers] == 50 * [dict] + 70 * [AuthError]
        assert sizes(session) == [50, 50]


# ---- budgets ----


def test_the_usage_of_every_entry_is_read(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        spent = {"x-business-use-case-usage": json.dumps({"7": [{"type": "ads_insights", "call_count": 62}]})}
        session.simulator.faults.add("headers", kind="object", headers=spent, skip=5, times=1)
        ask(session, calls_for(ids))
        levels = {(level.account, level.budget): level.percent for level in session.api.budget.levels()}
        assert levels["7", "ads_insights"] == 62.0
        # A call is a 100,000th of the structure's budget, and 14 of them are less than a point.
        assert levels[session.account_id, "ads_management"] == 0.0
        assert levels[session.account_id, "score"] == pytest.approx(14 / 90, abs=0.01)
        assert session.api.meter.counts().highest_usage_percent == 62.0


def test_an_entry_that_meets_a_limit_blocks_and_the_rest_is_not_asked(world: World) -> None:
    with talk(world) as session:
        ids = entities(session)
        session.simulator.faults.add("graph_error", kind="object", code=80004, subcode=2446079, skip=10, times=None)
        answers = ask(session, calls_for(ids * 5))
        assert [type(answer) for answer in answers] == 10 * [dict] + 40 * [ThrottleError] + 20 * [BlockedError]
        assert {answer.retry_after for answer in answers[10:]} == {60.0}
        assert sizes(session) == [50]
        assert session.waits == []


def test_a_nearly_spent_budget_makes_batches_smaller_and_is_not_overdrawn(world: World) -> None:
    with new_talk(world, simulator={"budgets": {"ads_management": 60}}) as session:
        ids = entities(session)
        answers = ask(session, calls_for(ids * 8))
        made = [answer for answer in answers if isinstance(answer, dict)]
        assert 54 <= len(made) <= 60
        assert {type(answer) for answer in answers[len(made) :]} == {BlockedError}
        inner = [record.status for record in session.simulator.requests if record.kind == "object"]
        assert inner == len(made) * [200]
        # The first one tries out what is not known yet.
        assert sizes(session)[:2] == [4, 50]
        assert len(sizes(session)) < 8


def test_calls_that_a_batch_left_out_or_lost_are_not_under_way_any_more(world: World) -> None:
    with new_talk(world) as session:
        calls = calls_for(entities(session))
        session.simulator.faults.add("null_batch_element", times=None)
        assert all(isinstance(one, TransportError) for one in ask(session, calls))
        session.simulator.faults.clear()
        session.simulator.faults.add("reset", kind="batch", times=None)
        assert all(isinstance(one, TransportError) for one in ask(session, calls))
        # Of an account that is not known yet only so many may be under way: all of these would be too many.
        assert session.api.budget.admit_some(session.account_id, KIND, 50).calls == 4
