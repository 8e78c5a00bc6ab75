"""How fast to call: what is known of one of Meta's budgets, how an answer changes that, and whether calls may go now.

Decisions only, without clock, file or network; `budget` keeps the book. Times are seconds since 1970, usage is in percent
of the budget. Calls have rising numbers, so that what an answer says can be told from what was known before its call began.

- Below 80 percent nobody waits. From there to 95 percent each call waits some seconds, the more the fuller.
- The usage is estimated: what a header said last, and what the calls that are under way will add to it.
- No call begins at 95 percent or more. If the calls under way make it so, their answers are awaited; if a header says so,
  the budget is held: until the time that Meta names, or else for 60 s, doubling up to 10 min. Then one call probes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from meta_insights_pipeline.graph_api.usage import UsageReading

PACED_FROM = 80.0
HELD_FROM = 95.0
_FASTEST_PACE, _SLOWEST_PACE = 0.1, 5.0
FIRST_HOLD, LONGEST_HOLD = 60.0, 600.0
# What Meta counts by the hour is free again by then, whatever else a header claims.
_LONGEST_HINT = 86_400.0
HOUR = 3600.0
# The smallest budget that Meta documents: a score of 60 points, one for each call that reads.
FIRST_GUESS = 100.0 / 60
# Percents come as whole numbers: a rise of so many points says what a call costs to within a fifth.
_BASELINE_POINTS = 5.0
# A budget in which one call weighs less is so large that a refused probe does not matter.
_DEAR_PROBE = 0.5
# What leaves Meta's window hides what new calls cost. Our own calls are known; of others', little leaves in a minute.
_BASELINE_SECONDS = 60.0
# Before the first answer anything may be: how many calls may be under way, and how soon to ask again.
UNKNOWN_AT_ONCE = 4
_ASK_AGAIN_UNKNOWN, _ASK_AGAIN = 0.1, 1.0


@dataclass(frozen=True)
class Reading:
    """What one header last said of a budget, and what was learned from the times before."""

    percent: float
    at: float
    number: int
    """Of the newest call when it was taken; calls with higher numbers began later."""
    per_call: float = FIRST_GUESS
    """What a call adds, in percent; rather too much than too little."""
    base_percent: float = 0.0
    base_at: float = 0.0
    base_number: int = 0
    base_answers: int = 0
    """Answers since the baseline."""
    base_calls: int = 0
    """Those of them whose call began after the baseline, so that the baseline does not hold it."""


@dataclass(frozen=True)
class Standing:
    """What is known of one budget."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    """By header: each speaks of a limit of its own."""
    answered_at: float | None = None
    """Last answer to a call that counts here, whatever its headers."""
    blocked_until: float = 0.0
    strikes: int = 0
    """Blocks and holds in a row; while there are any, one call at a time probes."""
    struck_number: int = 0
    """Of the newest call when the last strike fell."""
    minutes: Mapping[str, int] = field(default_factory=dict)
    """Our own answered calls of the last hour and a little more, by minute since 1970."""
    window: float = HOUR
    """For how many seconds Meta counts a call."""
    tier: str | None = None
    """Access tier, as Meta's headers name it."""

    def percent(self, now: float) -> float | None:
        """The fullest limit; None when nothing is known, or no longer."""
        return max((reading.percent for reading in self.fresh(now)), default=None)

    def fresh(self, now: float) -> list[Reading]:
        """Readings that are no older than Meta's window; what they counted is not counted any more after it."""
        return [reading for reading in self.readings.values() if now - reading.at < self.window]


class Outcome(Enum):
    """What an answer means for one budget."""

    PASSED = "passed"
    """Meta dealt with the call."""
    REFUSED = "refused"
    """Meta refused it because this budget is spent."""
    UNKNOWN = "unknown"
    """It was refused because of another budget, or no answer came."""


@dataclass(frozen=True)
class Answer:
    """What one answer says of one budget."""

    number: int
    """Of its call."""
    newest: int
    """Number of the newest call at that time."""
    under_way: int
    """How many other calls that count here had begun by then and were not answered."""
    outcome: Outcome
    readings: Sequence[UsageReading] = ()
    """Of this budget, at most one a header."""
    retry_after: float | None = None
    """Seconds that the server asks to wait, of a refused call."""
    counts: bool = True
    """Whether a call was charged to this budget: not if no answer came, nor if headers tell of it on other calls."""


@dataclass(frozen=True)
class Decision:
    """Whether calls may begin."""

    calls: int
    """How many may; 0 when none may."""
    wait: float
    """Seconds until they may begin, or, when none may, until it is worth asking again."""


def pace_seconds(percent: float) -> float:
    """How long a call waits at an estimated usage: nothing below 80 percent, then 0.1 s, growing to 5 s at 95 percent."""
    if percent < PACED_FROM:
        return 0.0
    share = min((percent - PACED_FROM) / (HELD_FROM - PACED_FROM), 1.0)
    return _FASTEST_PACE + (_SLOWEST_PACE - _FASTEST_PACE) * share**2


def hold_seconds(strikes: int) -> float:
    """How long a budget is left alone when Meta does not say: 60 s, doubling with each strike in a row up to 10 min."""
    return float(min(FIRST_HOLD * 2.0 ** min(strikes - 1, 10), LONGEST_HOLD))


def decide(standing: Standing, under_way: Sequence[int], wanted: int, now: float) -> Decision:
    """How many calls may begin now as far as one budget is concerned.

    Args:
        standing: What is known of the budget.
        under_way: Numbers of the calls that count here, have begun and are not answered yet.
        wanted: How many calls are to be made, all at once.
        now: The present.
    """
    if now < standing.blocked_until:
        return Decision(0, standing.blocked_until - now)
    if standing.strikes:
        is_probed = any(number > standing.struck_number for number in under_way)
        return Decision(0, _ASK_AGAIN) if is_probed else Decision(1, 0.0)
    readings = standing.fresh(now)
    if not readings:
        return _decide_unknown(standing, len(under_way), wanted, now)
    room = min(_room(reading, len(under_way)) for reading in readings)
    if room < 1:
        # Full as it is, yet not held: the call must tell how full it is now.
        return Decision(0, _ASK_AGAIN) if under_way else Decision(1, 0.0)
    calls = min(wanted, room)
    fullest = max(reading.percent + reading.per_call * (len(under_way) + calls - 1) for reading in readings)
    return Decision(calls, pace_seconds(fullest))


def _decide_unknown(standing: Standing, under_way: int, wanted: int, now: float) -> Decision:
    """Not everybody at once into a budget that may be nearly spent; but some budgets never show themselves."""
    if standing.answered_at is not None and now - standing.answered_at < HOUR:
        return Decision(wanted, 0.0)
    free = UNKNOWN_AT_ONCE - under_way
    return Decision(min(wanted, free), 0.0) if free > 0 else Decision(0, _ASK_AGAIN_UNKNOWN)


def _room(reading: Reading, under_way: int) -> int:
    """How many calls may begin so that the estimate is below 95 percent when the last of them does."""
    used = reading.percent + reading.per_call * under_way
    # Whole calls, rounded up, since the last of them begins below the mark; a cost of nothing has room for everything.
    return -int(-(HELD_FROM - used) // max(reading.per_call, 1e-6)) if used < HELD_FROM else 0


def after(standing: Standing, answer: Answer, now: float) -> Standing:
    """What is known of a budget once an answer has come."""
    readings = dict(standing.readings)
    for reading in answer.readings:
        if reading.percent is not None:
            readings[reading.header] = _read(standing, readings.get(reading.header), reading.percent, answer, now)
    tier = next((reading.tier for reading in answer.readings if reading.tier), standing.tier)
    standing = replace(
        standing,
        readings=readings,
        tier=tier,
        minutes=_counted(standing.minutes, now) if answer.counts else standing.minutes,
        answered_at=now if answer.counts else standing.answered_at,
    )
    if answer.outcome is Outcome.REFUSED or any(_is_spent(reading) for reading in answer.readings):
        return _struck(standing, answer, now)
    is_free = (standing.percent(now) or 0.0) < HELD_FROM
    if answer.outcome is Outcome.PASSED and is_free and answer.number > standing.struck_number:
        return replace(standing, strikes=0, blocked_until=0.0)
    return standing


def _counted(minutes: Mapping[str, int], now: float) -> dict[str, int]:
    """The calls of the last hour with one more, and those that have just left it."""
    minute = int(now // 60)
    kept = {name: calls for name, calls in minutes.items() if int(name) >= minute - 62}
    kept[str(minute)] = kept.get(str(minute), 0) + 1
    return kept


def _is_spent(reading: UsageReading) -> bool:
    return (reading.percent or 0.0) >= HELD_FROM or reading.regain_seconds is not None


def _read(standing: Standing, last: Reading | None, percent: float, answer: Answer, now: float) -> Reading:
    """The next reading of a header.

    Answers overtake each other: one whose call began before the last reading was taken can only raise it.
    """
    fresh = Reading(percent, now, answer.newest, base_percent=percent, base_at=now, base_number=answer.newest)
    if last is None:
        return fresh
    if now - last.at >= standing.window:
        return replace(fresh, per_call=last.per_call)
    if answer.number <= last.number and percent < last.percent:
        percent, at, number = last.percent, last.at, last.number
    else:
        at, number = now, answer.newest
    learning = replace(
        last,
        percent=percent,
        at=at,
        number=number,
        base_answers=last.base_answers + answer.counts,
        base_calls=last.base_calls + (answer.counts and answer.number > last.base_number),
    )
    rise = percent - last.base_percent
    per_call = _learned(learning, rise, answer.under_way, _gone(standing, last.base_at, now))
    if rise < 0 or rise >= _BASELINE_POINTS or now - last.base_at > _BASELINE_SECONDS:
        return replace(fresh, percent=percent, at=at, number=number, per_call=per_call, base_percent=percent)
    return replace(learning, per_call=per_call)


def _learned(reading: Reading, rise: float, under_way: int, gone: int) -> float:
    """What a call costs, from the rise since the baseline and the calls that may, and those that must, be part of it."""
    per_call = reading.per_call
    if rise >= 0 and reading.base_calls > gone:
        # Whole numbers hide less than one point; each call that is gone hides what a new one costs.
        per_call = min(per_call, (rise + 1.0) / (reading.base_calls - gone))
    if rise >= _BASELINE_POINTS:
        per_call = max(per_call, rise / max(reading.base_answers + under_way, 1))
    return per_call


def _gone(standing: Standing, since: float, now: float) -> int:
    """How many of our own calls may have left Meta's window since then."""
    first, last = since - standing.window - 60.0, now - standing.window
    return sum(calls for minute, calls in standing.minutes.items() if first < int(minute) * 60.0 <= last)


def _struck(standing: Standing, answer: Answer, now: float) -> Standing:
    """The budget is left alone for a while.

    Answers to calls that began before, and headers of other calls in the meantime, are not one strike more each; but what
    they say of the time counts.
    """
    is_probe = answer.number > standing.struck_number
    is_new = is_probe and (answer.outcome is Outcome.REFUSED or now >= standing.blocked_until)
    strikes = standing.strikes + (is_new or not standing.strikes)
    hint = _hint(answer)
    seconds = min(hint, _LONGEST_HINT) if hint else _until_room(standing, now)
    if not hint and strikes > standing.strikes:
        seconds = max(seconds, hold_seconds(strikes))
    return replace(
        standing,
        strikes=strikes,
        struck_number=answer.newest if strikes > standing.strikes else standing.struck_number,
        blocked_until=max(standing.blocked_until, now + seconds),
    )


def _hint(answer: Answer) -> float | None:
    """How long Meta says that this budget stays closed, by the longest of its hints; a hint of 0 is none."""
    is_refused = answer.outcome is Outcome.REFUSED
    hints = [reading.regain_seconds for reading in answer.readings]
    hints += [answer.retry_after] if is_refused else []
    # A score is reset at any level, which matters once it is full.
    hints += [reading.reset_seconds for reading in answer.readings if is_refused or _is_spent(reading)]
    return max((hint for hint in hints if hint), default=None)


def _until_room(standing: Standing, now: float) -> float:
    """Seconds until enough of our own calls have left Meta's window for a probe to fit; 0 when one fits now.

    Otherwise a probe into a small budget that is spent to the last call would be sure to be refused.
    """
    return max((_until_probe_fits(standing, reading, now) for reading in standing.fresh(now)), default=0.0)


def _until_probe_fits(standing: Standing, reading: Reading, now: float) -> float:
    if reading.per_call < _DEAR_PROBE or reading.percent + reading.per_call <= 100.0:
        return 0.0
    surplus = reading.percent + reading.per_call - HELD_FROM
    for minute in sorted(int(name) for name in standing.minutes):
        # The whole minute must have left.
        leaves = (minute + 1) * 60.0 + standing.window
        surplus -= reading.per_call * standing.minutes[str(minute)] if leaves > now else 0.0
        if surplus <= 0:
            return leaves - now
    # Others have spent it, so our own calls say nothing.
    return 0.0
