/* The ranked anomalies: row transactions by id, re-sorted at most once a second, order held while somebody is looking. */
"use strict";

perpwatch.ranked = (() => {
  const { id, text, show } = perpwatch.dom;
  const { utc, span, score } = perpwatch.format;
  const RANGES_MS = { "10m": 600_000, "1h": 3_600_000, run: Infinity };

  let api = null;
  let shown = new Map(); // id → row data as the grid holds it
  let order = []; // ids as ranked on the screen
  let chosen = null;
  const hold = { over: false, focused: false };

  /** Rows that pass the filters, best first. */
  const wanted = (state, view, now) =>
    [...state.rows.values()]
      .filter((row) => (!view.family || row.family === view.family) && row.last_ms >= now - RANGES_MS[view.range])
      .sort(perpwatch.model.before);

  /** What the strongest line says, and of how many others the event is. */
  const others = (own, members, of) => {
    const more = new Set((members ?? []).map(of).filter((name) => name !== own)).size;
    return more ? `${own} +${more}` : own;
  };

  /** Stated against realised: what is in the panel's foot. */
  const odds = (told) => {
    if (!told?.rates) return "";
    const rates = told.rates.map(([stated, expected, seen]) => `${seen} at ${stated} (${expected} stated)`);
    const drifted = (told.drifts ?? []).map((one) => `${utc(one.at_ms)} ${one.symbol}: ${one.text}`);
    return `${told.alerts} ${told.alerts === 1 ? "alert" : "alerts"} today · lines of the run: ${rates.join(", ")}${drifted.length ? ` · drift ${drifted.join("; ")}` : ""}`;
  };

  const cells = (row, rank, now) => ({
    id: row.id,
    chosen: row.id === chosen,
    rank,
    symbol: others(row.symbol, row.members, (one) => one.symbol),
    family: others(row.family, row.members, (one) => one.text.split(" ")[0]),
    far_text: row.far_text,
    score_text: score(row.score),
    driver: [row.alert ? "ALERT" : "", row.phase === "DRILL" ? "DRILL" : "", row.expected ? "expected" : row.kind, row.driver].filter(Boolean).join(" · "),
    time: utc(row.end_ms),
    window: row.window_ms < 1000 ? `${row.window_ms} ms` : `${row.window_ms / 1000} s`,
    rarity_text: row.rarity_text,
    age: span(Math.max(0, now - row.last_ms)).replace(/\.\d s$/, " s"),
  });
  const same = (a, b) => Object.keys(a).every((key) => a[key] === b[key]);

  /** Put rows into the grid. While held, values change in place; places, arrivals and departures wait. */
  const draw = (state, view, now) => {
    const rows = wanted(state, view, now);
    const held = api && order.length > 0 && (hold.over || hold.focused);
    let waiting = 0;
    if (held) {
      const present = new Set(order);
      waiting = rows.filter((row) => !present.has(row.id)).length;
    } else {
      order = rows.map((row) => row.id);
    }
    if (api) transact(state, now);
    // One takes the other's place: the head must not grow, or the held rows would move after all.
    show(id("ranked-held"), Boolean(held));
    show(id("ranked-count"), !held);
    if (held) text(id("ranked-held"), waiting ? `order held, ${waiting} new waiting` : "order held");
    text(id("ranked-count"), `${rows.length} ${rows.length === 1 ? "event" : "events"}`);
    show(id("ranked-empty"), rows.length === 0);
    text(id("ranked-odds"), odds(state.odds));
    return rows;
  };

  const transact = (state, now) => {
    const next = new Map();
    const add = [];
    const update = [];
    order.forEach((key, place) => {
      const row = state.rows.get(key);
      const old = shown.get(key);
      if (!row && !old) return;
      const data = row ? cells(row, place + 1, now) : { ...old, chosen: key === chosen, rank: place + 1 };
      next.set(key, data);
      if (!old) add.push(data);
      else if (!same(data, old)) update.push(data);
    });
    const remove = [...shown.values()].filter((data) => !next.has(data.id));
    shown = next;
    if (add.length || update.length || remove.length) api.applyTransaction({ add, update, remove });
  };

  /** Mark the row of the event `key`, and bring it into sight when it was not the chosen one before. */
  const mark = (state, key, now) => {
    const moved = key !== chosen;
    chosen = key;
    if (!api) return;
    transact(state, now);
    for (const row of document.querySelectorAll("#ranked .ag-row")) {
      perpwatch.dom.attribute(row, "aria-selected", String(row.getAttribute("row-id") === key));
    }
    const node = moved && key && !hold.over ? api.getRowNode(key) : null;
    if (node) api.ensureNodeVisible(node);
  };

  /** The id `step` places from `key` on the screen; the first one if `key` is not there. */
  const neighbour = (key, step) => {
    const place = order.indexOf(key);
    return place < 0 ? order[0] : order[Math.min(order.length - 1, Math.max(0, place + step))];
  };

  const fit = () => {
    if (!api) return;
    const width = id("ranked").clientWidth;
    api.setColumnsVisible(["rarity_text", "window"], width > 700);
    api.setColumnsVisible(["time", "score_text"], width > 560);
    api.setColumnsVisible(["age", "rank"], width > 440);
  };

  const watchHold = (element) => {
    element.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") hold.over = true;
    });
    element.addEventListener("pointerleave", () => {
      hold.over = false;
    });
  };

  /** Take over the grid once Dash has made it. `choose(id)` is called when a person picks a row. */
  const attach = async (choose) => {
    const grid = await dash_ag_grid.getApiAsync("ranked");
    const box = document.querySelector("#ranked .ag-body-viewport") ?? id("ranked");
    watchHold(box);
    watchHold(id("why-panel"));
    box.addEventListener("focusin", (event) => {
      hold.focused = event.target.matches(":focus-visible");
    });
    box.addEventListener("focusout", () => {
      hold.focused = false;
    });
    grid.addEventListener("rowClicked", (event) => choose(event.data.id));
    grid.addEventListener("cellFocused", (event) => {
      const node = event.rowIndex === null ? null : grid.getDisplayedRowAtIndex(event.rowIndex);
      if (node && hold.focused) choose(node.data.id);
    });
    new ResizeObserver(fit).observe(id("ranked"));
    api = grid;
    fit();
  };

  const release = () => {
    hold.focused = false;
    if (id("ranked").contains(document.activeElement)) document.activeElement.blur();
  };

  return { attach, draw, mark, neighbour, release, order: () => order };
})();
