"""Fixed thresholds: each metric over the limit that an operations handbook would give it, whatever is usual here.

The limits are those of the guardrail pack `core`, of the risk specification's published benchmarks, or plain round figures
(marked "proposal"). They were written down once and are not fitted to any run.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from models.baselines.columns import Floats, widest


class Rule(msgspec.Struct, frozen=True):
    """|metric| ÷ max(`over`, `least`) counts in multiples of `limit`; without `over`, |metric| itself."""

    metric: str
    limit: float
    source: str
    over: str = ""
    least: float = 1.0


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "cancels": (
        Rule("messages", 1600.0, "core, message_rate: warn"),
        Rule("slow_fleeting_cancels", 1 / 3, "RISK-SPEC 10: a third of orders were fleeting on INET", "adds", 50.0),
        Rule("order_to_trade_ratio", 250.0, "proposal; exchanges' limits a day lie between 100 and 1,000"),
        Rule("rejects", 100.0, "proposal"),
    ),
    "depth": (
        Rule("usual_depth_usd", 2.0, "proposal: half of the usual depth is gone", "depth_bid_5_usd"),
        Rule("usual_depth_usd", 2.0, "proposal: half of the usual depth is gone", "depth_ask_5_usd"),
        Rule("spread_bps", 10.0, "proposal: a usual obligation of market makers"),
        Rule("slippage_buy_bps", 10.0, "proposal"),
        Rule("slippage_sell_bps", 10.0, "proposal"),
    ),
    "leverage": (
        Rule("hhi_open_interest", 0.15, "core, open_interest_concentration: warn"),
        Rule("top_position_share", 0.25, "proposal"),
        Rule("leverage_weighted", 25.0, "proposal"),
        Rule("leverage_p90", 50.0, "proposal"),
        Rule("bankruptcies_1pct_to_depth", 1.0, "proposal: a fall of 1% would bankrupt more than the book bears"),
        Rule("liquidations", 10.0, "proposal"),
    ),
    "prices": (
        Rule("mark_index_bps", 100.0, "core, mark_index_divergence: warn"),
        Rule("mark_last_bps", 100.0, "as mark against index"),
        Rule("mid_index_bps", 100.0, "as mark against index"),
        Rule("index_age_ms", 5000.0, "core, index_staleness: warn"),
        Rule("mark_age_ms", 5000.0, "core, mark_staleness: warn"),
    ),
    "market": (
        Rule("messages", 1600.0, "core, message_rate: warn"),
        Rule("return_bps", 100.0, "proposal: a third of core's price bound of a minute, in one second"),
        Rule("liquidations", 10.0, "proposal"),
        Rule("mark_index_bps", 100.0, "core, mark_index_divergence: warn"),
    ),
}
"""The rules of each family."""


class Static:
    """The largest multiple of a limit among a family's rules; a rule whose metric is missing says nothing."""

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self._rules = RULES[family]
        self._where = {name: column for column, name in enumerate(metric_names)}

    def score(self, values: Floats) -> Floats:
        """See `Baseline`: 1 is a limit reached. It learns nothing and speaks from the first window on."""
        return widest(np.stack([self._multiple(rule, values) for rule in self._rules], axis=-1))

    def _multiple(self, rule: Rule, values: Floats) -> Floats:
        measured = np.abs(self._column(rule.metric, values))
        if rule.over:
            measured = measured / np.maximum(self._column(rule.over, values), rule.least)
        return np.where(np.isfinite(measured), measured / rule.limit, np.nan)

    def _column(self, metric: str, values: Floats) -> Floats:
        at = self._where.get(metric)
        return np.full(values.shape[:2], np.nan) if at is None else values[:, :, at]
