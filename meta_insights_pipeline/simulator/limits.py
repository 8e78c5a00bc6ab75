"""Limits: what a call is charged to, when it is refused for it, and the usage headers of its answer.

Belongs here: bringing budgets (`usage`) and blocks (`blocks`) to bear on a call. Does not belong here: their rules.
"""

from collections import Counter
from collections.abc import Callable

from meta_insights_pipeline.simulator.blocks import ACCOUNT, AREAS, Block, Blocks, Serving, scope_of, scopes_of
from meta_insights_pipeline.simulator.calls import Call
from meta_insights_pipeline.simulator.errors import GraphError
from meta_insights_pipeline.simulator.faults import UNKNOWN_ERROR, FaultRule
from meta_insights_pipeline.simulator.usage import APP_USAGE, INSIGHTS, MANAGEMENT, UsageMeter, written

_INSIGHTS_KINDS = frozenset({"insights", "create_run", "run_status", "run_insights"})
_MANAGEMENT_KINDS = frozenset({"structure", "account", "object"})


class Limits:
    """The limits of one simulator.

    Args:
        meter: Counts calls against budgets.
        active_ads: Number of active ads of an account; None for one that does not exist.
        score_limit: Whether the score of an account is enforced, and not only told.
        in_flight_seconds: Real seconds after a refusal has left within which a call may have been under way already.
    """

    def __init__(
        self,
        meter: UsageMeter,
        active_ads: Callable[[str], int | None],
        *,
        score_limit: bool,
        in_flight_seconds: float = 0.0,
    ) -> None:
        self._meter = meter
        self._active_ads = active_ads
        self._score_limit = score_limit
        self._blocks = Blocks(in_flight_seconds)

    def use_case(self, call: Call) -> str:
        """Return the business use case that a call is charged to; empty if it is not about a known account."""
        use_case = INSIGHTS if call.kind in _INSIGHTS_KINDS else MANAGEMENT if call.kind in _MANAGEMENT_KINDS else ""
        return use_case if use_case and self._active_ads(call.account_id) is not None else ""

    def standing(self, call: Call, now: float) -> Block | None:
        """Return the block in the way of a call; a batch is let through, since its entries are calls themselves."""
        if call.kind == "batch":
            return None
        return self._blocks.standing(scopes_of(call.account_id, self.use_case(call)), now)

    def block(self, call: Call, rule: FaultRule, now: float) -> Block:
        """Begin the block that a rule describes, and return it."""
        code = rule.code or 0
        return self._begin(
            Block(
                scope=scope_of(AREAS[code], call.account_id),
                code=code,
                until=now + rule.seconds,
                subcode=rule.subcode,
                message="" if rule.message == UNKNOWN_ERROR else rule.message,
                status=rule.status,
                headers=rule.lower_headers,
            )
        )

    def refusal(self, call: Call, block: Block, serving: Serving, now: float) -> GraphError:
        """Return the error that a block answers a call with, and note that the caller is told."""
        self._blocks.refuse(block.scope, call.account_id, serving)
        use_case = self.use_case(call)
        figures = self._meter.figures(call.account_id, use_case, self._ads(call), now) if use_case else {APP_USAGE: {}}
        block.mark(figures, call.account_id, now)
        error = block.error()
        error.headers = {**written({name: value for name, value in figures.items() if value}), **block.headers}
        return error

    def charge(self, call: Call, serving: Serving, now: float) -> None:
        """Count a call; raise the error of what it spends in excess."""
        use_case = self.use_case(call)
        if not use_case:
            return
        self._meter.count(call.account_id, use_case, now)
        seconds = self._meter.block_by_score(call.account_id, now) if self._score_limit else 0
        if seconds:
            block = self._begin(Block(scope_of(ACCOUNT, call.account_id), 17, now + seconds))
            raise self.refusal(call, block, serving, now)
        scope = scope_of(use_case, call.account_id)
        try:
            self._meter.check(call.account_id, use_case, self._ads(call), now)
        except GraphError:
            self._blocks.refuse(scope, call.account_id, serving)
            raise
        self._blocks.reopen(scope)

    def headers(self, call: Call, rows: int, now: float) -> dict[str, str]:
        """Return the usage headers of an answer with so many rows."""
        use_case = self.use_case(call)
        if not use_case:
            return {}
        self._meter.add_rows(call.account_id, use_case, now, rows)
        return written(self._meter.figures(call.account_id, use_case, self._ads(call), now))

    def tell(self, serving: Serving, left: float) -> None:
        """Note when the answer to a request leaves; whoever calls into what it refused from then on is counted."""
        self._blocks.tell(serving, left)

    def calls_while_blocked(self) -> Counter[str]:
        """Return the calls made into what was known to be closed, by account id; `app` for calls about no account."""
        return self._blocks.counts()

    def calls_under_way(self) -> tuple[int, float]:
        """Return how many calls were excused as under way, and how many seconds after the refusal the latest began."""
        return self._blocks.under_way()

    def clear_counts(self) -> None:
        """Set `calls_while_blocked` to zero; blocks stay."""
        self._blocks.clear_counts()

    def _begin(self, block: Block) -> Block:
        self._blocks.begin(block)
        return block

    def _ads(self, call: Call) -> int:
        return self._active_ads(call.account_id) or 0
