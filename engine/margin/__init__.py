"""Margin: ladders, requirements, liquidation prices, levels of accounts, portfolios and the liquidation band."""
