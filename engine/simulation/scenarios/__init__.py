"""The scenarios by name: what a market can be made to go through, one module each. See `engine.simulation.scenario`."""

from __future__ import annotations

from typing import Final

from engine.simulation.scenario import Scenario
from engine.simulation.scenarios.bad_constituent import BadConstituent
from engine.simulation.scenarios.cancel_storm import CancelStorm
from engine.simulation.scenarios.cascade import Cascade
from engine.simulation.scenarios.clustered_stops import ClusteredStops
from engine.simulation.scenarios.collateral_withdrawn import CollateralWithdrawn
from engine.simulation.scenarios.correlation_one import CorrelationOne
from engine.simulation.scenarios.engine_gap import EngineGap
from engine.simulation.scenarios.funding_dip import FundingDip
from engine.simulation.scenarios.funding_volatility import FundingVolatility
from engine.simulation.scenarios.honest_requotes import HonestRequotes
from engine.simulation.scenarios.large_trader import LargeTrader
from engine.simulation.scenarios.layering import Layering
from engine.simulation.scenarios.leverage_ramp import LeverageRamp
from engine.simulation.scenarios.leverage_setting import LeverageSetting
from engine.simulation.scenarios.maker_gone import MakerGone
from engine.simulation.scenarios.mark_last_apart import MarkLastApart
from engine.simulation.scenarios.market_open import MarketOpen
from engine.simulation.scenarios.new_listing import NewListing
from engine.simulation.scenarios.news_shock import NewsShock
from engine.simulation.scenarios.planned_halt import PlannedHalt
from engine.simulation.scenarios.quote_stuffing import QuoteStuffing
from engine.simulation.scenarios.retry_storm import RetryStorm
from engine.simulation.scenarios.slow_thinning import SlowThinning
from engine.simulation.scenarios.stale_index import StaleIndex
from engine.simulation.scenarios.toxic_flow import ToxicFlow

SCENARIOS: Final[dict[str, type[Scenario]]] = {
    scenario.name: scenario
    for scenario in (
        QuoteStuffing,
        Layering,
        CancelStorm,
        MakerGone,
        SlowThinning,
        LeverageRamp,
        LeverageSetting,
        CollateralWithdrawn,
        ClusteredStops,
        StaleIndex,
        BadConstituent,
        MarkLastApart,
        FundingVolatility,
        ToxicFlow,
        RetryStorm,
        CorrelationOne,
        EngineGap,
        Cascade,
        NewsShock,
        MarketOpen,
        FundingDip,
        PlannedHalt,
        NewListing,
        LargeTrader,
        HonestRequotes,
    )
}
