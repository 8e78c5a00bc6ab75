"""What has become of ad accounts by hand: disabled, closed, forbidden to the token, or not there at all.

Belongs here: states of accounts and the errors that follow from them. Does not belong here: what the world draws.
"""

import threading
from dataclasses import dataclass

from meta_insights_pipeline.simulator.errors import GraphError, not_permitted
from meta_insights_pipeline.simulator.world import World

STATUSES = {"active": (1, 0), "disabled": (2, 1), "unsettled": (3, 0), "closed": (101, 0)}
"""States that are shown: `account_status` and `disable_reason`. Everything stays readable."""

REFUSALS = {"forbidden": 200, "forbidden-10": 10, "missing-permissions": 100}
"""States in which an account is listed but not readable: the code of every answer about it."""

STATES = (*STATUSES, *REFUSALS)


@dataclass(frozen=True)
class Standing:
    """How an account stands."""

    status: int = 1
    """`account_status`."""
    disable_reason: int = 0
    refusal: int | None = None
    """Code of the error that every read is answered with."""


ACTIVE_STANDING = Standing()


class AccountStates:
    """States of the accounts of a world, all active and visible at first; safe for threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._states: dict[str, Standing] = {}
        self._hidden: set[str] = set()

    def set(self, account_id: str, state: str) -> None:
        """Put an account into one of `STATES`.

        Raises:
            KeyError: The world has no such account.
            ValueError: There is no such state.
        """
        account = self._world.account(account_id.removeprefix("act_"))
        if state not in STATES:
            msg = f"unknown state {state!r}; known are {', '.join(STATES)}"
            raise ValueError(msg)
        status, reason = STATUSES.get(state, (1, 0))
        with self._lock:
            self._states[account.id] = Standing(status, reason, REFUSALS.get(state))

    def hide(self, account_id: str, *, hidden: bool = True) -> None:
        """Take an account away, or bring it back.

        Raises:
            KeyError: The world has no such account.
        """
        account = self._world.account(account_id.removeprefix("act_"))
        with self._lock:
            if hidden:
                self._hidden.add(account.id)
            else:
                self._hidden.discard(account.id)

    def standing(self, account_id: str) -> Standing:
        """Return how an account stands."""
        return self._states.get(account_id, ACTIVE_STANDING)

    def visible(self, account_id: str) -> bool:
        """Tell whether an account exists for the token."""
        return account_id not in self._hidden

    def refusal(self, account_id: str) -> GraphError | None:
        """Return the error of every read of an account, if it may not be read."""
        code = self.standing(account_id).refusal
        return None if code is None else not_permitted(code)
