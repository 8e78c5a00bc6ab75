"""Keeping what a principal may not see as if it did not exist. Every route that answers about ad accounts uses this.

- A query is given `principal.accounts`, or `principal.narrowed(ids of the request)`, and filters by them itself: then totals,
  lists, searches, children, exports and counts hold nothing else, and what is foreign costs what is unknown costs.
- Whatever is found by an id goes through `seen_by`, whose 404 is the same for what is foreign and what is unknown.
- An answer that is kept, or its ETag, belongs to the accounts it was made for.
- Syncs are asked for accounts that the principal sees, and shown to whoever sees all of theirs.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.errors import NotFoundError

_Found = TypeVar("_Found")


def seen_by(
    principal: Principal,
    found: _Found | None,
    accounts_of: Callable[[_Found], Iterable[str]],
    *,
    what: str,
    identifier: str,
) -> _Found:
    """What was found, if the principal sees every ad account that it belongs to.

    Args:
        principal: Who asks.
        found: None when there is nothing of this id.
        accounts_of: Ids, without `act_`, of the ad accounts that it belongs to; none of them for something of every account.
        what: The kind of thing for the sentence, like `campaign`.
        identifier: Its id as it was asked for.

    Raises:
        NotFoundError: There is none, or it is of an account that the principal does not see: in the same words.
    """
    if found is None or not principal.sees_all(accounts_of(found)):
        raise NotFoundError(what, identifier)
    return found
