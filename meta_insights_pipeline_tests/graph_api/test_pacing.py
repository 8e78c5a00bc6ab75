"""How fast to call: decisions by table, then what answers change."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.pacing import (
    FIRST_GUESS,
    UNKNOWN_AT_ONCE,
    Answer,
    Decision,
    Outcome,
    Reading,
    Standing,
    after,
    decide,
    hold_seconds,
    pace_seconds,
)
from meta_insights_pipeline.graph_api.usage import UsageReading

NOW = 1_800_000_000.0
HOUR = 3600.0
CASES = "x-business-use-case-usage"
PLATFORM = "x-fb-ads-insights-throttle"
fixed = settings(derandomize=True, database=None, deadline=None)


def known(percent: float, per_call: float = 0.1, at: float = NOW, **more: Any) -> Standing:
    """A budget of which one header has told."""
    reading = Reading(percent, at, 10, per_call, base_percent=percent, base_at=at, base_number=10)
    return Standing(readings={CASES: reading}, answered_at=at, **more)


def told(percent: float | None, *, header: str = CASES, **more: Any) -> UsageReading:
    return UsageReading("1", "ads_insights", header, percent, **more)


def answer(number: int, *readings: UsageReading, newest: int | None = None, **more: Any) -> Answer:
    """An answer to the call with this number; nothing else is under way."""
    values: Mapping[str, Any] = {"outcome": Outcome.PASSED, "under_way": 0, **more}
    return Answer(number=number, newest=number if newest is None else newest, readings=readings, **values)


def refused(number: int, *readings: UsageReading, **more: Any) -> Answer:
    return answer(number, *readings, outcome=Outcome.REFUSED, **more)


# ---- whether calls may go ----


@pytest.mark.parametrize(
    ("percent", "seconds"),
    [(0.0, 0.0), (79.9, 0.0), (80.0, 0.1), (87.5, 1.325), (95.0, 5.0), (250.0, 5.0)],
)
def test_waits_begin_at_80_percent_and_grow_to_five_seconds(percent: float, seconds: float) -> None:
    assert pace_seconds(percent) == pytest.approx(seconds)


@fixed
@given(st.tuples(st.floats(0, 200), st.floats(0, 200)))
def test_a_fuller_budget_is_never_a_shorter_wait(percents: tuple[float, float]) -> None:
    less, more = sorted(percents)
    assert 0.0 <= pace_seconds(less) <= pace_seconds(more) <= 5.0


@pytest.mark.parametrize(
    ("strikes", "seconds"), [(1, 60), (2, 120), (3, 240), (4, 480), (5, 600), (6, 600), (10_000, 600)]
)
def test_holds_double_up_to_ten_minutes(strikes: int, seconds: float) -> None:
    assert hold_seconds(strikes) == seconds


@pytest.mark.parametrize(
    ("standing", "under_way", "wanted", "expected"),
    [
        # Below 80 percent nobody waits.
        (known(0.0), 0, 1, Decision(1, 0.0)),
        (known(79.9), 0, 1, Decision(1, 0.0)),
        (known(50.0), 32, 1, Decision(1, 0.0)),
        # Above, what is under way counts as used.
        (known(80.0), 0, 1, Decision(1, pace_seconds(80.0))),
        (known(90.0), 0, 1, Decision(1, pace_seconds(90.0))),
        (known(78.0, per_call=1.0), 2, 1, Decision(1, pace_seconds(80.0))),
        (known(90.0, per_call=1.0), 4, 1, Decision(1, pace_seconds(94.0))),
        # No call begins at 95 percent: the answers to those under way are awaited.
        (known(90.0, per_call=1.0), 5, 1, Decision(0, 1.0)),
        (known(90.0, per_call=1.0), 32, 1, Decision(0, 1.0)),
        # One that nobody knows the fullness of any more is asked by one call at a time.
        (known(96.0), 0, 1, Decision(1, 0.0)),
        (known(96.0), 1, 1, Decision(0, 1.0)),
        # A batch is cut to what fits.
        (known(90.0, per_call=1.0), 0, 50, Decision(5, pace_seconds(94.0))),
        (known(90.0, per_call=1.0), 3, 50, Decision(2, pace_seconds(94.0))),
        (known(10.0, per_call=1.0), 0, 50, Decision(50, 0.0)),
        # Nothing is known: a few at once, until the first answer.
        (Standing(), 0, 1, Decision(1, 0.0)),
        (Standing(), UNKNOWN_AT_ONCE - 1, 50, Decision(1, 0.0)),
        (Standing(), UNKNOWN_AT_ONCE, 1, Decision(0, 0.1)),
        # A budget that no header tells of.
        (Standing(answered_at=NOW), 500, 50, Decision(50, 0.0)),
        (Standing(answered_at=NOW - HOUR), UNKNOWN_AT_ONCE, 1, Decision(0, 0.1)),
        # A reading of an hour ago says nothing any more.
        (known(94.0, at=NOW - HOUR + 1), 0, 1, Decision(1, pace_seconds(94.0))),
        (known(94.0, at=NOW - HOUR), 0, 1, Decision(1, 0.0)),
        # Held.
        (known(97.0, strikes=1, blocked_until=NOW + 60), 0, 1, Decision(0, 60.0)),
        (known(5.0, strikes=1, blocked_until=NOW + 7), 0, 1, Decision(0, 7.0)),
        # The hold is over: one call probes, the others wait for its answer. Calls from before the hold are no probes.
        (known(97.0, strikes=1, blocked_until=NOW, struck_number=1000), 0, 50, Decision(1, 0.0)),
        (known(97.0, strikes=1, blocked_until=NOW, struck_number=1000), 3, 1, Decision(1, 0.0)),
        (known(97.0, strikes=1, blocked_until=NOW, struck_number=0), 1, 1, Decision(0, 1.0)),
    ],
)
def test_whether_calls_may_go_follows_from_what_is_known(
    standing: Standing, under_way: int, wanted: int, expected: Decision
) -> None:
    decision = decide(standing, range(1, under_way + 1), wanted, NOW)
    assert decision.calls == expected.calls
    assert decision.wait == pytest.approx(expected.wait)


def test_the_header_that_leaves_the_least_room_decides() -> None:
    standing = known(10.0)
    standing = replace(standing, readings={**standing.readings, PLATFORM: Reading(90.0, NOW, 10, per_call=2.0)})
    assert decide(standing, (), 50, NOW) == Decision(3, pace_seconds(94.0))


@fixed
@given(
    percent=st.floats(0, 94.9), per_call=st.floats(0.001, 20), under_way=st.integers(0, 60), wanted=st.integers(1, 50)
)
def test_calls_that_may_go_all_begin_below_95_percent(
    percent: float, per_call: float, under_way: int, wanted: int
) -> None:
    decision = decide(known(percent, per_call), range(under_way), wanted, NOW)
    assert decision.calls <= wanted
    if decision.calls:
        assert under_way == 0 or percent + per_call * (under_way + decision.calls - 1) < 95.0 + 1e-6
    else:
        assert percent + per_call * under_way >= 95.0 - 1e-6


# ---- what an answer changes ----


def test_an_answer_without_headers_leaves_a_budget_unknown() -> None:
    standing = after(Standing(), answer(1), NOW)
    assert standing.percent(NOW) is None
    assert standing.answered_at == NOW


def test_no_answer_says_nothing() -> None:
    assert after(Standing(), answer(1, outcome=Outcome.UNKNOWN, counts=False), NOW) == Standing()


def test_the_percent_is_that_of_the_fullest_header() -> None:
    standing = after(Standing(), answer(1, told(12.0), told(61.5, header=PLATFORM)), NOW)
    assert standing.percent(NOW) == 61.5
    # An answer that has one of the headers leaves what the other said.
    standing = after(standing, answer(2, told(13.0)), NOW)
    assert standing.percent(NOW) == 61.5
    assert standing.percent(NOW + HOUR) is None


def test_the_tier_is_kept() -> None:
    standing = after(Standing(), answer(1, told(12.0, tier="development_access")), NOW)
    assert after(standing, answer(2, told(12.0)), NOW).tier == "development_access"


def test_an_answer_that_was_overtaken_can_only_raise_the_percent() -> None:
    standing = after(Standing(), answer(3, told(50.0), newest=3), NOW)
    assert after(standing, answer(2, told(40.0), newest=3), NOW).percent(NOW) == 50.0
    assert after(standing, answer(2, told(60.0), newest=3), NOW).percent(NOW) == 60.0
    # A call that began after that reading knows better.
    assert after(standing, answer(4, told(40.0), newest=4), NOW).percent(NOW) == 40.0


def _per_call(standing: Standing) -> float:
    return standing.readings[CASES].per_call


def test_what_a_call_costs_is_a_first_guess_until_headers_tell() -> None:
    assert _per_call(after(Standing(), answer(1, told(3.0)), NOW)) == FIRST_GUESS


@pytest.mark.parametrize("budget", [60, 200, 1000, 20_000])
def test_what_a_call_costs_is_learned_from_whole_percents_and_never_much_too_small(budget: int) -> None:
    standing = Standing()
    for number in range(1, 51):
        standing = after(standing, answer(number, told(float(100 * number // budget))), NOW + number)
        assert _per_call(standing) >= 100.0 / budget * 0.99
    assert _per_call(standing) <= max(100.0 / budget * 1.7, 1.1 / 40)


def test_many_at_once_do_not_make_a_call_seem_dear() -> None:
    # Sixteen calls at a time: the first answer shows what all of them used.
    standing = Standing()
    for begun in range(0, 160, 16):
        for number in range(begun + 1, begun + 17):
            used = float(100 * (begun + 16) // 1000)
            one = answer(number, told(used), newest=begun + 16, under_way=begun + 16 - number)
            standing = after(standing, one, NOW + number)
    assert 0.1 <= _per_call(standing) <= 0.4


def test_a_call_that_costs_more_than_guessed_is_learned_after_five_points() -> None:
    standing = after(Standing(), answer(1, told(10.0)), NOW)
    standing = after(standing, answer(2, told(18.0)), NOW)
    assert _per_call(standing) == 8.0


@pytest.mark.parametrize("budget", [4000, 7200])
def test_calls_that_leave_the_hour_do_not_make_a_call_seem_cheap(budget: int) -> None:
    # A call a second for hours: as many leave the hour as are new, and the percents stand still.
    standing = Standing()
    for number in range(1, 1000):
        standing = after(standing, answer(number, told(float(100 * 3600 // budget))), NOW + number)
    assert 100.0 / budget * 0.6 <= _per_call(standing) <= 100.0 / budget * 2


def test_a_burst_that_leaves_the_hour_while_a_new_one_begins_does_not_make_a_call_seem_cheap() -> None:
    # Sixty calls an hour: thirty in a minute, and an hour later thirty more, while the percents stand still.
    standing = Standing()
    for number in range(1, 31):
        standing = after(standing, answer(number, told(float(100 * number // 60))), NOW + number)
    for number in range(31, 61):
        standing = after(standing, answer(number, told(50.0)), NOW + HOUR + number - 29)
    assert _per_call(standing) >= 100.0 / 60 * 0.99


def test_what_a_call_costs_is_remembered_when_its_reading_is_out_of_date() -> None:
    standing = after(Standing(), answer(1, told(10.0)), NOW)
    standing = after(standing, answer(2, told(18.0)), NOW)
    standing = after(standing, answer(3, told(8.0)), NOW + 2 * HOUR)
    assert (standing.percent(NOW + 2 * HOUR), _per_call(standing)) == (8.0, 8.0)


def test_a_score_is_out_of_date_after_five_minutes() -> None:
    standing = after(Standing(window=300.0), answer(1, told(94.0)), NOW)
    assert standing.percent(NOW + 299) == 94.0
    assert standing.percent(NOW + 300) is None


def test_calls_of_other_use_cases_teach_nothing() -> None:
    standing = after(Standing(), answer(1, told(10.0)), NOW)
    for number in range(2, 50):
        standing = after(standing, answer(number, told(10.0), outcome=Outcome.UNKNOWN, counts=False), NOW)
    assert _per_call(standing) == FIRST_GUESS


# ---- holds ----


@pytest.mark.parametrize(
    ("one", "seconds"),
    [
        (answer(1, told(94.9)), 0),
        (answer(1, told(95.0)), 60),
        (answer(1, told(96.0, regain_seconds=180.0)), 180),
        # Meta names a time although the percents look harmless.
        (answer(1, told(20.0, regain_seconds=180.0)), 180),
        (answer(1, told(None, regain_seconds=180.0)), 180),
        # A score's reset is told at any level.
        (answer(1, told(9.7, reset_seconds=300.0)), 0),
        (answer(1, told(97.0, reset_seconds=300.0)), 300),
        (refused(1), 60),
        (refused(1, told(40.0)), 60),
        (refused(1, told(40.0, reset_seconds=300.0)), 300),
        (refused(1, told(101.0, regain_seconds=180.0)), 180),
        # The longest hint counts, whichever header it stands in.
        (refused(1, told(101.0, regain_seconds=180.0), retry_after=7.0), 180),
        (refused(1, told(101.0, regain_seconds=180.0), retry_after=700.0), 700),
        (refused(1, retry_after=0.0), 60),
        (refused(1, retry_after=1e12), 86_400),
        # Retry-After of another trouble is not about this budget.
        (answer(1, told(96.0), outcome=Outcome.UNKNOWN, retry_after=7.0), 60),
    ],
)
def test_a_spent_budget_is_held_as_long_as_meta_says_or_else_a_minute(one: Answer, seconds: float) -> None:
    standing = after(Standing(), one, NOW)
    assert standing.blocked_until == (NOW + seconds if seconds else 0.0)
    assert standing.strikes == (1 if seconds else 0)


def test_a_hold_that_helps_nothing_doubles_and_a_probe_that_passes_ends_it() -> None:
    standing = after(Standing(), answer(1, told(96.0, regain_seconds=None)), NOW)
    now, waits = NOW, [standing.blocked_until - NOW]
    standing = replace(standing, readings={CASES: replace(standing.readings[CASES], per_call=0.01)})
    for number in range(2, 7):
        now = standing.blocked_until
        assert decide(standing, (), 8, now) == Decision(1, 0.0)
        standing = after(standing, answer(number, told(96.0)), now)
        waits.append(standing.blocked_until - now)
    assert waits == [60, 120, 240, 480, 600, 600]
    now = standing.blocked_until
    standing = after(standing, answer(7, told(94.0)), now)
    assert (standing.strikes, standing.blocked_until) == (0, 0.0)
    assert decide(standing, (), 1, now).calls == 1
    # Strikes are forgotten: the next hold is a short one again.
    assert after(standing, answer(8, told(95.0)), now).blocked_until == now + 60


def test_a_refusal_after_a_refusal_doubles_and_one_answer_forgets_both() -> None:
    standing = after(Standing(), refused(1), NOW)
    standing = after(standing, refused(2), NOW + 60)
    assert standing.blocked_until == NOW + 60 + 120
    standing = after(standing, answer(3), NOW + 180)
    assert (standing.strikes, standing.blocked_until) == (0, 0.0)
    assert after(standing, refused(4), NOW + 180).blocked_until == NOW + 240


def test_calls_that_were_under_way_when_a_budget_was_closed_are_no_further_strikes_and_do_not_open_it() -> None:
    standing = after(Standing(), refused(5, newest=8), NOW)
    for number in (6, 7):
        standing = after(standing, refused(number, newest=8), NOW + 1)
    assert (standing.strikes, standing.blocked_until) == (1, NOW + 60)
    standing = after(standing, answer(8, told(50.0), newest=8), NOW + 2)
    assert (standing.strikes, standing.blocked_until) == (1, NOW + 60)
    # But what they say of the time counts.
    standing = after(standing, refused(4, told(101.0, regain_seconds=600.0), newest=8), NOW + 3)
    assert (standing.strikes, standing.blocked_until) == (1, NOW + 603)


def test_headers_on_calls_of_another_use_case_do_not_prolong_a_hold() -> None:
    standing = after(Standing(), answer(1, told(96.0)), NOW)
    for number in range(2, 30):
        elsewhere = answer(number, told(96.0), outcome=Outcome.UNKNOWN, counts=False)
        standing = after(standing, elsewhere, NOW + number)
    assert (standing.strikes, standing.blocked_until) == (1, NOW + 60)


def test_a_probe_that_got_no_answer_leaves_the_next_one_to_probe() -> None:
    standing = after(Standing(), answer(1, told(96.0)), NOW)
    standing = after(standing, answer(2, outcome=Outcome.UNKNOWN, counts=False), NOW + 60)
    assert standing.strikes == 1
    assert decide(standing, (), 1, NOW + 60) == Decision(1, 0.0)


def test_a_probe_whose_answer_lacks_the_full_header_does_not_open_the_budget() -> None:
    standing = after(Standing(), answer(1, told(20.0), told(97.0, header=PLATFORM)), NOW)
    standing = after(standing, answer(2, told(20.0)), NOW + 60)
    assert standing.strikes == 1
    assert decide(standing, (3,), 1, NOW + 60) == Decision(0, 1.0)
    standing = after(standing, answer(3, told(21.0), told(60.0, header=PLATFORM)), NOW + 61)
    assert standing.strikes == 0


def test_a_small_budget_spent_to_the_last_call_is_left_alone_until_our_calls_leave_the_hour() -> None:
    # Sixty calls an hour, one every ten seconds; Meta names no time as long as no call is refused.
    standing = Standing()
    for number in range(1, 61):
        standing = after(standing, answer(number, told(100.0 * number / 60)), NOW + 10 * number)
    end = NOW + 600
    # A probe would be refused until the first four calls or so are an hour old.
    assert NOW + HOUR < standing.blocked_until < NOW + HOUR + 180
    # A larger budget is probed: one refusal weighs nothing there.
    cheap = replace(known(99.0, per_call=0.01), minutes=standing.minutes)
    assert after(cheap, answer(61, told(100.0)), end).blocked_until == end + 60
    # Neither do our own calls help when others have spent it.
    assert after(Standing(), answer(61, told(100.0)), end).blocked_until == end + 60


@fixed
@given(
    st.lists(
        st.tuples(st.floats(0, 130), st.booleans(), st.sampled_from([None, 0.0, 30.0, 1e9]), st.floats(0, 900)),
        max_size=30,
    )
)
def test_whatever_comes_a_budget_is_open_again_within_a_day_and_waits_are_no_less_than_nothing(
    answers: list[tuple[float, bool, float | None, float]],
) -> None:
    standing, now = Standing(), NOW
    for number, (percent, is_refused, hint, passes) in enumerate(answers, start=1):
        outcome = Outcome.REFUSED if is_refused else Outcome.PASSED
        standing = after(standing, answer(number, told(percent), outcome=outcome, retry_after=hint), now)
        assert standing.blocked_until <= now + 86_400
        assert decide(standing, (), 1, now).wait >= 0.0
        now += passes
    assert decide(standing, (), 1, now + 86_400 + HOUR).calls == 1
