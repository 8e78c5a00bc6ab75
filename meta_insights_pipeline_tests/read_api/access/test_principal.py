"""Roles and confinement, as facts about every principal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.access.confinement import seen_by
from meta_insights_pipeline.read_api.access.principal import OPEN, Principal, Role
from meta_insights_pipeline.read_api.errors import NotFoundError

IDS = st.sets(st.integers(1, 9).map(str), max_size=6).map(frozenset)
CONFINED = st.builds(
    Principal, kind=st.just("key"), subject=st.just("0f"), role=st.sampled_from(Role), accounts=st.none() | IDS
)


def principal(role: Role, accounts: frozenset[str] | None = None) -> Principal:
    return Principal(kind="key", subject="0f", role=role, accounts=accounts)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, {Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    ],
)
def test_a_role_may_do_what_the_roles_before_it_may_and_no_more(role: Role, may: set[Role]) -> None:
    assert {other for other in Role if principal(role).may(other)} == may


def test_whoever_asks_without_a_key_in_open_stub_mode_may_start_a_sync_and_is_no_admin() -> None:
    assert OPEN.may(Role.OPERATOR)
    assert not OPEN.may(Role.ADMIN)
    assert OPEN.label == "open:local"


@settings(deadline=None)
@given(CONFINED, st.none() | IDS)
def test_a_query_is_never_about_an_account_that_is_not_seen(who: Principal, asked: frozenset[str] | None) -> None:
    narrowed = who.narrowed(asked)
    if narrowed is None:
        assert who.accounts is None
        assert asked is None
    else:
        assert all(who.sees(account) for account in narrowed)
        assert asked is None or narrowed <= asked


@settings(deadline=None)
@given(CONFINED, IDS)
def test_a_query_is_about_every_account_that_is_asked_for_and_seen(who: Principal, asked: frozenset[str]) -> None:
    assert who.narrowed(asked) == frozenset(account for account in asked if who.sees(account))


@settings(deadline=None)
@given(CONFINED, IDS)
def test_a_thing_of_several_accounts_is_seen_by_whoever_sees_each_and_one_of_all_by_whoever_sees_all(
    who: Principal, owners: frozenset[str]
) -> None:
    expected = who.accounts is None or (bool(owners) and all(who.sees(account) for account in owners))
    assert who.sees_all(owners) is expected


def test_a_principal_confined_to_no_account_sees_nothing() -> None:
    nobody = principal(Role.ADMIN, frozenset())
    assert not nobody.sees("1")
    assert nobody.narrowed(None) == frozenset()
    assert nobody.narrowed(["1"]) == frozenset()
    assert not nobody.sees_all([])


@settings(deadline=None)
@given(CONFINED, IDS)
def test_what_is_foreign_and_what_is_unknown_are_refused_in_the_same_words(
    who: Principal, owners: frozenset[str]
) -> None:
    def look(found: frozenset[str] | None) -> str | frozenset[str]:
        try:
            return seen_by(who, found, lambda accounts: accounts, what="campaign", identifier="77")
        except NotFoundError as error:
            return error.sentence

    unknown = look(None)
    assert unknown == "There is no campaign 77 that you may see."
    assert look(owners) == (owners if who.sees_all(owners) else unknown)


def test_a_long_id_is_not_repeated_whole() -> None:
    assert len(NotFoundError("ad", "9" * 5000).sentence) < 120
