/* The chosen symbol's book as a ladder. */
"use strict";

perpwatch.book = (() => {
  const { id, text, show } = perpwatch.dom;
  const { grouped } = perpwatch.format;

  /** Digits after the point that the book's prices need, so that a ladder's prices line up. */
  const digits = (levels) =>
    Math.max(0, ...levels.map(([price]) => (String(Number(price.toPrecision(12))).split(".")[1] ?? "").length));

  const draw = (symbol, book) => {
    text(id("book-title"), symbol ?? "");
    const any = Boolean(book && (book.bids.length || book.asks.length));
    show(id("book"), any);
    show(id("book-empty"), !any);
    if (!any) return;
    const all = [...book.bids, ...book.asks];
    const places = digits(all);
    const sizes = digits(all.map(([, lots]) => [lots]));
    const largest = Math.max(...all.map(([, lots]) => lots), 1e-12);
    for (const side of ["bid", "ask"]) {
      const levels = book[`${side}s`];
      for (let place = 0; id(`${side}-${place}`); place += 1) {
        const row = id(`${side}-${place}`);
        const level = levels[place];
        text(row.querySelector(".price"), level ? grouped(level[0], places) : "");
        text(row.querySelector(".size"), level ? grouped(level[1], Math.min(sizes, 4)) : "");
        row.querySelector(".bar").style.width = level ? `${(level[1] / largest) * 100}%` : "0";
      }
    }
    const bid = book.bids[0]?.[0];
    const ask = book.asks[0]?.[0];
    const spread = bid && ask ? `${grouped(ask - bid, places)} · ${(((ask - bid) / ((ask + bid) / 2)) * 1e4).toFixed(2)} bps` : "one side is empty";
    text(id("book-spread"), spread);
  };

  return { draw };
})();
