/* The board: what is chosen (kept in the address), the keys, and when each part is drawn. */
"use strict";

(() => {
  const { id, text, attribute, show } = perpwatch.dom;
  const { model, transport, freshness, strip, ranked, why, plots, book } = perpwatch;
  const { state } = model;
  const TICK_MS = 250;
  const DRAW_MS = 1000;

  // What the person chose. Without an event the top one is shown, and follows the ranking.
  const view = { event: null, symbol: null, family: "", range: "10m" };
  let rangeGiven = false;
  let rows = [];
  let lastRow = null;
  let offset = 0;
  let delays = [];
  let heavy = true;
  let spokenCount = "";

  // ---- the address ----

  const readAddress = () => {
    const given = new URLSearchParams(location.search);
    view.event = given.get("event");
    view.symbol = given.get("symbol");
    view.family = given.get("family") ?? "";
    rangeGiven = given.has("range");
    view.range = ["10m", "1h", "run"].includes(given.get("range")) ? given.get("range") : defaultRange();
  };
  // A recording is looked at as a whole, a live market at its last minutes.
  const defaultRange = () => (state.status?.mode === "REPLAY" ? "run" : "10m");

  const writeAddress = (asStep) => {
    const params = new URLSearchParams();
    if (view.event) params.set("event", view.event);
    if (view.symbol) params.set("symbol", view.symbol);
    if (view.family) params.set("family", view.family);
    if (rangeGiven) params.set("range", view.range);
    const address = `${location.pathname}${params.size ? `?${params}` : ""}`;
    if (address === location.pathname + location.search) return;
    history[asStep ? "pushState" : "replaceState"](null, "", address);
  };

  const chooseEvent = (key, asStep = true) => {
    const row = state.rows.get(key);
    if (!row) return;
    view.event = key;
    view.symbol = row.symbol;
    writeAddress(asStep);
    drawHeavy();
  };

  const chooseCell = (symbol, ms) => {
    const near = [...state.rows.values()]
      .filter((row) => row.symbol === symbol && (!view.family || row.family === view.family))
      .sort(model.before);
    const then = near.find((row) => row.first_ms <= ms + model.BUCKET_MS && row.last_ms >= ms);
    view.symbol = symbol;
    view.event = (then ?? near[0])?.id ?? null;
    writeAddress(true);
    drawHeavy();
  };

  // ---- what is chosen now ----

  const chosenRow = () => {
    if (view.event) {
      lastRow = state.rows.get(view.event) ?? (lastRow?.id === view.event ? lastRow : null);
      return lastRow;
    }
    return (view.symbol ? rows.find((row) => row.symbol === view.symbol) : rows[0]) ?? null;
  };
  const chosenSymbol = (row) => view.symbol ?? row?.symbol ?? state.symbols[0] ?? null;

  // ---- drawing ----

  const eventNow = () => {
    const { status } = state;
    if (!status?.event_time_ms) return 0;
    const live = ["LIVE", "DRILL"].includes(status.mode) && !status.ended;
    return status.event_time_ms + (live ? Math.min(transport.sinceFrame(), freshness.STALE_MS) : 0);
  };

  const drawLight = () => {
    const since = transport.sinceFrame();
    strip.draw(state, since);
    const score = freshness.age(state.status, "score", since);
    const rank = freshness.age(state.status, "rank", since);
    const silent = !state.status?.ended && [score, rank].some(({ state: found }) => found === "stale");
    show(id("ranked-stale"), silent);
    if (silent) {
      const until = state.scoredTo ? `; this ranking is of ${perpwatch.format.utc(state.scoredTo)} UTC` : "";
      text(id("ranked-stale"), `Models are silent for ${perpwatch.format.span(Math.max(score.ms ?? 0, rank.ms ?? 0))}${until}.`);
    }
    attribute(id("ranked-panel"), "data-trust", silent ? "lost" : "kept");
  };

  const drawHeavy = () => {
    if (!rangeGiven) view.range = defaultRange();
    const now = eventNow();
    rows = ranked.draw(state, view, now);
    const row = chosenRow();
    const symbol = chosenSymbol(row);
    ranked.mark(state, row?.id ?? null, now);
    why.draw(state, row, freshness.doubt(state.status, transport.sinceFrame()));
    fetchSeries(symbol);
    plots.heatmap(view, symbol);
    plots.prices(symbol);
    book.draw(symbol, state.books[symbol]);
    for (const button of document.querySelectorAll("[data-choice]")) {
      attribute(button, "aria-pressed", String(view[button.dataset.choice] === button.dataset.value));
    }
    const count = rows.length ? `${rows.length} anomalies, first ${rows[0].symbol} ${rows[0].family}` : "no anomalies";
    if (count !== spokenCount) text(id("say-politely"), count);
    spokenCount = count;
  };

  let asking = false;
  const fetchSeries = async (symbol) => {
    const held = state.series;
    if (!symbol || asking || (held.symbol === symbol && !held.stale)) return;
    asking = true;
    try {
      const reply = await fetch(`/api/series?symbol=${encodeURIComponent(symbol)}`, { signal: AbortSignal.timeout(2500), cache: "no-store" });
      const { points } = await reply.json();
      state.series = { symbol, points, stale: false };
      plots.prices(symbol);
    } catch {
      // Asked again with the next drawing.
    } finally {
      asking = false;
    }
  };

  // ---- the viewer's own delay: from the server's send to after the paint ----

  const measure = (frame) => {
    if (frame.kind === "snapshot") return;
    requestAnimationFrame(() =>
      setTimeout(() => {
        delays = [...delays.slice(-14), Math.max(0, transport.clock() + offset - frame.t_server)];
        const median = [...delays].sort((a, b) => a - b)[delays.length >> 1];
        text(id("delay"), median < 10_000 ? `${Math.round(median)} ms` : perpwatch.format.span(median));
      }),
    );
  };

  // ---- keys and clicks ----

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select")) return;
    if (event.key === "j" || event.key === "k") {
      const next = ranked.neighbour(chosenRow()?.id, event.key === "j" ? 1 : -1);
      if (next) chooseEvent(next, false);
    } else if (event.key === "Enter" && !event.target.closest?.("button, a")) {
      id("why-panel").focus();
    } else if (event.key === "Escape") {
      view.event = null;
      view.symbol = null;
      ranked.release();
      id("why-panel").blur();
      writeAddress(true);
      drawHeavy();
    }
  };

  const onClick = (event) => {
    const button = event.target.closest?.("[data-choice]");
    if (!button) return;
    view[button.dataset.choice] = button.dataset.value;
    if (button.dataset.choice === "range") rangeGiven = true;
    writeAddress(true);
    drawHeavy();
  };

  // ---- start ----

  const mounted = () =>
    new Promise((resolve) => {
      const ready = () => id("board") && id("heatmap") && window.Plotly && window.dash_ag_grid;
      const look = setInterval(() => {
        if (!ready()) return;
        clearInterval(look);
        resolve();
      }, 20);
    });

  // The names of the markets come with the first frame.
  const offerDrills = () => (state.symbols.length ? perpwatch.drill.attach(state.symbols) : setTimeout(offerDrills, DRAW_MS));

  const start = async () => {
    let paint = false;
    // Frames may come before the page's parts exist: the model takes them at once, the parts are drawn when they are there.
    let drawing = false;
    transport.start(model, (frame) => {
      heavy = model.takeDirty().size > 0 || heavy;
      if (!drawing) return;
      if (!paint) {
        paint = true;
        requestAnimationFrame(() => {
          paint = false;
          drawLight();
        });
      }
      measure(frame);
    });
    await mounted();
    readAddress();
    drawHeavy();
    drawLight();
    drawing = true;
    plots.attach(chooseCell);
    ranked.attach(chooseEvent).then(drawHeavy);
    offerDrills();
    transport.clockOffset().then((found) => {
      offset = found;
      delays = [];
    });
    setInterval(drawLight, TICK_MS);
    setInterval(() => {
      // Ages of rows move even when nothing new comes.
      if (heavy || ["LIVE", "DRILL"].includes(state.status?.mode)) drawHeavy();
      heavy = false;
    }, DRAW_MS);
    addEventListener("popstate", () => {
      readAddress();
      drawHeavy();
    });
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHeavy);
  };

  start();
})();
