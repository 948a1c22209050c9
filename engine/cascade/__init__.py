"""Cascades: what a shock becomes when forced sales move prices, and prices force more. `docs/cascade.md` has the rules."""
