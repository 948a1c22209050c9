"""Drills: scenarios of the simulated market, run through the detectors and the guard, and what they left."""
