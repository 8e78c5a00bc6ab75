"""What was known at a moment: superseded rows are kept, the as-of macros show them, and thinning loses no day's end."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.warehouse import merge, scope
from meta_insights_pipeline.warehouse.history import thin_history
from meta_insights_pipeline.warehouse.schema import tables
from meta_insights_pipeline.warehouse.staging import PageFile
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, EARLY, LATE, Desk, row

LEAD = [{"action_type": "lead", "value": "1"}]
MINUTE = timedelta(minutes=1)


def moment(at: datetime) -> str:
    """A moment as SQL: UTC without a zone."""
    return f"TIMESTAMP '{at.astimezone(UTC).replace(tzinfo=None)}'"


def as_of(desk: Desk, at: datetime, what: str = "campaign_id, spend") -> list[tuple[Any, ...]]:
    return desk.ask(f"SELECT {what} FROM campaign_insights_as_of({moment(at)}) ORDER BY ALL")


def test_an_earlier_version_is_kept_with_the_moments_between_which_it_held(desk: Desk) -> None:
    desk.sync([row("c1", spend="1", actions=LEAD), row("c2", spend="1")])
    desk.sync([row("c1", spend="2", actions=LEAD), row("c2", spend="1")], at=LATE)
    kept = desk.ask(
        "SELECT campaign_id, spend, impressions, ctr, changed_at, superseded_at FROM campaign_insights_history"
    )
    assert kept == [("c1", Decimal(1), 100, 10.0, EARLY.replace(tzinfo=None), LATE.replace(tzinfo=None))]
    assert desk.ask("SELECT count(*) FROM insight_actions_history") == [(0,)]
    assert as_of(desk, EARLY - MINUTE) == []
    assert as_of(desk, EARLY) == as_of(desk, LATE - MINUTE) == [("c1", Decimal(1)), ("c2", Decimal(1))]
    assert as_of(desk, LATE) == [("c1", Decimal(2)), ("c2", Decimal(1))]


def test_a_row_that_vanished_and_came_back_is_there_only_while_it_was(desk: Desk) -> None:
    moments = [EARLY + number * MINUTE for number in range(4)]
    for at, pages in zip(moments, ([row(actions=LEAD)], [], [row(actions=LEAD)], []), strict=True):
        desk.sync(pages, at=at)
    assert [len(as_of(desk, at)) for at in moments] == [1, 0, 1, 0]
    actions = [desk.ask(f"SELECT count(*) FROM insight_actions_as_of({moment(at)})") for at in moments]
    assert actions == [[(1,)], [(0,)], [(1,)], [(0,)]]
    first, second = desk.ask("SELECT changed_at, superseded_at FROM campaign_insights_history ORDER BY ALL")
    assert (first, second) == tuple(
        (moments[n].replace(tzinfo=None), moments[n + 1].replace(tzinfo=None)) for n in (0, 2)
    )


def test_an_unchanged_row_costs_no_version(desk: Desk) -> None:
    for number in range(3):
        desk.sync([row(actions=LEAD)], at=EARLY + number * MINUTE)
    assert desk.ask("SELECT count(*) FROM campaign_insights_history") == [(0,)]
    assert as_of(desk, EARLY, "changed_at") == [(EARLY.replace(tzinfo=None),)]


def test_the_macros_have_the_columns_of_their_tables(desk: Desk) -> None:
    desk.sync([row()])
    for table in tables():
        shown = desk.ask(
            f"SELECT column_name, column_type FROM (DESCRIBE FROM {table.name}_as_of(TIMESTAMP '2027-01-01'))"
        )
        assert shown == desk.ask(f"SELECT column_name, column_type FROM (DESCRIBE {table.name})")
    assert as_of(desk, LATE, "ctr, cpc, cpm, cpp, frequency") == [(10.0, 1.24, 124.0, 155.0, 1.25)]


def test_a_reader_asks_the_published_file_with_a_moment_in_any_form(desk: Desk, tmp_path: Path) -> None:
    desk.sync([row(spend="1")])
    desk.sync([row(spend="2")], at=LATE)
    copy = tmp_path / "elsewhere.duckdb"
    copyfile(desk.snapshot, copy)
    with duckdb.connect(str(copy), read_only=True) as reader:
        for zone in ("UTC", "America/Los_Angeles", "Asia/Tokyo"):
            reader.execute(f"SET TimeZone = '{zone}'")
            for form in (
                "TIMESTAMP '2026-11-02 08:30:00'",
                "'2026-11-02 08:30:00'",
                "TIMESTAMPTZ '2026-11-02 08:30:00+00'",
                "TIMESTAMPTZ '2026-11-02 10:30:00+02'",
                "(SELECT max(superseded_at) - INTERVAL 1 MINUTE FROM campaign_insights_history)",
            ):
                found = reader.execute(f"SELECT spend FROM campaign_insights_as_of({form})").fetchall()
                assert found == [(Decimal(1),)], (zone, form)
            assert reader.execute("SELECT spend FROM campaign_insights_as_of(now())").fetchall() == [(Decimal(2),)]
            assert reader.execute("SELECT spend FROM campaign_insights_as_of(DATE '2026-11-02')").fetchall() == []


def test_a_reader_that_attaches_the_published_file_asks_it_after_use(desk: Desk) -> None:
    desk.sync([row()])
    with duckdb.connect() as reader:
        reader.execute(f"ATTACH '{desk.snapshot}' AS insights (READ_ONLY)")
        reader.execute("USE insights")
        assert reader.execute("SELECT count(*) FROM campaign_insights_as_of(now())").fetchall() == [(1,)]


Answer = Mapping[tuple[str, int], tuple[int, bool]]
"""Impressions and whether clicks are withheld, by campaign and day."""


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from("abc"), st.integers(0, 1)),
            st.tuples(st.integers(0, 2), st.booleans()),
            max_size=5,
        ),
        min_size=1,
        max_size=6,
    ),
    batch_values=st.sampled_from([1, 600_000]),
    in_place_rows=st.sampled_from([0, 3]),
)
def test_at_every_moment_the_macros_show_what_was_readable_then(
    tmp_path_factory: pytest.TempPathFactory,
    empty_warehouse: Path,
    answers: list[Answer],
    batch_values: int,
    in_place_rows: int,
) -> None:
    desk = Desk(tmp_path_factory.mktemp("as-of"), empty_warehouse)
    read = [f"SELECT * FROM {table}{{}} ORDER BY ALL" for table in ("campaign_insights", "insight_actions")]
    readable: dict[datetime, list[list[tuple[Any, ...]]]] = {EARLY - MINUTE: [[], []]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scope, "BATCH_VALUES", batch_values)
        patch.setattr(merge, "IN_PLACE_ROWS", in_place_rows)
        for number, answer in enumerate(answers):
            at = EARLY + number * MINUTE
            _sync(desk, answer, at)
            with desk.reading() as reader:
                readable[at] = [reader.execute(statement.format("")).fetchall() for statement in read]
            assert len(readable[at][0]) == len(answer)
    with desk.reading() as reader:
        for at, tables_then in readable.items():
            for seen in (at, at + MINUTE / 2):
                macro = f"_as_of({moment(seen)})"
                assert [reader.execute(statement.format(macro)).fetchall() for statement in read] == tables_then


def _sync(desk: Desk, answer: Answer, at: datetime) -> None:
    """Campaigns a and b are of account 1, campaign c of account 2; some rows come from a request that left clicks out."""
    without = tuple(name for name in CAMPAIGNS.fields if name != "clicks")
    rows: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for (name, day), (value, is_withheld) in answer.items():
        account = "2" if name == "c" else "1"
        values = {"impressions": str(value), "actions": [{"action_type": "lead", "value": str(value)}]}
        rows.setdefault((account, is_withheld), []).append(
            row(name, DAY + timedelta(days=day), account_id=account, **values)
        )
    desk.write(
        *desk.stage_good(
            *(
                desk.answer(
                    PageFile(desk.page(rows.get((account, False), []))),
                    PageFile(desk.page(rows.get((account, True), [])), without),
                    account=account,
                    until=DAY + timedelta(days=1),
                    at=at,
                )
                for account in ("1", "2")
            )
        )
    )


# ---- thinning ----

NOW = datetime(2027, 11, 2, 12, tzinfo=UTC)


def fill(desk: Desk, changes: list[datetime], *, vanishes: bool = False) -> None:
    """One campaign that had one version from each of these moments to the next; impressions count them."""
    desk.sync([row(impressions=str(len(changes)))], at=changes[-1])
    lines = [
        f"({number}, {moment(since)}, {moment(until)})" for number, (since, until) in enumerate(pairwise(changes), 1)
    ]
    with desk.warehouse.connect() as connection:
        if lines:
            connection.execute(
                "INSERT INTO campaign_insights_history "
                "(account_id, campaign_id, date_start, impressions, changed_at, superseded_at) "
                f"SELECT '1', 'c1', {moment(NOW)}::DATE, * FROM (VALUES {', '.join(lines)}) AS v(n, since, until)"
            )
        if vanishes:
            connection.execute("DELETE FROM campaign_insights")


def thin(desk: Desk, now: datetime = NOW) -> int:
    with desk.warehouse.connect() as connection:
        return thin_history(connection, now)


def versions(desk: Desk) -> int:
    return int(desk.ask("SELECT count(*) FROM campaign_insights_history")[0][0])


def known(desk: Desk, moments: list[datetime]) -> list[list[tuple[Any, ...]]]:
    """Impressions at some moments."""
    with desk.warehouse.connect() as connection:
        return [
            connection.execute(f"SELECT impressions FROM campaign_insights_as_of({moment(at)})").fetchall()
            for at in moments
        ]


def ends_of_days(first: datetime, days: int) -> list[datetime]:
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    return [midnight + timedelta(days=number + 1) - timedelta(microseconds=1) for number in range(days)]


def test_a_year_of_a_row_that_changes_48_times_a_day_takes_a_version_a_day_and_a_week_of_all(desk: Desk) -> None:
    changes = [NOW - number * timedelta(minutes=30) for number in range(365 * 48)][::-1]
    fill(desk, changes)
    assert versions(desk) == 365 * 48 - 1
    moments = ends_of_days(changes[0], 366)
    before = known(desk, moments)
    assert all(len(rows) == 1 for rows in before)
    thin(desk)
    assert versions(desk) <= 365 + 8 * 48
    assert known(desk, moments) == before
    recent = [NOW - number * timedelta(minutes=101) for number in range(7 * 24 * 60 // 101)]
    assert all(len(rows) == 1 for rows in known(desk, recent))
    assert thin(desk) == 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.lists(st.integers(0, 20 * 24 * 60), min_size=1, max_size=40, unique=True),
    vanishes=st.booleans(),
    keep=st.integers(0, 25),
)
def test_thinning_changes_nothing_at_the_ends_of_days_nor_in_the_days_that_it_keeps(
    tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path, minutes: list[int], vanishes: bool, keep: int
) -> None:
    desk = Desk(tmp_path_factory.mktemp("thin"), empty_warehouse)
    fill(desk, [NOW - timedelta(minutes=minute) for minute in sorted(minutes, reverse=True)], vanishes=vanishes)
    ends = ends_of_days(NOW - timedelta(days=20), 21)
    within = [NOW - timedelta(minutes=minute) for minute in minutes]
    moments = [*ends, *(moment for moment in within if moment >= NOW - timedelta(days=keep))]
    before, versions_before = known(desk, moments), set(desk.ask("FROM campaign_insights_history"))
    with desk.warehouse.connect() as connection:
        removed = thin_history(connection, NOW, keep_all_days=keep)
    assert known(desk, moments) == before
    thinned = [moment for moment in within if moment.date() < (NOW - timedelta(days=keep)).date()]
    assert known(desk, thinned) == known(desk, [ends_of_days(moment, 1)[0] for moment in thinned])
    left = set(desk.ask("FROM campaign_insights_history"))
    assert left <= versions_before, "no version is extended"
    assert len(versions_before) - len(left) == removed


def test_a_sync_thins_by_the_clock_that_it_is_given(desk: Desk) -> None:
    for number in range(3):
        desk.write(desk.stage([row(spend=str(number))], at=NOW + number * MINUTE), now=NOW + number * MINUTE)
    late = NOW + timedelta(days=9)
    desk.write(desk.stage([row(spend="2")], at=late), now=NOW + timedelta(days=6))
    assert versions(desk) == 2
    desk.write(desk.stage([row(spend="2")], at=late), now=late)
    assert versions(desk) == 0


def test_a_sync_thins_at_most_once_a_day(desk: Desk) -> None:
    changes = [NOW - timedelta(days=500) + number * MINUTE for number in range(10)]
    fill(desk, changes)
    assert versions(desk) == 9
    desk.sync([row()], at=changes[-1] + timedelta(hours=23))
    assert versions(desk) == 9 + 1, "the sync before was less than a day ago"
    desk.sync([row()], at=NOW)
    assert versions(desk) == 1
    assert desk.ask("SELECT count(*) FROM pipeline.history_thinning") == [(1,)]
