"""An offline Graph API: ad accounts, Ads Insights, report runs, limits and faults, with no network and no credentials.

Start at `Simulator` (one handler for every request), reach it through `SimulatorAdapter` (a transport of `requests`,
no socket) or `SimulatorServer` (HTTP), and ask `truth` and `entity_truth` what tables should hold. Nothing here knows any
client.
"""

from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
from meta_insights_pipeline.simulator.auth import TokenInfo
from meta_insights_pipeline.simulator.clock import Clock, SimulatedClock, WallClock
from meta_insights_pipeline.simulator.entity_truth import entity_truth
from meta_insights_pipeline.simulator.faults import FaultPlan, FaultRule
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.truth import Truth, truth
from meta_insights_pipeline.simulator.world import Account, World, WorldSpec

__all__ = [
    "Account",
    "Clock",
    "FaultPlan",
    "FaultRule",
    "SimRequest",
    "SimResponse",
    "SimulatedClock",
    "Simulator",
    "SimulatorAdapter",
    "SimulatorServer",
    "TokenInfo",
    "Truth",
    "WallClock",
    "World",
    "WorldSpec",
    "entity_truth",
    "truth",
]
