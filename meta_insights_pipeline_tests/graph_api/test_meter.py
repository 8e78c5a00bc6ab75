"""Counting what a run spends."""

import threading

from meta_insights_pipeline.graph_api.client import read_object
from meta_insights_pipeline.graph_api.errors import BadRequestError
from meta_insights_pipeline.graph_api.meter import CallCounts, CallMeter
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import World
from meta_insights_pipeline_tests.graph_api.support import daily, failure, talk


def test_nothing_is_spent_at_first() -> None:
    counts = CallMeter().counts()
    assert counts == CallCounts()
    assert (counts.total, counts.highest_usage_percent) == (0, None)


def test_calls_are_counted_by_kind() -> None:
    meter = CallMeter()
    for kind in ("page", "poll", "page"):
        meter.called(kind)
    assert meter.counts().calls == {"page": 2, "poll": 1}
    assert (meter.counts().total, meter.counts().requests) == (3, 3)


def test_a_request_with_many_calls_is_one_request() -> None:
    meter = CallMeter()
    meter.called("entities", 50)
    meter.called("entities")
    assert (meter.counts().calls, meter.counts().requests) == ({"entities": 51}, 2)


def test_counts_do_not_change_after_they_were_taken() -> None:
    meter = CallMeter()
    meter.called("page")
    before = meter.counts()
    meter.called("page")
    meter.received(10)
    meter.used(5.0)
    meter.waits(1.0, throttled=True)
    meter.paused(1.0)
    assert before == CallCounts(calls={"page": 1}, requests=1)


def test_the_highest_usage_is_kept_and_a_missing_one_changes_nothing() -> None:
    meter = CallMeter()
    meter.used(None)
    assert meter.counts().highest_usage_percent is None
    meter.used(0.0)
    assert meter.counts().highest_usage_percent == 0.0
    for percent in (12.5, 113.0, None, 7.0):
        meter.used(percent)
    assert meter.counts().highest_usage_percent == 113.0


def test_waits_are_summed_and_throttles_are_among_them() -> None:
    meter = CallMeter()
    meter.waits(0.1, throttled=False)
    meter.waits(0.2, throttled=True)
    assert meter.counts() == CallCounts(retries=2, throttled=1, waited_seconds=0.3)


def test_a_pause_for_a_budget_is_a_wait_but_no_retry() -> None:
    meter = CallMeter()
    meter.paused(0.25)
    assert meter.counts() == CallCounts(waited_seconds=0.25)


def test_threads_lose_no_count() -> None:
    meter = CallMeter()

    def spend() -> None:
        for _ in range(500):
            meter.called("page")
            meter.received(3)
            meter.used(1.0)
            meter.waits(0.5, throttled=True)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.counts() == CallCounts(
        calls={"page": 4000},
        requests=4000,
        retries=4000,
        throttled=4000,
        waited_seconds=2000.0,
        received_bytes=12_000,
        highest_usage_percent=1.0,
    )


# ---- the client ----


def test_every_attempt_is_counted_since_meta_counts_it_too(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=4, times=1, headers={"retry-after": "2"})
        session.simulator.faults.add("reset", skip=1, times=1)
        session.simulator.faults.add("html", skip=2, times=1)
        session.me("who")
        counts = session.api.meter.counts()
        assert session.calls == 4
    assert (counts.calls, counts.requests) == ({"who": 4}, 4)
    assert (counts.retries, counts.throttled, counts.waited_seconds) == (3, 1, 5.0)


def test_calls_that_fail_for_good_are_counted_too(world: World) -> None:
    with talk(world, retry=RetryPolicy(attempts=2)) as session:
        session.simulator.faults.add("hang", times=None, path="/me$")
        session.fails()
        parameters = {"fields": "nonsense"}
        call = f"{session.account}/insights"
        error = failure(lambda: session.api.get(call, parameters, kind="insights_page", read=read_object))
        assert type(error) is BadRequestError
        counts = session.api.meter.counts()
    assert counts.calls == {"me": 2, "insights_page": 1}
    assert (counts.total, counts.retries, counts.throttled) == (3, 1, 0)


def test_answers_are_measured_as_they_are_after_decompression(world: World) -> None:
    sizes = []
    for compress in (False, True):
        with talk(world, served=True, compress=compress) as session:
            session.api.get(f"{session.account}/insights", daily(limit="100"), kind="page", read=read_object)
            sizes.append(session.api.meter.counts().received_bytes)
    assert sizes[0] == sizes[1] > 10_000


def test_the_usage_of_refused_calls_counts_too(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=100, headers={"x-app-usage": '{"call_count":88}'})
        session.fails()
        session.me()
        assert session.api.meter.counts().highest_usage_percent == 88.0
