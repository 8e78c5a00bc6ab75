"""The library: awaited rows that equal the tables and the truth, what is told when they cannot be had, and ending early."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

import meta_insights_pipeline
from meta_insights_pipeline import (
    ActionRow,
    InsightRow,
    InsightsError,
    InsightsResult,
    MetaInsightsCollector,
    MissingInsights,
)
from meta_insights_pipeline.catalog.fields import ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.graph_api.errors import AuthError, NotFoundError, PermissionDeniedError
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.check_docs import ROOT, table_rows
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.comparison import expected_tables, read_rows
from meta_insights_pipeline_tests.live import TOKEN, Live, live

T = TypeVar("T")

ONE = WorldSpec(accounts=1, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True)
FIELD_REFUSED = {"code": 100, "status": 400, "query": ",conversions", "times": None}
TOO_LARGE = {"code": 100, "subcode": 1487534, "status": 400, "times": None, "rows_above": 1, "query": "reach"}
# What a row has and no table: it is the collector's, or a name for several columns.
NOT_COLUMNS = {"level", "actions", "collected_at"}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def collector(home: Live, **options: Any) -> MetaInsightsCollector:
    """One that lives in the simulated moment."""
    return MetaInsightsCollector(settings=home.settings, clock=SkippingClock(home.at), **options)


def day_of(home: Live, back: int = 0) -> date:
    return home.at.date() - timedelta(days=back)


def all_rows(result: InsightsResult) -> list[InsightRow]:
    return [row for rows in result.rows.values() for row in rows]


def as_facts(rows: Iterable[InsightRow]) -> dict[tuple[str, str, date], dict[str, Any]]:
    """What a fact table has of rows, by key."""
    names = [field.name for field in fields(InsightRow) if field.name not in NOT_COLUMNS]
    names += [ratio.name for ratio in ratios()]
    return {
        (row.account_id, row.entity_id, row.date_start): {
            **{name: getattr(row, name) for name in names},
            "withheld_fields": ",".join(row.withheld_fields) or None,
        }
        for row in rows
    }


def as_actions(rows: Iterable[InsightRow]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What `insight_actions` has of rows, by key."""
    return {
        (row.level, row.account_id, row.entity_id, row.date_start, action.field, action.action_type): {
            "value": action.value,
            **{windows()[name].column: action.windows.get(name) for name in default_windows()},
        }
        for row in rows
        for action in row.actions
    }


# ---- the same values as everywhere ----


def test_days_that_meta_does_not_give_any_more_are_missing_and_no_call_is_spent_on_them(tmp_path: Path) -> None:
    with live(tmp_path, ONE) as home:
        mine = collector(home)
        result = run(mine.collect_all(days_back=1140, levels=["account"]))
        assert not result.complete
        (part,) = result.missing
        assert part.date_start == day_of(home, 1140)
        assert "37 months" in part.reason
        assert part.retry_at is None
        # The days after those have come.
        assert min(row.date_start for row in all_rows(result)) > part.date_end
        home.simulator.requests.clear()
        old = {"date_start": day_of(home, 1140), "date_end": day_of(home, 1139)}
        for call in (
            mine.collect_campaign_insights(campaign_id="120200010100000000", **old),
            mine.collect_account_insights(account_id=home.world.accounts[0].id, **old),
        ):
            with pytest.raises(InsightsError, match="37 months"):
                run(call)
        # The same when only some of the days are too old.
        with pytest.raises(InsightsError, match="37 months"):
            run(mine.collect_ad_insights(ad_id="1", date_start=day_of(home, 1140), date_end=day_of(home)))
        assert home.simulator.requests.count() == 0


def test_everything_that_is_collected_equals_the_truth(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        result = run(collector(home).collect_all(days_back=2))
    days = day_of(home, 2), day_of(home)
    assert result.complete
    assert list(result.rows) == list(Level)
    wanted = expected_tables(home.world, Level, *days, home.at)
    for level, expected in wanted.facts.items():
        found = as_facts(result.rows[level])
        assert len(found) == len(result.rows[level])
        assert {key: {name: found[key][name] for name in row} for key, row in expected.items()} == expected
        assert found.keys() == expected.keys()
    assert as_actions(all_rows(result)) == wanted.actions


@pytest.mark.parametrize("fault", [None, FIELD_REFUSED, TOO_LARGE], ids=["whole", "without a field", "in parts"])
def test_rows_hold_what_the_tables_of_a_sync_hold(tmp_path: Path, fault: dict[str, Any] | None) -> None:
    with live(tmp_path / "library", ONE) as home:
        if fault:
            home.simulator.faults.add("graph_error", **fault)
        result = run(collector(home).collect_all(days_back=1))
        other = Settings(
            _env_file=None,
            META_INSIGHTS_MODE="live",
            META_ACCESS_TOKEN=TOKEN,
            META_GRAPH_API_URL=home.url,
            META_INSIGHTS_HOME=tmp_path / "sync",
        )
        days = DayRange(day_of(home, 1), day_of(home))
        receipt = run_sync(other, SyncRequest("run-1", days, builtin_reports()), clock=SkippingClock(home.at)).receipt
    assert result.complete
    # They asked in the same way, call by call.
    assert result.calls == receipt.calls
    assert (result.calls == {"account": 1, "insights_page": 4}) is (fault is None)
    for level in Level:
        found = as_facts(result.rows[level])
        stored = read_rows(other.warehouse_path, f"FROM {level}_insights")
        table = {(row["account_id"], row[level.id_field], row["date_start"]): row for row in stored}
        assert found.keys() == table.keys()
        for key, row in table.items():
            # Rows of the library have the fields that were asked for, and no more.
            expected = {name: value for name, value in row.items() if name not in ("changed_at", "other_fields")}
            assert {name: found[key][name] for name in expected} == expected, key
    actions = read_rows(other.warehouse_path, "FROM insight_actions")
    names = ("level", "account_id", "entity_id", "date_start", "field", "action_type")
    numbers = ["value", *(windows()[name].column for name in default_windows())]
    assert as_actions(all_rows(result)) == {
        tuple(row[name] for name in names): {name: row[name] for name in numbers} for row in actions
    }


def test_one_campaign_ad_set_ad_or_account_gives_its_share_of_all_rows(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = {"date_start": day_of(home, 2), "date_end": day_of(home).isoformat()}

        async def work() -> None:
            async with collector(home) as mine:
                everything = await mine.collect_all(days_back=2)
                methods: dict[Level, Callable[..., Awaitable[list[InsightRow]]]] = {
                    Level.ACCOUNT: mine.collect_account_insights,
                    Level.CAMPAIGN: mine.collect_campaign_insights,
                    Level.ADSET: mine.collect_adset_insights,
                    Level.AD: mine.collect_ad_insights,
                }
                for level, method in methods.items():
                    entity = everything.rows[level][0].entity_id
                    rows = await method(**{level.id_field: entity}, **days)
                    expected = [row for row in everything.rows[level] if row.entity_id == entity]
                    assert len(rows) == 3
                    assert as_facts(rows) == as_facts(expected)
                    assert as_actions(rows) == as_actions(expected)

        run(work())


def test_levels_and_accounts_may_be_chosen_and_calls_are_counted(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        wanted = home.world.accounts[1].id
        mine = collector(home)
        result = run(mine.collect_all(days_back=0, levels=["campaign", Level.AD], accounts=[f"act_{wanted}"]))
        served = home.simulator.requests.count()
    assert list(result.rows) == [Level.CAMPAIGN, Level.AD]
    assert {row.account_id for row in all_rows(result)} == {wanted}
    assert len(result.rows[Level.AD]) == 8
    assert sum(result.calls.values()) == served == 3


# ---- what it costs and leaves behind ----


def test_the_account_of_an_entity_is_asked_for_once(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        campaign = home.world.graph(home.world.accounts[0].id).campaigns.ids[0]

        async def work() -> list[dict[str, int]]:
            counts = []
            async with collector(home) as mine:
                for back in (0, 1):
                    home.simulator.requests.clear()
                    day = day_of(home, back)
                    await mine.collect_campaign_insights(campaign_id=campaign, date_start=day, date_end=day)
                    counts.append(home.simulator.requests.counts())
            return counts

        first, second = run(work())
    assert sum(first.values()) == 3
    assert second == {"insights": 1}


def test_what_was_bought_is_forgotten_once_its_rows_are_handed_over(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        mine = collector(home)
        run(mine.collect_all(days_back=1))
        assert not list((tmp_path / "pages").rglob("*.json"))
        home.simulator.requests.clear()
        run(mine.collect_all(days_back=1))
        assert home.simulator.requests.count("insights") == 8
    assert not list((tmp_path / "tmp").iterdir())


def test_the_accounts_that_the_schedule_goes_by_are_left_alone(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        run(collector(home).collect_all(days_back=0))
    assert sorted(file.name for file in tmp_path.glob("*.json")) == []


def test_more_days_than_fit_on_a_page_come_as_an_asynchronous_report(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account = home.world.accounts[0].id
        days = {"date_start": day_of(home, 599), "date_end": day_of(home)}
        rows = run(collector(home).collect_account_insights(account_id=account, **days))
        assert home.simulator.requests.count("create_run") == 1
    assert [row.date_start for row in rows] == DayRange(days["date_start"], days["date_end"]).days


def test_calls_that_are_awaited_together_are_safe_even_when_they_ask_for_the_same(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = {"date_start": day_of(home, 2), "date_end": day_of(home)}
        ads = [ad for account in home.world.accounts for ad in home.world.graph(account.id).ads.ids]

        async def work() -> list[list[InsightRow]]:
            async with collector(home) as mine:
                return await asyncio.gather(*(mine.collect_ad_insights(ad_id=ad, **days) for ad in [*ads, *ads]))

        found = run(work())
        wanted = expected_tables(home.world, [Level.AD], days["date_start"], days["date_end"], home.at)
        expected = wanted.facts[Level.AD]
    assert len(ads) == 16
    for rows, ad in zip(found, [*ads, *ads], strict=True):
        assert {row.ad_id for row in rows} == {ad}
    assert as_facts(row for rows in found[:16] for row in rows).keys() == expected.keys()
    assert [as_facts(rows) for rows in found[16:]] == [as_facts(rows) for rows in found[:16]]


def test_all_calls_share_one_budget(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account = home.world.accounts[0].id
        days = {"date_start": day_of(home), "date_end": day_of(home)}
        usage = {account: [{"type": "ads_insights", "call_count": 101, "estimated_time_to_regain_access": 20}]}
        headers = {"x-business-use-case-usage": json.dumps(usage)}
        home.simulator.faults.add(
            "graph_error", kind="insights", code=80000, subcode=2446079, status=400, headers=headers
        )
        mine = collector(home)
        for _ in range(2):
            with pytest.raises(InsightsError) as caught:
                run(mine.collect_account_insights(account_id=account, **days))
            assert caught.value.retry_at is not None
            assert timedelta(minutes=15) < caught.value.retry_at - home.at < timedelta(minutes=25)
        # The second one knew from the first that Meta would refuse.
        assert home.simulator.requests.count("insights") == 1


# ---- days ----


def test_no_day_after_the_accounts_today_is_asked_for(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account = home.world.accounts[0]
        far = day_of(home) + timedelta(days=400)
        rows = run(
            collector(home).collect_account_insights(account_id=account.id, date_start=day_of(home, 1), date_end=far)
        )
        (asked,) = [call for call in home.simulator.requests if call.kind == "insights"]
    assert json.loads(asked.params["time_range"])["until"] == day_of(home).isoformat()
    assert len(rows) == 2


def test_a_day_that_has_begun_elsewhere_but_not_in_the_account_has_no_rows_and_costs_no_report(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        tomorrow = day_of(home) + timedelta(days=1)
        account = home.world.accounts[0].id
        mine = collector(home)
        assert run(mine.collect_account_insights(account_id=account, date_start=tomorrow, date_end=tomorrow)) == []
        assert home.simulator.requests.count("insights") == 0


def test_each_account_is_asked_for_its_own_last_days(tmp_path: Path) -> None:
    with live(tmp_path, WorldSpec(accounts=4, campaigns=1, adsets_per_campaign=1, ads_per_adset=1)) as home:
        evening = home.at + timedelta(hours=7)
        mine = MetaInsightsCollector(settings=home.settings, clock=SkippingClock(evening))
        run(mine.collect_all(days_back=1, levels=["account"]))
        asked = {
            call.account: json.loads(call.params["time_range"])
            for call in home.simulator.requests
            if call.kind == "insights"
        }
    todays = {account.id: evening.astimezone(ZoneInfo(account.timezone_name)).date() for account in home.world.accounts}
    assert len(set(todays.values())) == 2
    assert asked == {
        account: {"since": str(today - timedelta(days=1)), "until": str(today)} for account, today in todays.items()
    }


CAMPAIGN = {"campaign_id": "120"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {**CAMPAIGN, "date_start": "yesterday", "date_end": "2026-01-02"},
            "date_start is 'yesterday', which is not a day",
        ),
        ({**CAMPAIGN, "date_start": "2026-01-01", "date_end": datetime(2026, 1, 2)}, "date_end is datetime"),  # noqa: DTZ001
        ({**CAMPAIGN, "date_start": "2026-01-01", "date_end": None}, "date_end is None, which is not a day"),
        ({**CAMPAIGN, "date_start": "2026-01-02", "date_end": "2026-01-01"}, "after date_end 2026-01-01; swap them"),
        ({**CAMPAIGN, "date_start": "2199-01-01", "date_end": "2199-01-02"}, "date_start 2199-01-01 is in the future"),
        (
            {"campaign_id": 120, "date_start": "2026-01-01", "date_end": "2026-01-02"},
            "campaign_id is 120; ids are text",
        ),
        ({"campaign_id": "act_1", "date_start": "2026-01-01", "date_end": "2026-01-02"}, "not an id of Meta"),
    ],
)
def test_wrong_input_is_one_sentence_before_any_call(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    mine = MetaInsightsCollector("stub", settings=Settings(_env_file=None), home=tmp_path)
    with pytest.raises(ValueError, match=sentence):
        run(mine.collect_campaign_insights(**arguments))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"days_back": -1}, "days_back is -1"),
        ({"days_back": "7"}, "days_back is '7'"),
        ({"days_back": 100_000}, "days_back is 100000"),
        ({"days_back": 1, "levels": ["adgroup"]}, "levels names 'adgroup'; use account, campaign, adset, ad"),
        ({"days_back": 1, "levels": []}, "levels is empty"),
        ({"days_back": 1, "accounts": []}, "accounts is empty"),
        ({"days_back": 1, "accounts": ["Shop"]}, "'Shop' is not an ad account id"),
        ({"days_back": 1, "accounts": [1]}, "accounts is 1; ids are text"),
    ],
)
def test_wrong_choices_are_one_sentence_before_any_call(
    tmp_path: Path, arguments: dict[str, Any], sentence: str
) -> None:
    mine = MetaInsightsCollector("stub", settings=Settings(_env_file=None), home=tmp_path)
    with pytest.raises(ValueError, match=sentence):
        run(mine.collect_all(**arguments))
    assert not list(tmp_path.iterdir())


def test_the_id_of_something_else_is_noticed(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        ad = home.world.graph(home.world.accounts[0].id).ads.ids[0]
        days = {"date_start": day_of(home), "date_end": day_of(home)}
        mine = collector(home)
        with pytest.raises(ValueError, match=f"campaign_id is '{ad}', which is not the id of a campaign"):
            run(mine.collect_campaign_insights(campaign_id=ad, **days))
        with pytest.raises(ValueError, match="which is not the id of an ad set"):
            run(mine.collect_adset_insights(adset_id=ad, **days))
        assert len(run(mine.collect_ad_insights(ad_id=ad, **days))) == 1


# ---- what cannot be had ----


def test_an_entity_that_is_not_there_or_not_ours_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        days = {"date_start": day_of(home), "date_end": day_of(home)}
        mine = collector(home)
        with pytest.raises(InsightsError, match="no object has this id") as caught:
            run(mine.collect_campaign_insights(campaign_id="999", **days))
        assert isinstance(caught.value.__cause__, NotFoundError)
        assert caught.value.retry_at is None
        home.simulator.faults.add("graph_error", kind="insights", code=200, status=403, times=None)
        with pytest.raises(InsightsError, match="ads_read") as caught:
            run(mine.collect_account_insights(account_id=home.world.accounts[0].id, **days))
        assert isinstance(caught.value.__cause__, PermissionDeniedError)
        assert caught.value.retry_at is None


def test_days_of_which_only_some_come_are_an_error_and_the_next_call_asks_for_the_others_alone(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account = home.world.accounts[0].id
        days = {"date_start": day_of(home, 599), "date_end": day_of(home)}
        # 600 days are too many at once, and the newer 300 are not to be had for the time being.
        home.simulator.faults.add("job_failed", code=-3, subcode=1504045, times=None, days_above=300)
        newer = f'"until":"{day_of(home)}"'
        home.simulator.faults.add("graph_error", skip=1, times=None, query=newer, code=200, status=403)
        mine = collector(home)
        with pytest.raises(InsightsError, match="ads_read"):
            run(mine.collect_account_insights(account_id=account, **days))
        home.simulator.faults.clear()
        home.simulator.requests.clear()
        rows = run(mine.collect_account_insights(account_id=account, **days))
        asked = [call.params["time_range"] for call in home.simulator.requests if "time_range" in call.params]
    assert [row.date_start for row in rows] == DayRange(days["date_start"], days["date_end"]).days
    assert [json.loads(one)["since"] for one in asked] == [day_of(home, 299).isoformat()]


def test_an_account_that_refuses_is_missing_by_name_and_the_others_come(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        forbidden, other = (account.id for account in home.world.accounts)
        path = f"act_{forbidden}/insights"
        home.simulator.faults.add("graph_error", path=path, code=200, status=403, times=None)
        result = run(collector(home).collect_all(days_back=1, levels="account"))
    assert not result.complete
    assert {row.account_id for row in all_rows(result)} == {other}
    (missing,) = result.missing
    assert (missing.level, missing.account_id, missing.retry_at) == (Level.ACCOUNT, forbidden, None)
    assert (missing.date_start, missing.date_end) == (day_of(home, 1), day_of(home))
    assert "ads_read" in missing.reason


def test_a_named_account_that_cannot_be_read_is_missing_for_every_level(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        wanted = home.world.accounts[0].id
        result = run(collector(home).collect_all(days_back=0, levels=["account", "ad"], accounts=["999", wanted]))
    assert {row.account_id for row in all_rows(result)} == {wanted}
    assert [(one.level, one.account_id) for one in result.missing] == [(Level.ACCOUNT, "999"), (Level.AD, "999")]


def test_pages_that_cannot_be_read_are_missing_and_bought_anew(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        account = home.world.accounts[0].id
        strange = {"data": [{"account_id": "5", "date_start": day_of(home).isoformat(), "impressions": "1"}]}
        home.simulator.faults.add("text", kind="insights", status=200, body=json.dumps(strange))
        mine = collector(home)
        result = run(mine.collect_all(days_back=0, levels=["account"], accounts=[account]))
        assert all_rows(result) == []
        assert "of account 5" in result.missing[0].reason
        assert result.missing[0].retry_at == home.at + timedelta(hours=6)
        assert run(mine.collect_all(days_back=0, levels=["account"], accounts=[account])).complete


def test_a_refused_token_is_an_error(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        with pytest.raises(InsightsError, match="META_ACCESS_TOKEN") as caught:
            run(collector(home, access_token="expired").collect_all(days_back=1))
        assert isinstance(caught.value.__cause__, AuthError)
        home.simulator.faults.add("graph_error", path="insights", code=190, subcode=463, status=400, times=None)
        with pytest.raises(InsightsError, match="code 190") as caught:
            run(collector(home).collect_all(days_back=1))
        assert isinstance(caught.value.__cause__, AuthError)


# ---- ending early ----


async def until_asked(home: Live, kind: str) -> None:
    while not home.simulator.requests.count(kind):
        await asyncio.sleep(0.01)


@contextmanager
def ending_its_threads() -> Iterator[None]:
    """Whatever begins inside has ended at its end, but for the threads of the loop and of the simulator."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in left if name.startswith(("insights", "collect"))] == []


def long_report(home: Live, mine: MetaInsightsCollector) -> Coroutine[Any, Any, list[InsightRow]]:
    """A call that waits for a report which never comes."""
    home.simulator.faults.add("stuck_at_100_running", times=None)
    account = home.world.accounts[0].id
    return mine.collect_account_insights(account_id=account, date_start=day_of(home, 600), date_end=day_of(home))


def test_cancelling_ends_the_calls_that_are_under_way(tmp_path: Path) -> None:
    with live(tmp_path) as home:

        async def work() -> None:
            async with MetaInsightsCollector(settings=home.settings) as mine:
                call = asyncio.create_task(long_report(home, mine))
                await until_asked(home, "create_run")
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call

        began = time.monotonic()
        with ending_its_threads():
            run(work())
        assert time.monotonic() - began < 10
        asked = home.simulator.requests.count()
        time.sleep(0.1)
        assert home.simulator.requests.count() == asked
    # What was submitted is left to whoever asks for it next.
    assert not list((tmp_path / "tmp").iterdir())


def test_closing_ends_the_calls_that_somebody_waits_for_and_takes_no_others(tmp_path: Path) -> None:
    with live(tmp_path) as home:

        async def work() -> None:
            mine = MetaInsightsCollector(settings=home.settings)
            call = asyncio.create_task(long_report(home, mine))
            await until_asked(home, "create_run")
            await mine.close()
            with pytest.raises(RuntimeError, match="closed before the call had ended"):
                await call
            with pytest.raises(RuntimeError, match="closed; make another one"):
                await mine.collect_all(days_back=0)
            await mine.close()

        with ending_its_threads():
            run(work())


def test_a_call_that_waits_for_its_turn_can_be_cancelled_and_the_others_go_on(tmp_path: Path) -> None:
    with live(tmp_path) as home:
        home.simulator.faults.add("slow", kind="insights", seconds=0.2, times=None)
        account = home.world.accounts[0].id

        async def work() -> list[Any]:
            async with collector(home) as mine:
                calls = [
                    asyncio.create_task(
                        mine.collect_account_insights(
                            account_id=account, date_start=day_of(home, back), date_end=day_of(home, back)
                        )
                    )
                    for back in range(10)
                ]
                await until_asked(home, "insights")
                calls[-1].cancel()
                return await asyncio.gather(*calls, return_exceptions=True)

        *others, last = run(work())
    assert isinstance(last, asyncio.CancelledError)
    assert [rows[0].date_start for rows in others] == [day_of(home, back) for back in range(9)]


# ---- settings ----


def test_stub_mode_needs_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("META_INSIGHTS_MODE", "META_INSIGHTS_HOME", "META_ACCESS_TOKEN", "META_AD_ACCOUNT_IDS"):
        monkeypatch.delenv(name, raising=False)
    result = run(MetaInsightsCollector().collect_all(days_back=1, levels=["account"]))
    assert len({row.account_id for row in result.rows[Level.ACCOUNT]}) == 4
    assert (tmp_path / "data").is_dir()


def test_arguments_go_before_the_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(tmp_path / "unused") as home:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("META_INSIGHTS_MODE", "stub")
        monkeypatch.setenv("META_GRAPH_API_URL", home.url)
        monkeypatch.delenv("META_ACCESS_TOKEN", raising=False)
        clock = SkippingClock(home.at)
        mine = MetaInsightsCollector("live", home=tmp_path / "mine", access_token=TOKEN, clock=clock)
        account = home.world.accounts[0].id
        result = run(mine.collect_all(days_back=0, levels=["account"], accounts=account))
        assert home.simulator.requests.count() == 2
    assert {row.account_id for row in all_rows(result)} == {account}
    assert (tmp_path / "mine" / "collector-live.sqlite").exists()


def test_a_mode_that_is_not_known_and_live_mode_without_a_token_are_told(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    with pytest.raises(ValueError, match="mode is 'test'; use 'stub' or 'live'"):
        MetaInsightsCollector("test", settings=settings)
    with pytest.raises(SettingsError, match="META_ACCESS_TOKEN is not set"):
        run(MetaInsightsCollector("live", settings=settings).collect_all(days_back=0))


# ---- the package and its document ----


def test_importing_the_package_loads_nothing_until_a_name_is_used() -> None:
    program = (
        "import sys, meta_insights_pipeline as package\n"
        "assert not [name for name in sys.modules if name.startswith('meta_insights_pipeline.') or name == 'pydantic']\n"
        "package.MetaInsightsCollector\n"
        "assert 'meta_insights_pipeline.library' in sys.modules\n"
        "assert not {'dagster', 'duckdb', 'pandas', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_package_has_the_names_that_it_promises_and_no_others() -> None:
    for name in meta_insights_pipeline.__all__:
        assert getattr(meta_insights_pipeline, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(meta_insights_pipeline, "Nothing")  # noqa: B009 - a type checker would refuse the name


def test_every_attribute_of_a_row_and_every_method_is_described() -> None:
    described = table_rows((ROOT / "docs/library.md").read_text("utf-8"))
    things = [InsightRow, ActionRow, InsightsResult, MissingInsights, MetaInsightsCollector]
    names = {name for thing in things for name in dir(thing) if not name.startswith("_")}
    assert len(names) > 30
    assert names - described.keys() == set()
