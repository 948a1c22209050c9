/* Asking for a drill: the lists, the button, and what the server answers. */
"use strict";

perpwatch.drill = (() => {
  const { id, text, show, make } = perpwatch.dom;
  let known = [];

  const option = (value, words) => {
    const made = make("option", "", words);
    made.value = value;
    return made;
  };

  const describe = () => {
    const chosen = known.find((drill) => drill.name === id("drill-name").value);
    text(id("drill-says"), chosen ? `${chosen.benign ? "Ordinary business: " : ""}${chosen.says}.` : "");
  };

  const fill = (symbols) => {
    const names = known.map((drill) => option(drill.name, drill.benign ? `${drill.name} (benign)` : drill.name));
    id("drill-name").replaceChildren(...names);
    id("drill-symbol").replaceChildren(option("", "any"), ...symbols.map((symbol) => option(symbol, symbol)));
    describe();
  };

  const ask = async () => {
    const button = id("drill-start");
    const number = crypto.getRandomValues(new Uint8Array(8));
    const asked = {
      id: [...number].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      name: id("drill-name").value,
      symbol: id("drill-symbol").value,
      strength: Number(id("drill-strength").value),
    };
    button.disabled = true;
    try {
      const reply = await fetch("/api/drills", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
      text(id("drill-answer"), await reply.text());
    } catch {
      text(id("drill-answer"), "no answer from the board's server");
    }
    setTimeout(() => {
      button.disabled = false;
    }, 1000);
  };

  /** Look once whether there are drills here, and offer them. */
  const attach = async (symbols) => {
    try {
      const reply = await fetch("/api/drills", { cache: "no-store" });
      known = reply.ok ? await reply.json() : [];
    } catch {
      known = [];
    }
    show(id("drill"), known.length > 0);
    if (!known.length) return;
    fill(symbols);
    id("drill-name").addEventListener("change", describe);
    id("drill-start").addEventListener("click", ask);
  };

  return { attach };
})();
