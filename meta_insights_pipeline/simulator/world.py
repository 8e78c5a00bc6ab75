"""The world: which ad accounts exist, and where their structure is found.

Belongs here: the specification of a world, its accounts, look-ups by id. Does not belong here: how structure is drawn
(`structure`) or what is delivered (`delivery`). Everything is a pure function of (seed, simulated now).
"""

import threading
from dataclasses import dataclass
from datetime import date

from meta_insights_pipeline.simulator.edits import AccountEdits
from meta_insights_pipeline.simulator.randomness import Dice
from meta_insights_pipeline.simulator.spending import Spending
from meta_insights_pipeline.simulator.structure import AccountGraph, GraphSpec, account_index_of, draw_graph

WORLD_BEGIN = date(2022, 1, 1)
WORLD_END = date(2034, 12, 31)


@dataclass(frozen=True)
class WorldSpec:
    """What a world is made of; equal specifications give equal worlds, to the last digit.

    With a number of campaigns, ad sets or ads the structure is exactly that, evergreen, and nothing is ever paused,
    archived or deleted, and nothing about it changes unless it is `edited`. `always_on` makes every ad deliver every
    day, for benchmarks that need a known row count.
    """

    seed: int = 7
    accounts: int = 4
    campaigns: int | None = None
    adsets_per_campaign: int | None = None
    ads_per_adset: int | None = None
    always_on: bool = False
    edited: bool = False
    """Budgets, bids, targeting and creatives of such a structure change as they do in a living account."""


@dataclass(frozen=True)
class Account:
    """An ad account."""

    id: str
    """The number without the prefix `act_`."""
    name: str
    currency: str
    timezone_name: str
    timezone_id: int
    status: int
    created: date
    index: int

    @property
    def decimals(self) -> int:
        """Digits behind the point of an amount of money."""
        return 0 if self.currency in {"JPY", "KRW", "CLP", "VND"} else 2


# zone, Graph's number of the zone, currency, what the business calls itself
_MARKETS = (
    ("America/New_York", 7, "USD", "Harbor & Pine Outfitters"),
    ("Europe/Berlin", 47, "EUR", "Müller Gartenwelt"),
    ("Asia/Tokyo", 71, "JPY", "さくら文具店"),
    ("Australia/Sydney", 14, "AUD", "Southern Surf Co."),
    ("Asia/Kolkata", 69, "INR", "Chai & Charkha"),
    ("America/Sao_Paulo", 24, "BRL", "Café São Jorge"),
    ("Pacific/Auckland", 95, "NZD", 'Kiwi "Outdoors" Ltd'),
    ("America/Los_Angeles", 1, "USD", "Sunset \\ Vine Studio"),
)


class World:
    """All accounts of a specification; structure is drawn when an account is first looked at."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self.accounts = tuple(_account(spec.seed, index) for index in range(spec.accounts))
        self._by_id = {account.id: account for account in self.accounts}
        self._graphs: dict[str, AccountGraph] = {}
        self._edits: dict[str, AccountEdits] = {}
        self._spending: dict[str, Spending] = {}
        self._lock = threading.Lock()

    def account(self, account_id: str) -> Account:
        """Return the account with this number; KeyError if there is none."""
        return self._by_id[account_id]

    def knows(self, account_id: str) -> bool:
        """Tell whether there is an account with this number."""
        return account_id in self._by_id

    def graph(self, account_id: str) -> AccountGraph:
        """Return the campaigns, ad sets and ads of an account."""
        account = self._by_id[account_id]
        with self._lock:
            graph = self._graphs.get(account_id)
            if graph is None:
                graph = draw_graph(self._graph_spec(account))
                self._graphs[account_id] = graph
            return graph

    def edits(self, account_id: str) -> AccountEdits:
        """Return what the objects of an account are set to over time."""
        graph = self.graph(account_id)
        with self._lock:
            edits = self._edits.get(account_id)
            if edits is None:
                edits = self._edits[account_id] = AccountEdits(graph, self._by_id[account_id].currency)
            return edits

    def spending(self, account_id: str) -> Spending:
        """Return the money that an account and its objects have spent over time."""
        graph = self.graph(account_id)
        with self._lock:
            spending = self._spending.get(account_id)
            if spending is None:
                spending = self._spending[account_id] = Spending(graph, self._by_id[account_id].currency)
            return spending

    def owner(self, object_id: str) -> Account | None:
        """Return the account to which a campaign, ad set, ad or creative id belongs, whether it exists or not."""
        index = account_index_of(object_id)
        return self.accounts[index] if index is not None and index < len(self.accounts) else None

    def _graph_spec(self, account: Account) -> GraphSpec:
        spec = self.spec
        counts = (spec.campaigns, spec.adsets_per_campaign, spec.ads_per_adset)
        fixed = None
        if spec.always_on or any(count is not None for count in counts):
            fixed = (spec.campaigns or 6, spec.adsets_per_campaign or 3, spec.ads_per_adset or 3)
        return GraphSpec(
            seed=spec.seed,
            account_id=account.id,
            account_index=account.index,
            zone=account.timezone_name,
            begin=WORLD_BEGIN,
            end=WORLD_END,
            fixed=fixed,
            always_on=spec.always_on,
            edited=fixed is None or spec.edited,
        )


def _account(seed: int, index: int) -> Account:
    zone, zone_id, currency, name = _MARKETS[index % len(_MARKETS)]
    dice = Dice(seed, f"account/{index}")
    # The index stands inside the number so that two accounts can never share one.
    number = f"{dice.between(10, 98)}{dice.below(10**6):06d}{index:03d}{dice.below(10**4):04d}"
    return Account(
        id=number,
        name=name if index < len(_MARKETS) else f"{name} ({index // len(_MARKETS) + 1})",
        currency=currency,
        timezone_name=zone,
        timezone_id=zone_id,
        status=1,
        created=date(2021, dice.between(1, 11), dice.between(1, 28)),
        index=index,
    )
