"""Where the numbers come from: the Graph API, or a simulated world in this process. Chosen here and nowhere else."""

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.settings import Settings, SettingsError

_STUB_TOKEN = "stub"  # noqa: S105 - the simulated world takes any token


def open_graph_api(
    settings: Settings,
    *,
    budget: Budget | None = None,
    clock: Clock | None = None,
    retry: RetryPolicy | None = None,
) -> GraphApi:
    """A session for the mode of the settings; nothing is called yet.

    Args:
        settings: Mode, address, version, token.
        budget: Shared with other processes; the session's own when left out.
        clock: The time; the machine's own when left out.
        retry: How patient to be.

    Raises:
        SettingsError: Live mode without a token.
    """
    if settings.mode == "live":
        if settings.access_token is None:
            raise SettingsError(
                "META_INSIGHTS_MODE is live, but META_ACCESS_TOKEN is not set; set it to the token of a system user "
                "with the permission ads_read."
            )
        return GraphApi(
            base_url=settings.graph_api_url,
            version=settings.graph_api_version,
            access_token=settings.access_token.get_secret_value(),
            app_secret=settings.app_secret.get_secret_value() if settings.app_secret else None,
            budget=budget,
            clock=clock,
            retry=retry,
        )
    # The simulator is imported where it is used: live mode does without it, and starts quicker.
    from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
    from meta_insights_pipeline.simulator.clock import WallClock
    from meta_insights_pipeline.simulator.handler import Simulator
    from meta_insights_pipeline.simulator.world import World, WorldSpec

    simulator = Simulator(World(WorldSpec(seed=settings.stub_seed)), WallClock())
    return GraphApi(
        base_url=simulator.base_url,
        version=settings.graph_api_version,
        access_token=_STUB_TOKEN,
        adapter=SimulatorAdapter(simulator),
        budget=budget,
        clock=clock,
        retry=retry,
    )
