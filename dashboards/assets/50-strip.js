/* The trust strip, the banner under it, the guardrail tiles, and what is said aloud. */
"use strict";

perpwatch.strip = (() => {
  const { id, text, attribute, show } = perpwatch.dom;
  const { utc, utcFull, span } = perpwatch.format;
  const { doubt, shown, age, STALE_MS } = perpwatch.freshness;
  const WORDS = { ok: "OK", warn: "WARN", breach: "BREACH", halt: "HALT", unknown: "UNKNOWN" };
  const spoken = { tiles: null, lost: null, drill: false };

  /** What is wrong, in one sentence: whether it is a fault or only a fact, and whether everything on the screen is old. */
  const trouble = (status, sinceMs) => {
    const asOf = status?.event_time_ms ? ` Shown is the state of ${utc(status.event_time_ms)} UTC.` : "";
    if (!status) return sinceMs > STALE_MS ? { kind: "fault", words: "No word from the board's server yet." } : null;
    if (sinceMs > STALE_MS) return { kind: "fault", everything: true, words: `Connection lost: no word from the board's server for ${span(sinceMs)}.${asOf}` };
    if (!status.store_ok) return { kind: "fault", everything: true, words: `The data store has not answered for ${span((status.store_down_ms ?? 0) + sinceMs)}.${asOf}` };
    if (status.ended) return { kind: "fact", words: `This run has ended.${asOf}` };
    if (status.mode === null) return { kind: "fact", words: "Waiting for the first window." };
    if (status.mode === "HISTORY") return { kind: "fact", words: "Catching up on history; live figures follow." };
    const feed = age(status, "feed", sinceMs);
    if (feed.state === "stale") return { kind: "fault", everything: true, words: `Feed is silent: no new window for ${span(feed.ms)}.${asOf}` };
    const guard = age(status, "guard", sinceMs);
    if (guard.state === "stale") return { kind: "fault", words: `Guard is silent for ${span(guard.ms)}: the guardrails are unknown.` };
    if (status.mode === "DRILL") return { kind: "drill", words: "DRILL: somebody asked for what happens now. It is no incident." };
    return null;
  };

  const drawStrip = (status, sinceMs) => {
    const mode = status?.mode ?? "WAITING";
    text(id("mode"), status ? (status.ended ? `${mode} ENDED` : mode) : "CONNECTING");
    attribute(id("mode"), "data-mode", status?.ended ? "ENDED" : mode);
    if (!status) return;
    text(id("event-time"), status.event_time_ms ? utcFull(status.event_time_ms) : "–");
    for (const role of ["feed", "guard", "score", "rank"]) {
      const { state, ms } = age(status, role, sinceMs);
      const box = id(`age-${role}`);
      attribute(box, "data-state", status.ended ? "ended" : state);
      const words = ms === null ? "not seen" : state === "stale" ? `silent ${span(ms)}` : span(ms);
      text(box.querySelector(".age-text"), status.ended ? "ended" : words);
    }
    const faults = Object.entries(status.faults).map(([kind, count]) => `${count} ${kind}`);
    text(id("feed-faults"), faults.join(" · "));
  };

  const drawBanner = (status, sinceMs) => {
    const found = trouble(status, sinceMs);
    show(id("banner"), found !== null);
    if (found) {
      attribute(id("banner"), "data-kind", found.kind);
      text(id("banner-text"), found.words);
    }
    attribute(id("board"), "data-trust", found?.everything ? "lost" : "kept");
    if (found?.kind === "drill" && !spoken.drill) text(id("say-now"), "A drill has begun.");
    spoken.drill = found?.kind === "drill";
    const lost = found?.kind === "fault" ? found.words.split(/[:.]/)[0] : "";
    if (spoken.lost !== null && lost !== spoken.lost) text(id("say-now"), lost || "Live again.");
    spoken.lost = lost;
  };

  const drawTile = (given, reason) => {
    const tile = shown(given, reason);
    const box = id(`tile-${tile.layer}`);
    attribute(box, "data-state", tile.state);
    attribute(box, "data-rests", tile.rests_on ? "broken" : "sound");
    text(box.querySelector(".tile-word"), WORDS[tile.state]);
    const where = tile.symbols.join(", ") + (tile.more ? ` and ${tile.more} more` : "");
    text(box.querySelector(".tile-what"), [where, tile.rule].filter(Boolean).join(" · "));
    const since = tile.since_ms && tile.state !== "unknown" ? ` since ${utc(tile.since_ms)}` : "";
    text(box.querySelector(".tile-text"), tile.text + since);
    text(box.querySelector(".tile-rests"), tile.rests_on ?? "");
    attribute(box, "title", [where, tile.rule, tile.text, tile.rests_on].filter(Boolean).join("; "));
    return tile;
  };

  const drawTiles = (tiles, reason) => {
    const broken = tiles.map((tile) => drawTile(tile, reason)).filter((tile) => tile.state === "breach" || tile.state === "halt");
    const words = broken.map((tile) => `${tile.layer} ${tile.state}: ${tile.rule} ${tile.symbols.join(", ")}`).join("; ");
    if (words && words !== spoken.tiles) text(id("say-now"), `Guardrail ${words}`);
    spoken.tiles = words;
  };

  /** Bring strip, banner and tiles up to this moment. Cheap: runs several times a second. */
  const draw = (state, sinceMs) => {
    drawStrip(state.status, sinceMs);
    drawBanner(state.status, sinceMs);
    drawTiles(state.tiles, doubt(state.status, sinceMs));
  };

  return { draw };
})();
