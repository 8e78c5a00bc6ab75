"""What a case is: a fault of the simulator, what the pipeline does then, what a user sees; data, and short ways to write it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.graph_api.client import Timeouts
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.simulator.faults import FaultRule
from meta_insights_pipeline_tests.faults.stage import AD_LEVEL, DIRECT, REPORT, VICTIMS, Alteration, Tables


class Outcome(Enum):
    """What the first sync comes to; the text is what a user sees."""

    EQUAL = "`complete`"
    AS_GIVEN = "`complete`; the tables hold what Meta gave"
    WITHHELD = "`complete`; the field stands in `withheld` and is NULL until a sync after a day gets it"
    REFUSED = "`complete`; the account stands in `refused`"
    NAMED = "`partial`; the account stands in `refused` and its reports in `missing` as `refused`"
    DEFERRED = "`partial`; `missing` names the reports as `deferred`, with the time at which they are due"
    FAILED = "`partial`; `missing` names the reports as `failed`, due in 6 hours"
    STOPPED = "one sentence, exit code 1, a receipt with `error`; tables and published file stay as they were"
    TOKEN = "`failed`; what came before is stored, the published file stays as it was"
    ENTITIES = "`partial`; `not_refreshed` names the account, `pipeline.missing_entities` the list"
    OBJECTS = "`complete`; `warnings` tells of the object, and `pipeline.missing_entities` names it"


@dataclass(frozen=True)
class Rule:
    """A fault of the simulator, for one account of the stage."""

    action: str
    kind: str = ""
    """Kind of call, as the simulator names them; empty for all."""
    place: int | None = None
    """Of the account; None for calls about any account, or none."""
    values: Mapping[str, Any] = field(default_factory=dict)

    def fault(self, account_ids: tuple[str, ...]) -> FaultRule:
        """The rule for a world with these accounts."""
        account = "" if self.place is None else account_ids[self.place]
        return FaultRule(self.action, kind=self.kind, account=account, **self.values)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault, and what follows from it."""

    id: str
    meta: str
    """What Meta does."""
    does: str
    """What the pipeline does then."""
    outcome: Outcome
    sees: str = ""
    """What else a user sees."""
    rules: tuple[Rule, ...] = ()
    alteration: Alteration | None = None
    lacking: tuple[int, ...] = VICTIMS
    """Places of the accounts that lack rows, if any does."""
    says: tuple[str, ...] = ()
    """What the sentences about it must hold, such as the code."""
    expect: Callable[[Tables], None] | None = None
    """Changes the truth into what the tables hold after the first sync."""
    receipt: Callable[[Receipt], bool] = lambda _: True
    """What else holds of the first receipt."""
    lasts: bool = False
    """The rules stay in force: by the time that a sync calls due, the fault must be over."""
    leaves: bool = False
    """It leaves a lesson or a budget that is held, so that a second sync tells something though nothing is missing."""
    told: bool = True
    """What a sync calls due can be had then; otherwise it may have to ask again."""
    probes: int = 0
    """So many calls a budget may be made into what had been refused before: only they tell whether it is open again."""
    entities: bool = False
    """Refresh campaigns, ad sets and ads, too."""
    lists: tuple[EntityKind, ...] = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)
    """Of which the accounts lack everything, if they could not be refreshed."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """How many of some kinds all syncs make together."""
    named: bool = False
    """The accounts are named, and not found."""
    known: bool = False
    """An earlier sync has found the accounts."""
    named_too: tuple[str, ...] = ()
    """Ids that are named and that the world does not have."""
    levels: tuple[Level, ...] = AD_LEVEL
    """What is collected. All levels are collected in the same way, but numbers of rows and calls are those of the ads."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the first sync."""
    timeouts: Timeouts | None = None
    """Of the first sync's client."""
    later: timedelta = timedelta(hours=7)
    """When the second sync is made, unless the first says when it is due."""


INSIGHTS = ("insights", "create_run", "run_status", "run_insights")
"""Every kind of call that insights take, one after the other."""
_PLACES = {"insights": DIRECT, "create_run": REPORT, "run_status": REPORT, "run_insights": REPORT}


def once(action: str, kinds: tuple[str, ...] = ("accounts", *INSIGHTS), **values: Any) -> tuple[Rule, ...]:
    """A fault of the first call of each kind."""
    return tuple(Rule(action, kind, _PLACES.get(kind), values) for kind in kinds)


def always(action: str, kinds: tuple[str, ...] = ("insights", "create_run"), **values: Any) -> tuple[Rule, ...]:
    """A fault of every call of some kinds."""
    return once(action, kinds, times=None, **values)


def in_turn(action: str, *variants: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Several faults of the first calls of each kind, one after the other; fewer than the client makes calls."""
    kinds = ("accounts", *INSIGHTS)
    return tuple(
        rule for skip, values in enumerate(variants) for rule in once(action, kinds, **{**values, "skip": skip})
    )


def each_its_own(action: str, direct: Mapping[str, Any], report: Mapping[str, Any]) -> tuple[Rule, ...]:
    """A fault of all calls about the account that is asked directly, another of those about the other one."""
    return tuple(
        Rule(action, "", place, {"times": None, **values}) for place, values in ((DIRECT, direct), (REPORT, report))
    )


def of_victims(action: str, **values: Any) -> tuple[Rule, ...]:
    """A fault of all calls about either account that is not left alone."""
    return each_its_own(action, values, values)


def error(code: int, subcode: int | None = None, **values: Any) -> dict[str, Any]:
    """An error of Meta's."""
    return {"code": code, "subcode": subcode, **values}


def named(code: int, subcode: int | None = None) -> str:
    """A code with its subcode, as messages have it."""
    return f"code {code}/{subcode}" if subcode else f"code {code}"


def told(values: Mapping[str, Any]) -> str:
    """The code of an error, as messages have it."""
    return named(values["code"], values["subcode"])
