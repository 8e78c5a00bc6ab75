"""A request as Graph understands it: version, object, edge, and what kind of call that makes.

Belongs here: reading paths. Does not belong here: answering.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from meta_insights_pipeline.simulator.messages import SimRequest
from meta_insights_pipeline.simulator.structure import account_index_of
from meta_insights_pipeline.simulator.world import World

NEWEST_VERSION = (26, 0)
OLDEST_VERSION = (25, 0)
_VERSION = re.compile(r"v(\d+)\.(\d+)$")
_EDGES = frozenset({"campaigns", "adsets", "ads", "adcreatives"})


@dataclass(frozen=True)
class Call:
    """One call of the API."""

    method: str
    path: str
    """The path as asked for."""
    node: str
    edge: str
    kind: str
    account_id: str
    """The ad account concerned, without `act_`; empty if none."""
    version: tuple[int, int]
    """The version asked for."""
    params: Mapping[str, str]
    headers: Mapping[str, str]
    base: str
    """Scheme and host for absolute links."""

    @property
    def served(self) -> tuple[int, int]:
        """The version that answers: one that is gone is upgraded, as Meta does."""
        return self.version if OLDEST_VERSION <= self.version <= NEWEST_VERSION else NEWEST_VERSION

    @property
    def url(self) -> str:
        """The address of the call without its query."""
        return f"{self.base}{self.path}"


def read_call(request: SimRequest, world: World, base: str) -> Call:
    """Read the path and parameters of a request; accounts of report runs are not known here."""
    parts = [part for part in request.path.split("/") if part]
    version = NEWEST_VERSION
    if parts and (found := _VERSION.match(parts[0])):
        version = (int(found[1]), int(found[2]))
        parts = parts[1:]
    params = request.params
    method = params.get("method", request.method).upper() if request.method == "POST" else request.method
    node, edge = (parts[0] if parts else ""), "/".join(parts[1:])
    return Call(
        method=method,
        path=request.path,
        node=node,
        edge=edge,
        kind=_kind(method, node, edge),
        account_id=_account_of(node, world),
        version=version,
        params=params,
        headers=request.headers,
        base=f"http://{request.headers['host']}" if request.headers.get("host") else base,
    )


def is_run_id(node: str) -> bool:
    """Tell whether an id has the form of a report run's."""
    return node.isdecimal() and len(node) == 16 and node.startswith("602")


def _account_of(node: str, world: World) -> str:
    if node.startswith("act_"):
        return node.removeprefix("act_")
    index = account_index_of(node)
    return world.accounts[index].id if index is not None and index < len(world.accounts) else ""


def _kind(method: str, node: str, edge: str) -> str:
    named = {
        ("", ""): "batch" if method == "POST" else "other",
        ("me", ""): "me",
        ("me", "adaccounts"): "accounts",
        ("me", "permissions"): "permissions",
        ("debug_token", ""): "debug_token",
    }
    if (node, edge) in named:
        return named[node, edge]
    if edge == "insights":
        kind = "create_run" if method == "POST" else "insights"
        return "run_insights" if is_run_id(node) else kind
    if edge:
        return "structure" if edge in _EDGES else "other"
    if is_run_id(node):
        return "run_status"
    return "account" if node.startswith("act_") else "object"
