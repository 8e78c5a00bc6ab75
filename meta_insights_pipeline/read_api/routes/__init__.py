"""The routes that read: each checks its parameters, has the warehouse's reading room ask, and puts the answer together."""

from collections.abc import Sequence

from fastapi import APIRouter

from meta_insights_pipeline.read_api.routes import accounts, entities, overview, recent, reconciliation, search, syncs


def routers() -> Sequence[APIRouter]:
    """Every route that reads, below /meta/insights."""
    return [module.router for module in (overview, entities, recent, accounts, search, reconciliation, syncs)]
