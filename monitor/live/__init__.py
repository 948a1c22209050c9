"""Live public streams of venues: connections, snapshots and gaps, and the spool in which all of it is kept.

`monitor.roles.capture` holds the connections and appends what comes to the spool; feed reads the spool as a recording that
grows (`monitor.sources.live`). So frames go on to be kept while feed is away, and what a run saw can be replayed.
"""
