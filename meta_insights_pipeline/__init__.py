"""Meta (Facebook) Ads Insights, collected through Dagster into DuckDB.

Rooms, in the direction in which data flows; each imports only what stands before it:
`catalog` (what can be asked), `graph_api` (the HTTP client), `simulator` (a Graph API anyone can run),
`collector` (plans and reads reports), `warehouse` (DuckDB), `defs` (Dagster), `cli`.
Importing this package does nothing; import the module that you need. The names of the library, for programs that collect
without Dagster, are loaded from `library` when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meta_insights_pipeline.collector.rows import ActionRow, InsightRow
    from meta_insights_pipeline.library import (
        InsightsError,
        InsightsResult,
        MetaInsightsCollector,
        MissingInsights,
    )

__all__ = [
    "ActionRow",
    "InsightRow",
    "InsightsError",
    "InsightsResult",
    "MetaInsightsCollector",
    "MissingInsights",
]

# Hidden from type checkers, which would take any other name for one that is there.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.library"), name)
