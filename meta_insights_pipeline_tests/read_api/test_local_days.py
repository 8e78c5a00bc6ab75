"""Which day it is for whom: what an answer about the last days depends on, and nothing more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.local_days import LocalDays
from meta_insights_pipeline.warehouse.reading.period import today_in
from meta_insights_pipeline.warehouse.reading.reference import Account, Reference, ReferenceBook

ZONES = [
    "Europe/Berlin",
    "Asia/Kathmandu",
    "America/Los_Angeles",
    "Pacific/Auckland",
    "Asia/Kolkata",
    "Mars/Base",
    None,
]
NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


class KnownReferences(ReferenceBook):
    """One file, whose accounts have these zones."""

    def __init__(self, zones: list[str | None]) -> None:
        super().__init__()
        accounts = {str(number): Account(str(number), zone, "EUR") for number, zone in enumerate(zones)}
        self._kept["file"] = Reference(accounts, {}, frozenset())


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(ZONES), max_size=5),
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.data(),
)
def test_when_it_is_the_same_every_account_has_the_same_day_as_before(
    zones: list[str | None], one: timedelta, other: timedelta, data: st.DataObject
) -> None:
    days = LocalDays(KnownReferences(zones))
    first, second = NOON + one, NOON + other
    if days.of("file", None, "days=7", first) == days.of("file", None, "days=7", second):
        some = data.draw(st.lists(st.sampled_from(zones or [None]), max_size=4))
        assert today_in(some, first) == today_in(some, second)


def test_it_changes_at_the_midnights_of_the_accounts_that_are_seen_and_of_utc_alone() -> None:
    days = LocalDays(KnownReferences(["Europe/Berlin", "Asia/Kathmandu"]))

    def changes(accounts: frozenset[str] | None) -> list[str]:
        moments = [NOON.replace(day=10) + timedelta(minutes=15) * number for number in range(96)]
        found = [days.of("file", accounts, "", moment) for moment in moments]
        return [
            f"{moment:%H:%M}"
            for moment, now, before in zip(moments[1:], found[1:], found, strict=False)
            if now != before
        ]

    assert changes(None) == ["18:15", "23:00", "00:00"]
    assert changes(frozenset("0")) == ["23:00", "00:00"]
    assert changes(frozenset()) == ["00:00"]


def test_named_days_and_a_named_moment_depend_on_no_clock() -> None:
    days = LocalDays(KnownReferences(["Europe/Berlin"]))
    for query in ("date_from=2026-01-01&date_to=2026-01-31", "as_of=2026-01-01&days=7", "account=1&as_of=2026-01-01"):
        assert days.of("file", None, query, NOON) == ()
    for query in ("", "days=7", "q=as_of", "date_to=2026-01-01"):
        assert days.of("file", None, query, NOON)


def test_of_a_file_whose_accounts_are_not_known_yet_nothing_can_be_said() -> None:
    days = LocalDays(KnownReferences([]))
    assert days.of("other", None, "days=7", NOON) is None
