"""Every fault of docs/faults.md, through the real client over HTTP: no row is lost, doubled or hidden, and a later sync has all.

After the first sync the tables hold the truth without what the sync calls missing, and nothing else. Unless that is everything, a
second sync is made, after which they hold the truth.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.home_files import AccountBook, MissingBook
from meta_insights_pipeline.receipt import Missing, Receipt
from meta_insights_pipeline.simulator.entity_truth import entity_truth
from meta_insights_pipeline.simulator.faults import FaultRule
from meta_insights_pipeline_tests.faults.case import Case, Outcome
from meta_insights_pipeline_tests.faults.cases import AT_EVERY_LEVEL, groups
from meta_insights_pipeline_tests.faults.stage import (
    EVERY_LEVEL,
    REPORT,
    Ended,
    Stage,
    Tables,
    stage,
)

CASES = [case for _, cases in groups() for case in cases]
# The first is what a sync as a whole comes to, the second how it calls what it lacks.
STATES = {
    Outcome.EQUAL: ("complete", None),
    Outcome.AS_GIVEN: ("complete", None),
    Outcome.WITHHELD: ("complete", None),
    Outcome.ENTITIES: ("partial", None),
    Outcome.OBJECTS: ("complete", None),
    Outcome.REFUSED: ("complete", "refused"),
    Outcome.NAMED: ("partial", "refused"),
    Outcome.DEFERRED: ("partial", "deferred"),
    Outcome.FAILED: ("partial", "failed"),
    Outcome.STOPPED: ("stopped", None),
}
# A block of which nobody says how long it lasts may be met again.
MOST_SYNCS = 6
ENTITIES = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_nothing_is_lost_doubled_or_hidden_and_a_later_sync_has_everything(
    case: Case, tmp_path: Path, empty_warehouse: Path
) -> None:
    with stage(tmp_path, empty_warehouse, levels=case.levels, **case.variables) as on:
        rules = _prepare(on, case)
        first = _first_sync(on, case)
        _assert_it_happened(on, case, rules)
        _assert_says_what_it_lacks(on, case, first)
        _assert_tables_are_true_but_for_that(on, case, first)
        if case.outcome is not Outcome.EQUAL or case.leaves:
            _later_syncs(on, case, first)
            _assert_same(on.stored(), on.truth())
            for kind in ENTITIES if case.entities else ():
                _assert_entities(on, kind)
        for call, count in case.calls.items():
            assert on.simulator.requests.count(call) == count
        into_blocks = on.simulator.calls_while_blocked
        assert all(count <= case.probes for count in into_blocks.values()), (
            f"calls into what had been refused: {into_blocks}"
        )


def test_one_case_of_each_sort_is_collected_at_every_level() -> None:
    assert len([case for case in CASES if case.levels == EVERY_LEVEL]) == len(AT_EVERY_LEVEL)


def test_no_case_stands_there_twice() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


def _prepare(on: Stage, case: Case) -> list[FaultRule]:
    ids = tuple(account.id for account in on.world.accounts)
    if case.known:
        found = [AdAccount(one.id, one.name, one.currency, one.timezone_name) for one in on.world.accounts]
        AccountBook(on.settings.home).save(found)
    rules = [on.simulator.faults.add(rule.fault(ids)) for rule in case.rules]
    on.simulator.alteration = case.alteration
    # Last, so that it hides no other: an account whose number of ads is not known is asked through reports.
    on.simulator.faults.add("graph_error", account=ids[REPORT], query="summary=true", code=100, times=None)
    return rules


def _first_sync(on: Stage, case: Case) -> Ended:
    named = (*(account.id for account in on.world.accounts), *case.named_too) if case.named else ()
    every = timedelta(0) if case.entities else None
    request = on.request("first", account_ids=named, entities_every=every)
    return on.impatient_sync(request, case.timeouts) if case.timeouts else on.sync(request)


def _assert_it_happened(on: Stage, case: Case, rules: list[FaultRule]) -> None:
    for rule in rules:
        assert any(hit is rule for hit in on.simulator.plan.hits), f"{rule} hit nothing"
    if case.alteration is not None:
        for kind in case.alteration.kinds:
            assert on.simulator.altered[kind], f"no answer to {kind} was changed"


def _assert_says_what_it_lacks(on: Stage, case: Case, first: Ended) -> None:
    if case.outcome is Outcome.TOKEN:
        # Whether anything came before depends on which thread was first.
        assert first.state in ("failed", "stopped")
    else:
        state, kind = STATES[case.outcome]
        lacking = [on.account(place) for place in case.lacking] + list(case.named_too) if kind else []
        reports = {f"{level}_insights" for level in on.levels}
        assert first.state == state, first.text
        assert {(part.account_id, part.report) for part in first.missing} == {
            (account, report) for account in lacking for report in reports
        }
        assert {part.kind for part in first.missing} == ({kind} if kind else set())
    told = _told(first)
    assert not [words for words in case.says if words not in told], told
    assert "\n" not in told
    for part in first.missing:
        _assert_due(on, case, part)
    if first.outcome is not None:
        _assert_receipt(on, case, first.outcome.receipt)


def _told(first: Ended) -> str:
    """Everything that a sync says about what is not as it should be."""
    if first.outcome is None:
        return first.text
    receipt = first.outcome.receipt
    more = [*(one.reason for one in receipt.refused), *(f"{one.field}: {one.reason}" for one in receipt.withheld)]
    return " ".join([first.text, *more, *receipt.warnings])


def _assert_due(on: Stage, case: Case, part: Missing) -> None:
    now = on.clock.now()
    if part.kind == "deferred":
        assert part.retry_at is not None
        assert part.retry_at <= now + timedelta(hours=1, minutes=5)
    elif part.kind == "failed" and case.outcome is Outcome.FAILED:
        assert part.retry_at is not None
        assert now < part.retry_at <= now + timedelta(hours=6)
    else:
        assert part.retry_at is None or case.outcome is Outcome.TOKEN


def _assert_receipt(on: Stage, case: Case, receipt: Receipt) -> None:
    assert case.receipt(receipt), receipt
    refused = {one.account_id for one in receipt.refused}
    withheld = {one.account_id for one in receipt.withheld}
    lacking = {on.account(place) for place in case.lacking}
    assert refused == (lacking | set(case.named_too) if case.outcome in (Outcome.REFUSED, Outcome.NAMED) else set())
    assert withheld == (lacking if case.outcome is Outcome.WITHHELD else set())
    behind = lacking if case.outcome is Outcome.ENTITIES else set()
    assert {one.account_id for one in receipt.not_refreshed} == behind
    lists = on.rows("SELECT account_id FROM pipeline.missing_entities WHERE entity_id IS NULL") if behind else []
    assert {row["account_id"] for row in lists} == behind
    assert receipt.published is (case.outcome is not Outcome.TOKEN)
    parts = {(part.report, part.account_id, part.kind) for part in receipt.missing}
    assert {(part.report, part.account_id, part.kind) for part in MissingBook(on.settings.home).parts()} == parts
    if parts and receipt.published:
        assert on.books() == parts, "the published file says something else"


def _assert_tables_are_true_but_for_that(on: Stage, case: Case, first: Ended) -> None:
    expected = on.truth()
    if case.expect is not None:
        case.expect(expected)
    if first.state == "stopped":
        expected = Tables({}, {})
    _assert_same(
        on.stored(),
        expected.without([(part.report, part.account_id, part.since, part.until) for part in first.missing]),
    )
    if case.entities:
        lacking = case.lacking if case.outcome in (Outcome.ENTITIES, Outcome.OBJECTS) else ()
        for kind in ENTITIES:
            _assert_entities(on, kind, without=lacking if kind in case.lists else ())


def _assert_same(stored: Tables, expected: Tables) -> None:
    assert stored.facts.keys() == expected.facts.keys()
    for key, row in expected.facts.items():
        assert {name: stored.facts[key][name] for name in row} == row, key
    assert stored.actions == expected.actions


def _assert_entities(on: Stage, kind: EntityKind, *, without: Collection[int] = ()) -> None:
    """All accounts but those at some places have all entities of a kind."""
    stored = on.rows(f"SELECT account_id, {kind.id_column} AS id, name, effective_status FROM {kind.value}")
    expected = [
        {"account_id": account.id, **{name: row[name] for name in ("id", "name", "effective_status")}}
        for place, account in enumerate(on.world.accounts)
        if place not in without
        for row in entity_truth(on.world, kind.value, account.id, on.clock.now())
    ]
    assert sorted(stored, key=_id) == sorted(expected, key=_id)


def _id(row: Mapping[str, str]) -> str:
    return row["id"]


def _later_syncs(on: Stage, case: Case, first: Ended) -> None:
    """What is due, when it is due; one sync has it all when nothing goes wrong any more, or Meta said when."""
    if not case.lasts:
        on.simulator.faults.clear()
    on.simulator.alteration = None
    every = timedelta(0) if case.entities else None
    by_itself = case.outcome in (Outcome.DEFERRED, Outcome.FAILED)
    ended = first
    for number in range(1 if case.told else MOST_SYNCS):
        due = [part.retry_at for part in ended.missing if part.retry_at is not None]
        on.wait_until(max(due) if by_itself else on.clock.now() + case.later)
        if by_itself:
            book = MissingBook(on.settings.home)
            assert len(book.due(on.clock.now())) == len(book.parts()) > 0
        ended = on.sync(on.request(f"later-{number}", only_missing=by_itself, entities_every=every))
        if ended.state == "complete":
            break
    assert ended.state == "complete", ended.text
