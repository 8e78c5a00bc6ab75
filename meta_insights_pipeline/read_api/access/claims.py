"""What the claims of a token whose signature is right say of role and ad accounts. No I/O."""

import re
from collections.abc import Mapping
from typing import Any

from meta_insights_pipeline.read_api.access.errors import ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.settings import account_id

ALL_ACCOUNTS = "*"
_SEPARATORS = re.compile(r"[\s,]+")


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The value of a claim; None when it is not there.

    Args:
        claims: All claims of a token.
        name: The claim's name, or a path into objects with dots between, like `realm_access.roles`; a claim of the whole name
            comes first, since some issuers use addresses as names.
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def role_of(claims: Mapping[str, Any], name: str) -> Role:
    """The highest role that a claim names: one name, several with blanks between, or a list; other names are passed over.

    Raises:
        ForbiddenError: It names none.
    """
    texts = _texts(claim(claims, name)) or []
    # From the lowest to the highest, as they are declared.
    named = [role for role in Role if role.value in texts]
    if not named:
        raise ForbiddenError("The token is valid but names no role; it needs viewer, operator or admin.")
    return named[-1]


def accounts_of(claims: Mapping[str, Any], name: str, *, is_required: bool) -> frozenset[str] | None:
    """The ad accounts that a claim confines a token to: ids with or without `act_`, or `*` for all.

    Args:
        claims: All claims of a token.
        name: The claim's name, as for `claim`.
        is_required: Whether a token without the claim is refused; otherwise it sees all accounts.

    Returns:
        Ids without `act_`; None for all.

    Raises:
        ForbiddenError: The claim is missing, or holds something else. What cannot be read never means all accounts.
    """
    is_missing = claim(claims, name) is None and name not in claims
    if is_missing and not is_required:
        return None
    texts = _texts(claim(claims, name))
    if is_missing or texts is None:
        raise ForbiddenError("The token is valid but does not say which ad accounts it may see.")
    if ALL_ACCOUNTS in texts:
        return None
    try:
        return frozenset(account_id(text) for text in texts)
    except ValueError:
        raise ForbiddenError("The token is valid but names ad accounts in a form that is not known.") from None


def _texts(value: object) -> list[str] | None:
    """The texts of a claim; None when it is neither text nor a list of texts."""
    if isinstance(value, str):
        return [part for part in _SEPARATORS.split(value) if part]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    return None
