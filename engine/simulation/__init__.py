"""A seeded market: self-exciting order flow, makers, takers, and scenarios with labels. See `flow`."""

from engine.simulation.config import MARKETS, IndexSeries, Market, SimulationConfig
from engine.simulation.flow import Simulation
from engine.simulation.labels import Label
from engine.simulation.schedule import QUIET, Request

__all__ = ["MARKETS", "QUIET", "IndexSeries", "Label", "Market", "Request", "Simulation", "SimulationConfig"]
