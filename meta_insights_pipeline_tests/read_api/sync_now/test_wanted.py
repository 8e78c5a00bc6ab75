"""What a request for a sync comes to, as a decision."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.read_api.access.errors import ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Principal, Role
from meta_insights_pipeline.read_api.errors import ApiError, NotFoundError
from meta_insights_pipeline.read_api.sync_now.models import SyncNowRequest
from meta_insights_pipeline.read_api.sync_now.wanted import SyncWanted, UnusableSyncError, sync_wanted

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = date(2026, 3, 10)
FIRST = date(2024, 1, 1)
ZONES = {"1": "Europe/Berlin", "2": "America/Los_Angeles", "3": "Pacific/Auckland"}


def principal(*accounts: str) -> Principal:
    return Principal("key", "k", Role.OPERATOR, frozenset(accounts) if accounts else None)


ALL = principal()


def wanted(who: Principal = ALL, *, zones: dict[str, str] | None = None, **asked: Any) -> SyncWanted:
    return sync_wanted(
        SyncNowRequest.model_validate(asked),
        who,
        now=NOW,
        first_day=FIRST,
        zones=ZONES if zones is None else zones,
        named_accounts=(),
    )


def test_without_anything_it_is_what_the_schedule_does() -> None:
    # It is the 11th in Auckland already, and the day before the 10th is the oldest yesterday.
    assert wanted() == SyncWanted(DayRange(date(2026, 3, 9), date(2026, 3, 11)), (), ())


def test_days_back_dates_levels_and_accounts_arrive_in_one_form() -> None:
    found = wanted(days_back=2, levels=["ad", "campaign", "ad"], accounts=["act_1", "1"])
    assert found == SyncWanted(DayRange(date(2026, 3, 8), TODAY), (Level.CAMPAIGN, Level.AD), ("1",))
    found = wanted(date_from="2026-01-01", date_to="2026-01-31", accounts=["2", "1"])
    assert found == SyncWanted(DayRange(date(2026, 1, 1), date(2026, 1, 31)), (), ("1", "2"))


def test_the_last_day_is_no_later_than_the_accounts_own_today() -> None:
    assert wanted(date_from="2026-03-01", date_to="2027-01-01", accounts=["2"]).days.until == TODAY
    assert wanted(date_from="2026-03-01", accounts=["2"]).days.until == TODAY
    assert wanted(date_from="2026-03-01").days.until == date(2026, 3, 11)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"days_back": 1, "date_from": "2026-03-01"}, "together"),
        ({"days_back": 1, "date_to": "2026-03-01"}, "together"),
        ({"date_to": "2026-03-01"}, "needs date_from"),
        ({"date_from": "2026-03-02", "date_to": "2026-03-01"}, "swap"),
        ({"date_from": "2026-03-12"}, "future"),
        ({"date_from": "2023-12-31"}, "2024-01-01"),
        ({"days_back": 1000}, "2024-01-01"),
    ],
)
def test_days_that_cannot_be_collected_are_refused_with_the_remedy(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UnusableSyncError, match=words):
        wanted(**asked)


def test_a_range_is_no_longer_than_meta_gives_insights_of() -> None:
    with pytest.raises(UnusableSyncError, match="1130 at most"):
        sync_wanted(
            SyncNowRequest.model_validate({"date_from": "2020-01-01"}),
            ALL,
            now=NOW,
            first_day=date(2019, 1, 1),
            zones=ZONES,
            named_accounts=(),
        )


@pytest.mark.parametrize(
    "asked",
    [
        {"days_back": "1"},
        {"days_back": -1},
        {"days_back": True},
        {"days_back": 10**9},
        {"date_from": 20260301},
        {"date_from": "20260301"},
        {"date_from": "2026-02-30"},
        {"levels": ["account", "page"]},
        {"levels": "ad"},
        {"accounts": ["act_x"]},
        {"accounts": [1]},
        {"accounts": ["1' OR 1=1"]},
        {"days": 3},
    ],
    ids=str,
)
def test_what_is_no_request_is_not_understood(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SyncNowRequest.model_validate(asked)


def test_whoever_is_confined_syncs_those_accounts_alone() -> None:
    assert wanted(principal("2", "1")).accounts == ("1", "2")
    assert wanted(principal("1", "2"), accounts=["2"]).accounts == ("2",)
    # The key names an account that is not there any more.
    assert wanted(principal("1", "99")).accounts == ("1",)


def test_a_foreign_account_and_one_that_does_not_exist_are_refused_in_the_same_words() -> None:
    sentences = []
    for account in ("3", "4"):
        with pytest.raises(NotFoundError) as error:
            wanted(principal("1"), accounts=[account])
        sentences.append(error.value.sentence.replace(account, "ID"))
    assert sentences[0] == sentences[1]
    with pytest.raises(NotFoundError):
        wanted(ALL, accounts=["4"])


def test_whoever_sees_no_account_starts_nothing_and_never_a_sync_of_all() -> None:
    for who in (Principal("key", "k", Role.OPERATOR, frozenset()), principal("99")):
        with pytest.raises(ForbiddenError):
            wanted(who)
    nobody = Principal("key", "k", Role.OPERATOR, frozenset())
    with pytest.raises(ForbiddenError):
        wanted(nobody, zones={})


def test_before_the_first_sync_any_account_may_be_named_by_whoever_may_see_it() -> None:
    assert wanted(ALL, zones={}, accounts=["7"]).accounts == ("7",)
    assert wanted(principal("7"), zones={}).accounts == ("7",)
    with pytest.raises(NotFoundError):
        wanted(principal("7"), zones={}, accounts=["8"])


DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1)).map(date.isoformat)


@given(
    asked=st.fixed_dictionaries(
        {},
        optional={
            "days_back": st.integers(0, 1129),
            "date_from": DAYS,
            "date_to": DAYS,
            "levels": st.lists(st.sampled_from([level.value for level in Level]), max_size=4),
            "accounts": st.lists(st.sampled_from(["1", "act_2", "3", "4"]), max_size=4),
        },
    ),
    own=st.none() | st.frozensets(st.sampled_from(["1", "2", "9"])),
)
def test_whatever_is_asked_only_own_accounts_and_days_that_can_be_collected_come_out(
    asked: dict[str, Any], own: frozenset[str] | None
) -> None:
    who = Principal("key", "k", Role.OPERATOR, own)
    try:
        found = wanted(who, **asked)
    except ApiError:
        return
    assert FIRST <= found.days.since <= found.days.until <= TODAY + timedelta(days=1)
    assert found.days.count <= 1130
    if own is not None:
        assert found.accounts
        assert set(found.accounts) <= own
