/* The heatmap over symbols and time, and the chosen symbol's price lines. Drawn at most once a second. */
"use strict";

perpwatch.plots = (() => {
  const { id, show, text, attribute, colour } = perpwatch.dom;
  const { inert, utc } = perpwatch.format;
  const { BUCKET_MS, BUCKETS, state, lastBucket } = perpwatch.model;
  const STRENGTH_TOP = 10;
  const CONFIG = { displayModeBar: false, doubleClick: false, showTips: false };
  const LINES = [
    { name: "index", at: 1, dash: "solid", width: 1.4 },
    { name: "mark", at: 2, dash: "4px,2px", width: 1.6 },
    { name: "last", at: 3, dash: "solid", width: 1 },
    { name: "mid", at: 4, dash: "1px,2px", width: 1 },
  ];

  const frame = () => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("muted") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("text"), size: 12 } },
    uirevision: "kept",
  });
  const timeAxis = (from, to) => ({
    type: "date",
    range: [from, to],
    fixedrange: true,
    tickformat: "%H:%M",
    nticks: 8,
    showgrid: false,
    zeroline: false,
    color: colour("muted"),
    ticks: "outside",
    ticklen: 3,
    tickcolor: colour("line"),
  });

  /** One cell: strength of the chosen family or the strongest; 0 where models looked and said nothing; null where not. */
  const cell = (bucket, symbol, families) => {
    const row = state.heat.get(bucket);
    let best = 0;
    let who = "";
    for (const family of families) {
      const value = row?.get(`${symbol}\t${family}`) ?? 0;
      if (value > best) [best, who] = [value, family];
    }
    if (who) return [best, who];
    const scored = state.scoredTo !== null && bucket * BUCKET_MS < state.scoredTo;
    return [state.covered.has(bucket) && scored ? 0 : null, "quiet"];
  };

  const heatmap = (view, chosen) => {
    const families = view.family ? [view.family] : ["cancels", "depth", "leverage", "prices"];
    const symbols = [...state.symbols].reverse();
    const last = lastBucket();
    const buckets = Array.from({ length: BUCKETS }, (_, n) => last - BUCKETS + 1 + n);
    const z = [];
    const words = [];
    let loudest = null;
    for (const symbol of symbols) {
      const made = buckets.map((bucket) => cell(bucket, symbol, families));
      z.push(made.map(([value]) => value));
      words.push(made.map(([value, who]) => (value ? `${who}, strength ${value.toFixed(1)}` : who)));
      made.forEach(([value, who], n) => {
        if (value && (!loudest || value > loudest.value)) loudest = { value, who, symbol, at: buckets[n] };
      });
    }
    const steps = [0, 0.18, 0.36, 0.54, 0.76, 1];
    const trace = {
      type: "heatmap",
      x: buckets.map((bucket) => (bucket + 0.5) * BUCKET_MS),
      y: symbols.map(inert),
      z,
      customdata: words,
      zmin: 0,
      zmax: STRENGTH_TOP,
      colorscale: steps.map((at, n) => [at, colour(`heat-${n}`)]),
      xgap: 1,
      ygap: 2,
      hoverongaps: false,
      hovertemplate: "%{y} at %{x|%H:%M:%S}<br>%{customdata}<extra></extra>",
      colorbar: {
        thickness: 8,
        outlinewidth: 0,
        len: 1,
        x: 1.01,
        tickvals: [0, 2, 4, 6, 8, 10],
        ticktext: ["quiet", "1e-2", "1e-4", "1e-6", "1e-8", "1e-10"],
        tickfont: { size: 10, color: colour("muted") },
        tickcolor: colour("line"),
      },
    };
    const row = symbols.indexOf(chosen);
    const shapes = row < 0 ? [] : [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: row - 0.5, y1: row + 0.5, line: { color: colour("focus"), width: 1 } }];
    const layout = {
      ...frame(),
      margin: { l: 8, r: 8, t: 4, b: 22 },
      xaxis: timeAxis((buckets[0]) * BUCKET_MS, (last + 1) * BUCKET_MS),
      // A few symbols get rows of a usual height, not the whole panel.
      yaxis: { domain: [1 - Math.min(1, Math.max(1, symbols.length) / 6), 1], fixedrange: true, automargin: true, type: "category", color: colour("muted"), ticks: "", showgrid: false },
      shapes,
    };
    Plotly.react(id("heatmap"), [trace], layout, CONFIG);
    const words2 = loudest ? `strongest ${loudest.symbol}, ${loudest.who}, ${utc(loudest.at * BUCKET_MS)} UTC` : "all quiet";
    attribute(id("heatmap"), "aria-label", `Anomalies of ${symbols.length} symbols over the last ten minutes: ${words2}`);
  };

  const prices = (symbol) => {
    const points = state.series.symbol === symbol ? state.series.points : [];
    const present = LINES.filter(({ at }) => points.some((point) => point[at] !== null));
    // The mid says nothing beside the three; it stands in where a source gives no index and no mark.
    const drawn = present.length > 1 && present.some(({ name }) => name === "index" || name === "mark") ? present.filter(({ name }) => name !== "mid") : present;
    show(id("prices-empty"), drawn.length === 0);
    text(id("prices-title"), symbol ?? "");
    if (!points.length) {
      Plotly.react(id("prices"), [], { ...frame(), xaxis: { visible: false }, yaxis: { visible: false } }, CONFIG);
      return;
    }
    const traces = drawn.map(({ name, at, dash, width }) => ({
      type: "scatter",
      mode: "lines",
      name,
      x: points.map((point) => point[0]),
      y: points.map((point) => point[at]),
      line: { color: colour(name), width, dash },
      hovertemplate: "%{y}",
    }));
    const to = points[points.length - 1][0];
    const layout = {
      ...frame(),
      margin: { l: 8, r: 12, t: 22, b: 22 },
      xaxis: { ...timeAxis(to - BUCKETS * BUCKET_MS, to), nticks: 5, hoverformat: "%H:%M:%S" },
      yaxis: { fixedrange: true, automargin: true, color: colour("muted"), gridcolor: colour("line"), zeroline: false, nticks: 6, tickformat: ",", side: "right" },
      legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", font: { size: 11, color: colour("text") } },
      showlegend: true,
      hovermode: "x unified",
    };
    Plotly.react(id("prices"), traces, layout, CONFIG);
    const latest = points[points.length - 1];
    attribute(id("prices"), "aria-label", `${symbol}: ${drawn.map(({ name, at }) => `${name} ${latest[at] ?? "unknown"}`).join(", ")}`);
  };

  /** `choose(symbol, ms)` is called for a click on a cell. */
  const attach = (choose) => {
    // A banner moves the panels without any resize of the window.
    const fitted = new ResizeObserver((entries) => entries.forEach(({ target }) => target.layout && Plotly.Plots.resize(target)));
    for (const name of ["heatmap", "prices"]) fitted.observe(id(name));
    id("heatmap").on("plotly_click", (event) => {
      const point = event.points[0];
      const symbol = [...state.symbols].reverse()[point.pointIndex[0]];
      choose(symbol, (lastBucket() - BUCKETS + 1 + point.pointIndex[1]) * BUCKET_MS);
    });
  };

  return { heatmap, prices, attach };
})();
