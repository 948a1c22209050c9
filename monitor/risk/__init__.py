"""`perpwatch risk`: the rules of margin and what follows from them, for people and scripts.

Each command prints tables, or one JSON object with --json. The engine is imported within the commands: it imports numba, which
must know its cache folder before a run begins.
"""
