"""Deterministic controls: pure rules over metric windows, a state machine with hysteresis, and a hash-chained audit.

Nothing learnt is imported here, nor can it be: a test of the house holds that.
"""
