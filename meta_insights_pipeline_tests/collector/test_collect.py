"""Making the requests: what comes, what cannot be had, what Meta gives only in parts, and going on after a stop."""

import json
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.collect import Collected
from meta_insights_pipeline.collector.splitting import Evidence
from meta_insights_pipeline.graph_api.errors import AuthError
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.collector.conftest import desk
from meta_insights_pipeline_tests.live import TOKEN, live

ONE = WorldSpec(accounts=1, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True)
TOO_LARGE = {"code": 100, "subcode": 1487534, "status": 400, "times": None}


@pytest.mark.parametrize("direct", [True, False])
def test_every_request_is_answered_by_pages_without_token_or_paging(tmp_path: Path, direct: bool) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        mine.collect(mine.requests(direct=direct))
        for level in Level:
            mine.assert_is_truth(level)
    assert not mine.missed
    assert len(mine.collected) == 2 * 4
    for event in mine.collected:
        for page in event.parts[0].pages:
            text = page.read_text("utf-8")
            assert TOKEN not in text
            assert "paging" not in text
            assert isinstance(json.loads(text), list)


def test_a_direct_answer_with_more_than_a_page_of_rows_becomes_an_asynchronous_report(tmp_path: Path) -> None:
    spec = WorldSpec(accounts=1, campaigns=5, adsets_per_campaign=5, ads_per_adset=12, always_on=True)
    with live(tmp_path, spec) as home, desk(home, tmp_path) as mine:
        mine.collect(mine.requests([Level.AD], direct=True))
        mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == 1


def test_a_direct_answer_on_short_pages_that_fits_on_one_stays_direct(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("short_page", kind="insights")
        mine.collect(mine.requests([Level.AD], direct=True))
        mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == 0


@pytest.mark.parametrize("action", ["job_failed", "job_skipped"])
def test_a_report_that_meta_gave_up_once_is_asked_for_again(tmp_path: Path, action: str) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add(action, code=-2, subcode=2490547)
        mine.collect(mine.requests([Level.AD]))
        mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == 3


def test_a_report_that_hangs_is_asked_for_in_fewer_days_and_never_restarted(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("stuck_at_100_running", times=None, days_above=2)
        mine.collect(mine.requests([Level.AD], days=4))
        mine.assert_is_truth(Level.AD, days=4)
        assert home.simulator.requests.count("create_run") == 3
        assert mine.clock.slept > 900


def test_too_many_days_are_halved_and_the_next_sync_begins_with_what_was_accepted(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home:
        home.simulator.faults.add("job_failed", code=-3, subcode=1504045, times=None, days_above=7)
        with desk(home, tmp_path) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
            mine.book.discard(purchase for event in mine.collected for purchase in event.purchases)
            refused = home.simulator.requests.count("create_run")
        home.simulator.requests.clear()
        with desk(home, tmp_path) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
        # 28 and 14 days are refused, then four times 7 are given: what was learned holds for the second half already.
        assert (refused, home.simulator.requests.count("create_run")) == (2 + 4, 4)


@pytest.mark.parametrize("level", [Level.CAMPAIGN, Level.ADSET, Level.AD])
def test_a_day_that_is_too_large_comes_by_campaigns_ad_sets_and_ads_with_every_reach_as_meta_counts_it(
    tmp_path: Path, level: Level
) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        # No report with more than one row is given: the hardest case, down to single entities.
        home.simulator.faults.add("graph_error", **TOO_LARGE, rows_above=1, query="reach")
        mine.collect(mine.requests([level], days=1))
        mine.assert_is_truth(level, days=1)
        assert not mine.missed
        assert max(len(event.parts) for event in mine.collected) == {"campaign": 2, "adset": 4, "ad": 8}[level]
        assert mine.lessons.size(mine.accounts[0].id, f"{level}_insights").by_entity  # type: ignore[union-attr]


def test_trouble_with_everything_large_is_taken_for_size_once_something_smaller_comes(tmp_path: Path) -> None:
    clock = SkippingClock()
    with live(tmp_path, ONE) as home:
        # As many as eight ads have in a week.
        home.simulator.faults.add("graph_error", code=1, status=500, rows_above=56, times=None)
        with desk(home, tmp_path, clock=clock) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
            assert not mine.missed
            mine.book.discard(purchase for event in mine.collected for purchase in event.purchases)
            # The whole in vain, a day, two days, four, eight in vain, then four at a time.
            assert home.simulator.requests.count("create_run") == 5 + 1 + 1 + 1 + 5 + 6
        home.simulator.requests.clear()
        with desk(home, tmp_path, owner="next", clock=clock) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
            assert home.simulator.requests.count("create_run") == 7


def test_trouble_with_a_direct_request_alone_is_avoided_by_a_report_and_that_is_remembered(tmp_path: Path) -> None:
    clock = SkippingClock()
    with live(tmp_path, ONE) as home:
        home.simulator.faults.add("graph_error", code=1, status=500, kind="insights", times=None)
        for owner, calls in (("first", 5), ("second", 5), ("third", 0)):
            home.simulator.requests.clear()
            with desk(home, tmp_path, owner=owner, clock=clock) as mine:
                mine.collect(mine.requests([Level.AD], direct=True))
                mine.assert_is_truth(Level.AD)
                mine.book.discard(purchase for event in mine.collected for purchase in event.purchases)
                # The first time it might have been an accident.
                assert home.simulator.requests.count("insights") == calls
                assert home.simulator.requests.count("create_run") == 1


def test_an_outage_costs_few_calls_teaches_nothing_and_is_tried_again_later_each_time(tmp_path: Path) -> None:
    clock = SkippingClock()
    with live(tmp_path, ONE) as home:
        home.simulator.faults.add("html", path="insights", status=503, times=None)
        waits = []
        for number in range(7):
            home.simulator.requests.clear()
            with desk(home, tmp_path, owner=f"run-{number}", clock=clock) as mine:
                mine.collect(mine.requests([Level.AD], days=28))
                first = mine.missed[0]
                assert first.evidence is Evidence.LATER
                assert sum(one.request.days.count for one in mine.missed) == 28
                assert first.retry_at is not None
                waits.append(round((first.retry_at - clock.now()) / timedelta(minutes=1)))
                # The whole, one day of it, and the smallest question that there is.
                counts = home.simulator.requests.counts()
                assert counts["create_run"] + counts["insights"] == 3 * 5
            clock.sleep(waits[-1] * 60)
        assert waits == [15, 30, 60, 120, 240, 360, 360]
        home.simulator.faults.clear()
        home.simulator.requests.clear()
        with desk(home, tmp_path, owner="last", clock=clock) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
            assert home.simulator.requests.count("create_run") == 1


def test_an_outage_of_reports_costs_few_calls_and_teaches_nothing(tmp_path: Path) -> None:
    clock = SkippingClock()
    with live(tmp_path, ONE) as home:
        home.simulator.faults.add("job_failed", times=None)
        with desk(home, tmp_path, clock=clock) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            assert all(one.evidence is Evidence.LATER for one in mine.missed)
            assert sum(one.request.days.count for one in mine.missed) == 28
            assert mine.api.meter.counts().total < 30
            assert mine.lessons.sizes() == {}
        home.simulator.faults.clear()
        home.simulator.requests.clear()
        with desk(home, tmp_path, owner="next", clock=clock) as mine:
            mine.collect(mine.requests([Level.AD], days=28))
            mine.assert_is_truth(Level.AD, days=28)
            assert home.simulator.requests.count("create_run") == 1


def test_while_reports_fail_what_fits_on_a_page_is_asked_for_directly(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("job_failed", times=None)
        (asked,) = mine.requests([Level.AD], days=28)
        # A hundred rows a day: four days on a page.
        mine.collect([replace(asked, rows=28 * 100.0)])
        mine.assert_is_truth(Level.AD, days=28)
        counts = home.simulator.requests.counts()
        assert (counts["create_run"], counts["insights"]) == (2, 7)
        assert mine.lessons.size(mine.accounts[0].id, "ad_insights") is None


def test_reports_that_all_hang_are_given_up_after_three(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("stuck_at_100_running", times=None)
        mine.collect(mine.requests([Level.AD], days=28))
        assert home.simulator.requests.count("create_run") == 3
        assert all(one.evidence is Evidence.LATER for one in mine.missed)
        assert sum(one.request.days.count for one in mine.missed) == 28


def test_what_one_campaign_refuses_is_no_lesson_about_its_account(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", **TOO_LARGE, days_above=3)
        (asked,) = mine.requests([Level.CAMPAIGN], days=12)
        campaign = home.world.graph(mine.accounts[0].id).campaigns.ids[0]
        mine.collect([replace(asked, node=campaign)])
        assert not mine.missed
        size = mine.lessons.size(campaign, "campaign_insights")
        assert size is not None
        assert size.days == 3
        assert mine.lessons.size(mine.accounts[0].id, "campaign_insights") is None


def test_an_unknown_refusal_of_a_parameter_is_looked_for_among_the_fields(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add(
            "graph_error", code=100, subcode=987_654_321, status=400, query=",conversions", times=None
        )
        mine.collect(mine.requests([Level.AD]))
        mine.assert_is_truth(Level.AD)
        assert [event.withheld for event in mine.collected] == [("conversions",)]


def test_an_account_report_is_never_put_together_from_parts_of_the_account(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", **TOO_LARGE, query="level=account", kind="insights")
        home.simulator.faults.add("graph_error", **TOO_LARGE, query="level=account", kind="create_run")
        mine.collect(mine.requests([Level.ACCOUNT]))
        asked = [call for call in mine.missed if call.request.within]
    assert mine.missed
    assert not asked


def test_a_field_that_spoils_a_report_is_left_out_with_a_reason_and_the_rows_come_without_it(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        refusal = {"code": 100, "status": 400, "message": "(#100) conversions is broken", "times": None}
        home.simulator.faults.add("graph_error", **refusal, query=",conversions", kind="create_run")
        mine.collect(mine.requests([Level.AD]))
        (event,) = mine.collected
        mine.assert_is_truth(Level.AD)
        assert event.withheld == ("conversions",)
        held = mine.lessons.withheld(mine.accounts[0].id, "ad_insights")
        assert "broken" in held["conversions"].reason
        # While it is in quarantine it costs nothing.
        before = home.simulator.requests.count("create_run")
        mine.book.discard(event.purchases)
        mine.collect(mine.requests([Level.AD]))
        assert home.simulator.requests.count("create_run") == before + 1
        assert mine.collected[-1].withheld == ("conversions",)


def test_a_field_in_quarantine_is_tried_again_after_a_day_and_free_once_it_comes(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        refusal = {"code": 100, "status": 400, "times": None}
        home.simulator.faults.add("graph_error", **refusal, query=",conversions", kind="create_run")
        mine.collect(mine.requests([Level.AD]))
        mine.clock.sleep(timedelta(days=1, minutes=1).total_seconds())
        before = home.simulator.requests.count("create_run")
        mine.collect(mine.requests([Level.AD]))
        # One try with the field, one without: not the whole search again.
        assert home.simulator.requests.count("create_run") == before + 2
        home.simulator.faults.clear()
        mine.clock.sleep(timedelta(days=2, minutes=1).total_seconds())
        mine.collect(mine.requests([Level.AD]))
        assert [event.withheld for event in mine.collected] == [("conversions",), ("conversions",), ()]
        assert mine.lessons.withheld(mine.accounts[0].id, "ad_insights") == {}


def test_a_request_that_is_wrong_in_itself_is_missed_and_no_field_is_blamed(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", code=100, status=400, kind="create_run", times=None)
        mine.collect(mine.requests([Level.AD]))
        assert [one.evidence for one in mine.missed] == [Evidence.FIELDS]
        assert mine.lessons.withheld(mine.accounts[0].id, "ad_insights") == {}
        assert home.simulator.requests.count("create_run") == 2


def test_a_cursor_that_meta_no_longer_accepts_starts_the_report_again(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", kind="run_insights", code=2642, status=400)
        mine.collect(mine.requests([Level.AD]))
        mine.assert_is_truth(Level.AD)


def test_an_account_that_refuses_is_asked_once_and_does_not_stop_the_other(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        forbidden = home.world.accounts[0].id
        home.simulator.faults.add("graph_error", path=f"act_{forbidden}/insights", code=200, status=403, times=None)
        mine.collect(mine.requests(days=20))
    assert {one.request.account.id for one in mine.missed} == {forbidden}
    assert all(one.evidence is Evidence.ACCOUNT and one.retry_at is None for one in mine.missed)
    assert len(mine.collected) == 4


def test_once_the_token_is_refused_no_further_call_is_made(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", path="insights", code=190, subcode=463, status=400, times=None)
        mine.collect(mine.requests(days=20))
        calls = home.simulator.requests.count("create_run") + home.simulator.requests.count("insights")
    assert all(isinstance(one.error, AuthError) for one in mine.missed)
    assert len(mine.missed) == 8
    assert calls <= 8


def test_a_blocked_account_is_left_to_a_later_sync_while_the_other_goes_on(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        blocked, other = (account.id for account in home.world.accounts)
        home.simulator.faults.add("block", account=blocked, code=80000, subcode=2446079, seconds=1200, times=None)
        mine.collect(mine.requests(days=20))
        served = home.simulator.requests.count("create_run")
    assert {one.request.account.id for one in mine.missed} == {blocked}
    assert {event.request.account.id for event in mine.collected} == {other}
    assert len(mine.collected) == 4
    for one in mine.missed:
        assert one.evidence is Evidence.LATER
        assert one.retry_at is not None
        assert timedelta(minutes=15) < one.retry_at - mine.clock.now() <= timedelta(minutes=20)
    # What was under way at that moment is refused; nothing more is asked after that.
    assert served <= 4 + 4


def test_a_short_block_is_waited_for_once_nothing_else_is_left(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", kind="create_run", code=17, status=400, headers={"retry-after": "40"})
        mine.collect(mine.requests([Level.AD]))
        mine.assert_is_truth(Level.AD)
    assert not mine.missed
    assert 30 < mine.clock.slept < 120


def test_a_report_goes_on_where_a_block_stopped_it_and_nothing_is_bought_twice(tmp_path: Path) -> None:
    spec = WorldSpec(accounts=1, campaigns=5, adsets_per_campaign=5, ads_per_adset=20, always_on=True)
    clock = SkippingClock()
    with live(tmp_path, spec) as home:
        with desk(home, tmp_path, clock=clock) as mine:
            block = {"code": 80000, "status": 400, "headers": {"retry-after": "1200"}}
            home.simulator.faults.add("graph_error", kind="run_insights", skip=2, **block)
            mine.collect(mine.requests([Level.AD]))
            assert [one.evidence for one in mine.missed] == [Evidence.LATER]
        clock.sleep(1201)
        with desk(home, tmp_path, owner="next", clock=clock) as mine:
            mine.collect(mine.requests([Level.AD]))
            mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == 1
        # Three pages, and the one that was refused.
        assert home.simulator.requests.count("run_insights") == 4


@pytest.mark.parametrize(("later", "submitted"), [(timedelta(days=2), 1), (timedelta(0), 2)])
def test_a_report_of_days_that_were_over_is_gone_on_with_for_its_life_and_one_of_an_unfinished_day_is_not(
    tmp_path: Path, later: timedelta, submitted: int
) -> None:
    spec = WorldSpec(accounts=1, campaigns=5, adsets_per_campaign=5, ads_per_adset=20, always_on=True)
    with live(tmp_path, spec) as home:
        # Asked for on the last of its days, or after it.
        clock = SkippingClock(home.at + later)
        with desk(home, tmp_path, clock=clock) as mine:
            block = {"code": 80000, "status": 400, "headers": {"retry-after": "1200"}}
            home.simulator.faults.add("graph_error", kind="run_insights", skip=2, **block)
            mine.collect(mine.requests([Level.AD]))
            assert [one.evidence for one in mine.missed] == [Evidence.LATER]
        clock.sleep(timedelta(days=5).total_seconds())
        with desk(home, tmp_path, owner="next", clock=clock) as mine:
            mine.book.sweep()
            mine.collect(mine.requests([Level.AD]))
            mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == submitted


def test_what_a_killed_sync_has_bought_whole_costs_the_next_one_nothing(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        with desk(home, tmp_path) as mine:
            mine.collect(mine.requests())
        before = home.simulator.requests.counts()
        with desk(home, tmp_path, owner="next") as mine:
            mine.collect(mine.requests())
            mine.assert_is_truth(Level.AD)
        after = home.simulator.requests.counts()
    assert {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind, 0)} == {
        "accounts": 1
    }


def test_a_report_that_is_gone_is_asked_for_anew(tmp_path: Path) -> None:
    clock = SkippingClock()
    with live(tmp_path, ONE) as home:
        with desk(home, tmp_path, clock=clock) as mine:
            home.simulator.faults.add("graph_error", kind="run_status", code=2, status=500, times=5)
            mine.collect(mine.requests([Level.AD]))
            assert [one.evidence for one in mine.missed] == [Evidence.LATER]
        clock.sleep(60)
        home.simulator.faults.add("graph_error", kind="run_status", code=100, subcode=33, status=400)
        with desk(home, tmp_path, owner="next", clock=clock) as mine:
            mine.collect(mine.requests([Level.AD]))
            mine.assert_is_truth(Level.AD)
        assert home.simulator.requests.count("create_run") == 2


class _GatedClock(SkippingClock):
    """Whoever waits, waits until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.waited_in_vain = False

    def sleep(self, seconds: float) -> None:
        if seconds > 0 and not self.gate.wait(10):
            self.waited_in_vain = True
        super().sleep(seconds)


def test_an_account_whose_calls_must_wait_does_not_hold_up_the_others(tmp_path: Path) -> None:
    clock = _GatedClock()
    with live(tmp_path) as home, desk(home, tmp_path, clock=clock) as mine:
        slow, other = mine.accounts
        usage = {slow.id: [{"type": "ads_insights", "call_count": 90, "total_cputime": 1, "total_time": 1}]}
        home.simulator.faults.add(
            "headers",
            headers={"x-business-use-case-usage": json.dumps(usage)},
            kind="insights",
            account=slow.id,
            times=None,
        )
        asked = mine.requests([Level.AD], days=30, direct=True)
        whole = next(request for request in asked if request.account == slow)
        quick = next(request for request in asked if request.account == other)
        mine.collect([replace(whole, days=whole.days.parts(1)[0])])
        days = [replace(whole, days=day) for day in whole.days.parts(1)[1:]]
        with closing(mine.collector.collect([*days, quick])) as events:
            first = next(events)
            clock.gate.set()
            assert [first.request.account, *{event.request.account for event in events}] == [other, slow]
    assert not clock.waited_in_vain


def test_the_numbers_of_running_entities_are_a_call_each(tmp_path: Path) -> None:
    with live(tmp_path) as home, desk(home, tmp_path) as mine:
        questions = [(account, level) for account in mine.accounts for level in (Level.CAMPAIGN, Level.ADSET, Level.AD)]
        counts = mine.collector.count_entities(questions)
        assert sorted(counts.values()) == [2, 2, 4, 4, 8, 8]
        assert mine.api.meter.counts().calls["size"] == 6


def test_rows_that_came_in_parts_are_as_old_as_the_oldest_part(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home, desk(home, tmp_path) as mine:
        home.simulator.faults.add("graph_error", **TOO_LARGE, rows_above=4)
        began = mine.clock.now()
        mine.collect(mine.requests([Level.AD], days=1))
        (event,) = mine.collected
        assert isinstance(event, Collected)
        assert began <= event.asked_at == min(part.purchase.asked_at for part in event.parts)
