"""The scoreboard: what the detectors, the guard and the baselines made of drills whose truth is known."""
