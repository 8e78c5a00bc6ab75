"""What a token's claims say of role and ad accounts; what cannot be read never means more."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.access.claims import accounts_of, claim, role_of
from meta_insights_pipeline.read_api.access.errors import ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Role

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["viewer", "1", "act_2", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("claims", "name", "value"),
    [
        ({"role": "viewer"}, "role", "viewer"),
        ({"realm_access": {"roles": ["admin"]}}, "realm_access.roles", ["admin"]),
        ({"https://shop.test/role": "admin"}, "https://shop.test/role", "admin"),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a": {"b": 2}}, "a.c", None),
        ({"a": "text"}, "a.b", None),
        ({}, "role", None),
    ],
)
def test_a_claim_is_found_by_its_name_or_by_a_path(claims: dict[str, Any], name: str, value: object) -> None:
    assert claim(claims, name) == value


@pytest.mark.parametrize(
    ("value", "role"),
    [
        ("viewer", Role.VIEWER),
        ("openid viewer operator", Role.OPERATOR),
        (["viewer", "admin", "something"], Role.ADMIN),
        (["operator"], Role.OPERATOR),
    ],
)
def test_the_highest_role_that_is_named_counts(value: object, role: Role) -> None:
    assert role_of({"role": value}, "role") is role


@pytest.mark.parametrize(
    "value", [None, "", "Admin", "administrator", "viewer-not", 3, True, {"admin": True}, [["admin"]], ["admin", 1], []]
)
def test_a_claim_that_names_no_role_in_a_known_form_gives_none(value: object) -> None:
    with pytest.raises(ForbiddenError, match="names no role"):
        role_of({"role": value}, "role")


@pytest.mark.parametrize(
    ("value", "accounts"),
    [
        (["act_1", "2"], {"1", "2"}),
        ("act_1, 2 3", {"1", "2", "3"}),
        ([], set()),
        ("", set()),
        ("*", None),
        (["1", "*"], None),
    ],
)
def test_the_accounts_of_a_token(value: object, accounts: set[str] | None) -> None:
    assert accounts_of({"accounts": value}, "accounts", is_required=True) == accounts


@pytest.mark.parametrize("value", [None, 5, True, {"1": "2"}, [1], ["1", None], ["act_x"], ["1*"], "shop", ["1,2"]])
@pytest.mark.parametrize("is_required", [True, False])
def test_accounts_in_another_form_are_refused_and_never_all(value: object, is_required: bool) -> None:
    with pytest.raises(ForbiddenError):
        accounts_of({"accounts": value}, "accounts", is_required=is_required)


def test_a_token_without_the_claim_sees_all_accounts_unless_the_claim_is_asked_for() -> None:
    assert accounts_of({}, "accounts", is_required=False) is None
    with pytest.raises(ForbiddenError):
        accounts_of({}, "accounts", is_required=True)
    with pytest.raises(ForbiddenError):
        accounts_of({"app": {"accounts": None}}, "app.accounts", is_required=True)


@settings(deadline=None)
@given(JSON, st.booleans())
def test_all_accounts_follow_from_the_star_alone(value: Any, is_required: bool) -> None:
    try:
        accounts = accounts_of({"accounts": value}, "accounts", is_required=is_required)
    except ForbiddenError:
        return
    if accounts is None:
        assert "*" in value
    else:
        assert all(account.isdigit() and account in str(value) for account in accounts)


@settings(deadline=None)
@given(JSON)
def test_every_role_that_is_given_is_named_in_the_claim(value: Any) -> None:
    try:
        role = role_of({"role": value}, "role")
    except ForbiddenError:
        return
    assert role.value in value
