"""People: how many different ones were reached by any set of ads on any set of days.

Belongs here: the person model. The people of an account stand on a line; an ad reaches a run of neighbours on a day,
and the run moves on from day to day. The reach of any set of ad-days is the length of the union of their runs, hence
never above the sum of its parts nor below the largest of them, over entities as well as over days.
"""

import numpy as np

from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.randomness import ONE, Ints, between, phase, portion

_LINE = 1 << 34
"""Longer than any account's line of people."""


def runs(cells: AdDays) -> tuple[Ints, Ints]:
    """Return the first person reached and the number reached, by day and ad."""
    first, rate, carry = cells.once("people", lambda: _people(cells))
    length = portion(cells.impressions, rate, carry)
    return first, np.where(cells.delivering, np.maximum(length, 1), 0)


def _people(cells: AdDays) -> tuple[Ints, Ints, Ints]:
    """Return the first person that an ad may reach on a day, people per impression, and how that is rounded."""
    bits = cells.bits("people")
    rate = between(cells.ad_bits("people"), 0, ONE * 62 // 100, ONE * 97 // 100)[None, :]
    adset_keys = cells.graph.adsets.keys[cells.graph.ads.parent[cells.ads]]
    home = ((adset_keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44)).astype(np.int64)
    step = np.maximum(cells.usual_impressions * 3 // 10, 1)
    own = between(cells.ad_bits("people"), 1, 0, 400) * step // 100
    age = np.maximum(cells.days[:, None] - cells.graph.ads.start_day[cells.ads][None, :], 0)
    first: Ints = (home + own)[None, :] + age * step[None, :] + ((phase(bits, 1) * step[None, :]) >> 20)
    return first, rate, phase(bits)


def union_lengths(group: Ints, first: Ints, length: Ints, groups: int) -> Ints:
    """Return how many different people the runs of each group hold; `group` numbers the group of each run."""
    total = np.zeros(groups, dtype=np.int64)
    alive = length > 0
    group, first, length = group[alive], first[alive], length[alive]
    if not len(group):
        return total
    begin = group * _LINE + first
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], (begin + length)[order]
    # Groups lie far apart on the line, so that one running maximum serves them all.
    covered = np.maximum.accumulate(end)
    fresh = end - begin
    fresh[1:] = np.maximum(end[1:] - np.maximum(begin[1:], covered[:-1]), 0)
    np.add.at(total, group[order], fresh)
    return total
