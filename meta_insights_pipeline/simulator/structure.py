"""Campaigns, ad sets and ads of an account: when each is made, delivers, is renamed, paused, archived or deleted.

Belongs here: the drawing of structure and its state at an instant, held in arrays. Does not belong here: amounts
(`delivery`), what objects are set to (`edits`) and JSON (`objects`). Entities live at absolute times, so that time can
pass without a new drawing.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import numpy as np

from meta_insights_pipeline.simulator import names
from meta_insights_pipeline.simulator.days import local_second
from meta_insights_pipeline.simulator.randomness import Bits, Dice, Ints, Mask

EntityLevel = Literal["campaign", "adset", "ad"]
LEVELS: tuple[EntityLevel, ...] = ("campaign", "adset", "ad")
"""Levels below the account, from above."""

NEVER = 1 << 60
"""A unix second that does not come."""

OBJECTIVES = ("OUTCOME_SALES", "OUTCOME_LEADS", "OUTCOME_TRAFFIC", "OUTCOME_ENGAGEMENT", "OUTCOME_AWARENESS")
ATTRIBUTIONS = ("7d_click_1d_view", "1d_click", "7d_click")
"""Attribution settings of ad sets; the place in this tuple is the code used in arrays."""

ACTIVE, PAUSED, ADSET_PAUSED, CAMPAIGN_PAUSED, ARCHIVED, DELETED = range(6)
STATUS_NAMES = ("ACTIVE", "PAUSED", "ADSET_PAUSED", "CAMPAIGN_PAUSED", "ARCHIVED", "DELETED")

_ID_PREFIX = "1202"
_LEVEL_DIGITS = {"campaign": 1, "adset": 2, "ad": 3, "creative": 4}
_STEP = 7919
GENERATIONS = 10
"""Creatives that an ad can have one after the other: as many as one digit of their ids can tell apart."""
_ERAS_KEPT = 64
_EVERGREEN_CAMPAIGNS = 4
_MEASURED = ("OUTCOME_SALES", "OUTCOME_SALES", "OUTCOME_SALES", "OUTCOME_LEADS", "OUTCOME_LEADS")


@dataclass(frozen=True)
class GraphSpec:
    """What is needed to draw the structure of one account."""

    seed: int
    account_id: str
    account_index: int
    zone: str
    begin: date
    end: date
    fixed: tuple[int, int, int] | None
    """Campaigns, ad sets a campaign, ads an ad set; None draws a living account."""
    always_on: bool
    edited: bool
    """Whether budgets, bids, targeting and creatives change."""


@dataclass(frozen=True)
class EntityTable:
    """All entities of one level, in the order of their ids; every array has one element an entity."""

    level: EntityLevel
    ids: list[str]
    keys: Bits
    """The ids as numbers."""
    parent: Ints
    """Place of the parent in the table above; 0 for campaigns."""
    created: Ints
    paused: Ints
    archived: Ints
    deleted: Ints
    renamed: Ints
    first_names: list[str]
    second_names: list[str]
    start_day: Ints
    """Ordinal of the first day of delivery."""
    stop_day: Ints
    """Ordinal of the last day of delivery, own and inherited."""

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Place of each id."""
        return {entity_id: place for place, entity_id in enumerate(self.ids)}

    def existing(self, at: int) -> Mask:
        """Return which entities have been created by unix second `at`."""
        return self.created <= at

    def name(self, place: int, at: int) -> str:
        """Return what an entity is called at `at`."""
        return (self.second_names if self.renamed[place] <= at else self.first_names)[place]

    def own_status(self, at: int) -> Ints:
        """Return the status that the entities themselves carry at `at`."""
        status = np.where(self.paused <= at, PAUSED, ACTIVE)
        status = np.where(self.archived <= at, ARCHIVED, status)
        return np.where(self.deleted <= at, DELETED, status).astype(np.int64)

    def status_of(self, place: int, at: int) -> int:
        """Return the status that one entity itself carries at `at`."""
        for moments, status in ((self.deleted, DELETED), (self.archived, ARCHIVED), (self.paused, PAUSED)):
            if moments[place] <= at:
                return status
        return ACTIVE


@dataclass(frozen=True)
class AccountGraph:
    """The structure of one account for all time."""

    spec: GraphSpec
    campaigns: EntityTable
    adsets: EntityTable
    ads: EntityTable
    objectives: list[str]
    """Objective of each campaign."""
    campaign_of_ad: Ints
    attribution: Ints
    """Code of the attribution setting of each ad set."""
    video: Mask
    """Which ads are videos."""
    _statuses: dict[tuple[str, int], Ints] = field(default_factory=dict, repr=False, compare=False)
    _actives: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def table(self, level: str) -> EntityTable:
        """Return the entities of a level."""
        return {"campaign": self.campaigns, "adset": self.adsets, "ad": self.ads}[level]

    def member_of(self, level: str) -> Ints:
        """Return the place at `level` above (or of) each ad; one group for the whole account."""
        if level == "account":
            return np.zeros(len(self.ads), dtype=np.int64)
        return {"ad": np.arange(len(self.ads)), "adset": self.ads.parent, "campaign": self.campaign_of_ad}[level]

    def effective_status(self, level: str, at: int) -> Ints:
        """Return the status of each entity of a level with what it inherits from above; not to be written to."""
        era = bisect_right(self._changes, at)
        status = self._statuses.get((level, era))
        if status is None:
            status = self._effective_status(level, at)
            status.flags.writeable = False
            if len(self._statuses) >= _ERAS_KEPT:
                self._statuses.clear()
            self._statuses[level, era] = status
        return status

    def count_active_ads(self, at: int) -> int:
        """Return how many ads are active at `at`."""
        era = bisect_right(self._changes, at)
        count = self._actives.get(era)
        if count is None:
            count = int(np.count_nonzero(self.ads.existing(at) & (self.effective_status("ad", at) == ACTIVE)))
            if len(self._actives) >= _ERAS_KEPT:
                self._actives.clear()
            self._actives[era] = count
        return count

    def name_era(self, at: int) -> int:
        """Return a number that stays the same as long as no entity is renamed."""
        return bisect_right(self._renames, at)

    @functools.cached_property
    def _renames(self) -> list[int]:
        tables = (self.campaigns, self.adsets, self.ads)
        renames: list[int] = np.unique(np.concatenate([table.renamed for table in tables])).tolist()
        return renames

    @functools.cached_property
    def _changes(self) -> list[int]:
        """The moments at which an entity comes to be or changes its status."""
        tables = (self.campaigns, self.adsets, self.ads)
        moments = [array for table in tables for array in (table.created, table.paused, table.archived, table.deleted)]
        changes: list[int] = np.unique(np.concatenate(moments)).tolist()
        return changes

    def _effective_status(self, level: str, at: int) -> Ints:
        campaign = self.campaigns.own_status(at)
        if level == "campaign":
            return campaign
        adset = _inherit(self.adsets.own_status(at), campaign[self.adsets.parent], CAMPAIGN_PAUSED)
        if level == "adset":
            return adset
        return _inherit(self.ads.own_status(at), adset[self.ads.parent], ADSET_PAUSED)


def account_index_of(object_id: str) -> int | None:
    """Return which account of its world an object id belongs to."""
    if len(object_id) != 18 or not object_id.isdecimal() or not object_id.startswith(_ID_PREFIX):
        return None
    return int(object_id[4:7])


def level_of(object_id: str) -> str | None:
    """Return campaign, adset, ad or creative for an id of that form."""
    if account_index_of(object_id) is None:
        return None
    return {str(digit): level for level, digit in _LEVEL_DIGITS.items()}.get(object_id[7])


def creative_id_of(ad_id: str, generation: int = 0) -> str:
    """Return the id of the creative that an ad carries after so many swaps, fewer than `GENERATIONS`."""
    return f"{ad_id[:7]}{_LEVEL_DIGITS['creative']}{int(ad_id[8]) + generation}{ad_id[9:]}"


def _inherit(own: Ints, above: Ints, paused_above: int) -> Ints:
    """Combine own states with those from above: the further gone wins, and an own pause over a foreign one."""
    status = np.where((own == ACTIVE) & (above == PAUSED), paused_above, own)
    status = np.where((own == ACTIVE) & (above == CAMPAIGN_PAUSED), CAMPAIGN_PAUSED, status)
    status = np.where((above == ARCHIVED) & (own != DELETED), ARCHIVED, status)
    return np.where(above == DELETED, DELETED, status).astype(np.int64)


@dataclass
class _Draft:
    """An entity while its account is being drawn."""

    parent: int
    name: str
    start: int
    stop: int
    created: int
    paused: int = NEVER
    archived: int = NEVER
    deleted: int = NEVER
    renamed: int = NEVER
    second_name: str = ""


@dataclass
class _Drawing:
    """The drafts of an account, parents before children and children in the order of their parents."""

    spec: GraphSpec
    dice: Dice
    campaigns: list[_Draft] = field(default_factory=list)
    adsets: list[_Draft] = field(default_factory=list)
    ads: list[_Draft] = field(default_factory=list)
    objectives: list[str] = field(default_factory=list)
    attribution: list[int] = field(default_factory=list)
    video: list[bool] = field(default_factory=list)

    def moment(self, day: int, hours: tuple[int, int] = (8, 19)) -> int:
        """Return a quarter of an hour in office hours of a local day, as a unix second."""
        return local_second(self.spec.zone, day, self.dice.between(*hours), 15 * self.dice.below(4))

    def draft(self, parent: int, name: str, start: int, stop: int) -> _Draft:
        """Draw an entity that delivers from `start` to `stop`; it is made the day before."""
        draft = _Draft(parent=parent, name=name, start=start, stop=stop, created=self.moment(start - 1))
        if self.spec.fixed is None and self.dice.chance(14):
            draft.renamed = self.moment(start + self.dice.between(2, 70))
            draft.second_name = names.renamed(self.dice, name)
        return draft

    def retire(self, draft: _Draft, archive: int, delete: int) -> None:
        """Draw what becomes of an entity after its last day: paused at once, then perhaps archived or deleted."""
        after = draft.stop + 1
        draft.paused = self.moment(after)
        fate = self.dice.below(100)
        if fate < archive:
            draft.archived = self.moment(after + self.dice.between(1, 12))
        elif fate < archive + delete:
            draft.deleted = self.moment(after + self.dice.between(1, 10))


def draw_graph(spec: GraphSpec) -> AccountGraph:
    """Draw the structure of an account."""
    drawing = _Drawing(spec, Dice(spec.seed, f"structure/{spec.account_index}"))
    if spec.fixed is not None:
        _draw_fixed(drawing, *spec.fixed)
    else:
        _draw_evergreens(drawing)
        _draw_flights(drawing)
    return _assemble(drawing)


def _draw_fixed(drawing: _Drawing, campaigns: int, adsets: int, ads: int) -> None:
    start, stop = drawing.spec.begin.toordinal(), drawing.spec.end.toordinal()
    for place in range(campaigns):
        objective = OBJECTIVES[place % len(OBJECTIVES)]
        campaign = _add_campaign(drawing, objective, "Always on", start, stop)
        for _ in range(adsets):
            adset = _add_adset(drawing, campaign, start, stop)
            for serial in range(ads):
                _add_ad(drawing, adset, serial + 1, start, stop)


def _draw_evergreens(drawing: _Drawing) -> None:
    """Draw campaigns that never end, whose ads are replaced every few months."""
    dice = drawing.dice
    start, stop = drawing.spec.begin.toordinal(), drawing.spec.end.toordinal()
    for place in range(_EVERGREEN_CAMPAIGNS):
        objective = _MEASURED[place] if place < len(_MEASURED) - 1 else dice.pick(OBJECTIVES)
        campaign = _add_campaign(drawing, objective, "Always on", start, stop)
        for _ in range(dice.between(2, 4)):
            adset = _add_adset(drawing, campaign, start, stop)
            serial = 0
            for _ in range(dice.between(2, 4)):
                for first, last in _generations(dice, start, stop):
                    serial += 1
                    ad = _add_ad(drawing, adset, serial, first, last)
                    if last < stop:
                        drawing.retire(ad, archive=35, delete=35)


def _generations(dice: Dice, start: int, stop: int) -> Iterable[tuple[int, int]]:
    """Yield the lives of the ads that follow each other in one place."""
    first = start
    while first <= stop:
        last = min(first + dice.between(60, 240), stop)
        yield first, last
        first = last + 1 + dice.below(4)


def _draw_flights(drawing: _Drawing) -> None:
    """Draw about one campaign a month that runs for some weeks and is then cleared away."""
    dice = drawing.dice
    month = drawing.spec.begin
    while month < drawing.spec.end:
        start = month.toordinal() + dice.below(24)
        stop = start + dice.between(20, 56)
        campaign_place = len(drawing.campaigns)
        objective = dice.pick((*_MEASURED, *OBJECTIVES))
        _add_campaign(drawing, objective, month.strftime("%Y-%m"), start, stop)
        drawing.retire(drawing.campaigns[campaign_place], archive=30, delete=20)
        for _ in range(dice.between(2, 4)):
            _draw_flight_adset(drawing, campaign_place, start, stop)
        month = (month + timedelta(days=32)).replace(day=1)


def _draw_flight_adset(drawing: _Drawing, campaign: int, start: int, stop: int) -> None:
    dice = drawing.dice
    early = dice.chance(15)
    last = dice.between(start + 4, stop) if early else stop
    adset = _add_adset(drawing, campaign, start, last)
    if early:
        drawing.retire(drawing.adsets[adset], archive=30, delete=35)
    for serial in range(dice.between(2, 4)):
        first = start if dice.chance(75) else dice.between(start, last - 2)
        dropped = dice.chance(25)
        ad = _add_ad(drawing, adset, serial + 1, first, dice.between(first, last) if dropped else last)
        if dropped:
            drawing.retire(ad, archive=30, delete=40)


def _add_campaign(drawing: _Drawing, objective: str, label: str, start: int, stop: int) -> int:
    name = names.campaign_name(drawing.dice, objective, label)
    drawing.campaigns.append(drawing.draft(0, name, start, stop))
    drawing.objectives.append(objective)
    return len(drawing.campaigns) - 1


def _add_adset(drawing: _Drawing, campaign: int, start: int, stop: int) -> int:
    drawing.adsets.append(drawing.draft(campaign, names.adset_name(drawing.dice), start, stop))
    drawing.attribution.append(drawing.dice.pick((0, 0, 0, 0, 0, 0, 1, 1, 2, 2)))
    return len(drawing.adsets) - 1


def _add_ad(drawing: _Drawing, adset: int, serial: int, start: int, stop: int) -> _Draft:
    video = drawing.dice.chance(45)
    ad = drawing.draft(adset, names.ad_name(drawing.dice, video=video, serial=serial), start, stop)
    drawing.ads.append(ad)
    drawing.video.append(video)
    return ad


def _assemble(drawing: _Drawing) -> AccountGraph:
    campaigns = _table("campaign", drawing.spec, drawing.campaigns, None)
    adsets = _table("adset", drawing.spec, drawing.adsets, campaigns)
    ads = _table("ad", drawing.spec, drawing.ads, adsets)
    return AccountGraph(
        spec=drawing.spec,
        campaigns=campaigns,
        adsets=adsets,
        ads=ads,
        objectives=drawing.objectives,
        campaign_of_ad=adsets.parent[ads.parent],
        attribution=np.array(drawing.attribution, dtype=np.int64),
        video=np.array(drawing.video, dtype=np.bool_),
    )


def _table(level: EntityLevel, spec: GraphSpec, drafts: list[_Draft], above: EntityTable | None) -> EntityTable:
    stem = f"{_ID_PREFIX}{spec.account_index:03d}{_LEVEL_DIGITS[level]}"
    ids = [f"{stem}{100_000_000 + place * _STEP:010d}" for place in range(len(drafts))]
    parent = _ints(draft.parent for draft in drafts)
    stop = _ints(draft.stop for draft in drafts)
    return EntityTable(
        level=level,
        ids=ids,
        keys=np.array([int(entity_id) for entity_id in ids], dtype=np.uint64),
        parent=parent,
        created=_ints(draft.created for draft in drafts),
        paused=_ints(draft.paused for draft in drafts),
        archived=_ints(draft.archived for draft in drafts),
        deleted=_ints(draft.deleted for draft in drafts),
        renamed=_ints(draft.renamed for draft in drafts),
        first_names=[draft.name for draft in drafts],
        second_names=[draft.second_name for draft in drafts],
        start_day=_ints(draft.start for draft in drafts),
        stop_day=stop if above is None else np.minimum(stop, above.stop_day[parent]),
    )


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
