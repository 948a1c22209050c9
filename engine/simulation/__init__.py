"""A seeded market: self-exciting order flow, makers, takers, and incidents with labels. See `flow`."""

from engine.simulation.config import MARKETS, Market, SimulationConfig
from engine.simulation.flow import Simulation
from engine.simulation.injections import Label

__all__ = ["MARKETS", "Label", "Market", "Simulation", "SimulationConfig"]
