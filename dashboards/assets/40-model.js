/* The client's copy of the read model: frames in, state out. Knows nothing of the page. */
"use strict";

perpwatch.model = (() => {
  const BUCKET_MS = 5000;
  const BUCKETS = 120;
  const POINTS = 600;

  const state = {
    epoch: "",
    seq: -1,
    status: null,
    symbols: [],
    tiles: [],
    verdicts: [],
    rows: new Map(),
    heat: new Map(),
    covered: new Set(),
    scoredTo: null,
    books: {},
    odds: null,
    series: { symbol: null, points: [], stale: true },
  };
  let dirty = new Set();

  const forget = () => {
    state.rows = new Map();
    state.heat = new Map();
    state.covered = new Set();
    state.scoredTo = null;
    state.books = {};
    state.odds = null;
    state.series.stale = true;
    dirty = new Set(["tiles", "rows", "heat", "books", "series"]);
  };

  const cells = (list) => {
    for (const [bucket, symbol, family, value] of list) {
      let row = state.heat.get(bucket);
      if (!row) state.heat.set(bucket, (row = new Map()));
      const key = `${symbol}\t${family}`;
      row.set(key, Math.max(value, row.get(key) ?? 0));
    }
  };

  const points = (added) => {
    const held = state.series;
    if (added === null) {
      held.stale = true;
      return;
    }
    const last = held.points.length ? held.points[held.points.length - 1][0] : -Infinity;
    const fresh = (added[held.symbol] ?? []).filter((point) => point[0] > last);
    if (!held.stale && fresh.length) held.points = [...held.points, ...fresh].slice(-POINTS);
  };

  const merge = (delta) => {
    if (delta.symbols) state.symbols = delta.symbols;
    if (delta.tiles) state.tiles = delta.tiles;
    if (delta.verdicts) state.verdicts = delta.verdicts;
    if (delta.odds) state.odds = delta.odds;
    for (const row of delta.rows ?? []) state.rows.set(row.id, row);
    for (const id of delta.gone ?? []) state.rows.delete(id);
    if (delta.heat) cells(delta.heat);
    for (const bucket of delta.covered ?? []) state.covered.add(bucket);
    if (delta.scored_to_ms !== undefined) state.scoredTo = delta.scored_to_ms;
    if (delta.books) Object.assign(state.books, delta.books);
    if (delta.series !== undefined) points(delta.series);
    if (delta.tiles || delta.verdicts) dirty.add("tiles");
    if (delta.rows || delta.gone || delta.odds) dirty.add("rows");
    if (delta.heat || delta.covered || delta.symbols || delta.scored_to_ms !== undefined) dirty.add("heat");
    if (delta.books) dirty.add("books");
    if (delta.series !== undefined) dirty.add("series");
  };

  const prune = () => {
    const oldest = lastBucket() - BUCKETS;
    for (const bucket of state.heat.keys()) if (bucket < oldest) state.heat.delete(bucket);
    for (const bucket of state.covered) if (bucket < oldest) state.covered.delete(bucket);
  };

  const lastBucket = () => Math.ceil((state.status?.event_time_ms ?? 0) / BUCKET_MS) - 1;

  /** Take one frame. "gap": it does not follow what is held, and nothing was changed. */
  const apply = (frame) => {
    if (frame.kind === "snapshot") {
      forget();
      state.epoch = frame.epoch;
      state.seq = frame.seq;
    } else if (frame.epoch !== state.epoch) {
      return "gap";
    } else if (frame.kind === "delta") {
      if (frame.seq <= state.seq) return "old";
      if (frame.seq !== state.seq + 1) return "gap";
      state.seq = frame.seq;
    } else if (frame.seq > state.seq) {
      return "gap";
    }
    state.status = frame.status;
    merge(frame.delta);
    prune();
    return "taken";
  };

  const held = () => `${state.epoch}:${state.seq}`;
  const takeDirty = () => {
    const taken = dirty;
    dirty = new Set();
    return taken;
  };

  /** The order of anomalies everywhere. */
  const before = (a, b) =>
    a.far - b.far || b.score - a.score || a.end_ms - b.end_ms || (a.symbol < b.symbol ? -1 : a.symbol > b.symbol ? 1 : 0) || (a.family < b.family ? -1 : 1);

  return { BUCKET_MS, BUCKETS, state, apply, held, takeDirty, lastBucket, before };
})();
