/* What the screen may claim. The same rule as dashboards/freshness.py, plus the one failure only a browser can see:
   that the server itself has fallen silent. A browser test holds the two together. */
"use strict";

perpwatch.freshness = (() => {
  const STALE_MS = 3000;

  /** Why guardrail verdicts cannot be believed `sinceMs` after the frame that brought `status`; null when they can. */
  const doubt = (status, sinceMs) => {
    if (!status) return "no word from the server yet";
    if (sinceMs > STALE_MS) return "the board's server is silent";
    if (!status.store_ok) return "the data store does not answer";
    if (status.mode === null) return "no window has arrived yet";
    if (status.ended) return "the run has ended";
    if (status.mode === "HISTORY") return "catching up on history";
    for (const role of ["feed", "guard"]) {
      const age = status.ages_ms[role];
      if (age === null || age === undefined) return `${role} has not been seen to advance`;
      if (age + sinceMs > STALE_MS) return `${role} is silent`;
    }
    if (["LIVE", "DRILL"].includes(status.mode) && status.guard_lag_ms > STALE_MS) return "guard is behind the feed";
    return null;
  };

  /** A tile as it may be shown. The server judged it when it sent it; this judges it now. */
  const shown = (tile, reason) => {
    if (reason === null) return tile;
    const known = tile.state === "unknown" ? tile.text : `${reason}; last known: ${[tile.state, tile.rule].filter(Boolean).join(", ")}`;
    const text = known.startsWith(reason) && tile.state !== "ok" ? known : reason;
    return { ...tile, state: "unknown", rule: "", symbols: [], more: 0, text, since_ms: null, rests_on: null };
  };

  /** "fresh", "stale" or "unknown" for one role's age. */
  const age = (status, role, sinceMs) => {
    const value = status ? status.ages_ms[role] : null;
    if (value === null || value === undefined) return { state: "unknown", ms: null };
    const ms = value + sinceMs;
    return { state: ms > STALE_MS || !status.store_ok ? "stale" : "fresh", ms };
  };

  return { STALE_MS, doubt, shown, age };
})();
