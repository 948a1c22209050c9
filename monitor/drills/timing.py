"""When a drill takes place: a fixed calendar in which funding is settled shortly after the history, and how long it goes on."""

from __future__ import annotations

from typing import Final

from engine.simulation import QUIET, SimulationConfig
from engine.simulation.scenarios import SCENARIOS
from engine.simulation.schedule import FUNDING_AFTER_S, Schedule
from monitor.config import STEP_NS

HISTORY_S: Final = 1800
AFTER_S: Final = 30
"""Seconds that a drill goes on after its scenario's end."""

QUIET_S: Final = 300
"""Length of the live part where there is no scenario."""

_SETTLEMENT_NS: Final = 1_767_254_400_000_000_000
"""A whole eight hours: when funding is settled in a drill."""


def start_ns(history_s: int = HISTORY_S) -> int:
    """When a drill's market opens, so that funding is settled `FUNDING_AFTER_S` behind the history."""
    return _SETTLEMENT_NS - int(FUNDING_AFTER_S + history_s) * STEP_NS


def config_of(name: str, seed: int, strength: float = 1.0, history_s: int = HISTORY_S) -> SimulationConfig:
    """The market of one drill. Raises KeyError if there is no scenario of that name."""
    unlisted = "" if name == QUIET else SCENARIOS[name].unlisted
    return SimulationConfig(
        seed=seed, start_ns=start_ns(history_s), history_s=history_s, scenario=name, strength=strength, unlisted=unlisted
    )


def until_ns(config: SimulationConfig, end_ns: int | None) -> int:
    """When a drill whose scenario is over at `end_ns` (None: there is none) ends: a whole second."""
    last_ns = config.history_end_ns + QUIET_S * STEP_NS if end_ns is None else end_ns + AFTER_S * STEP_NS
    return -(-last_ns // STEP_NS) * STEP_NS


def duration_s(name: str, seed: int, strength: float = 1.0) -> int:
    """Seconds of a drill's live part. Raises KeyError if there is no scenario of that name."""
    config = config_of(name, seed, strength)
    planned = Schedule(config).planned
    return (until_ns(config, None if planned is None else planned.end_ns) - config.history_end_ns) // STEP_NS
