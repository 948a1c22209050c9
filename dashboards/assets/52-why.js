/* Why the chosen event is unusual: a waterfall of contributions that ends at the score. */
"use strict";

perpwatch.why = (() => {
  const { id, text, show, make } = perpwatch.dom;
  const { utc, score, signed } = perpwatch.format;
  let drawn = "";

  /** The steps of the waterfall: the strongest contributions, then the rest as one, each from where the last one ended. */
  const steps = (row) => {
    const parts = row.contributions.map((part) => ({ ...part }));
    if (row.rest.count) {
      parts.push({ label: `${row.rest.count} more`, value: "", expected: "", side: null, contribution: row.rest.sum });
    }
    let at = 0;
    return parts.map((part) => {
      const from = at;
      at += part.contribution;
      return { ...part, from, to: at };
    });
  };

  const bar = (step, low, high) => {
    const cell = make("td", "bars");
    const track = make("div", "track");
    const fill = make("div", `fill ${step.contribution < 0 ? "down" : "up"}`);
    const width = high - low || 1;
    fill.style.left = `${((Math.min(step.from, step.to) - low) / width) * 100}%`;
    fill.style.width = `${(Math.abs(step.contribution) / width) * 100}%`;
    track.append(fill);
    cell.append(track);
    return cell;
  };

  const line = (step, low, high) => {
    const row = make("tr");
    const name = make("th", "part", step.label);
    name.scope = "row";
    const value = make("td", "figure now");
    if (step.side) value.append(make("span", "side", step.side === "above" ? "▲" : "▼"), make("span", "unseen", `${step.side} what is expected: `));
    value.append(make("span", "", step.value));
    row.append(name, value, make("td", "figure expected", step.expected), bar(step, low, high));
    const adds = make("td", "figure adds", signed(step.contribution));
    adds.dataset.contribution = String(step.contribution);
    row.append(adds);
    return row;
  };

  const rails = (state, symbol, reason) => {
    if (reason !== null) return `unknown: ${reason}`;
    const found = state.verdicts.filter((verdict) => verdict.symbol === symbol);
    if (!state.tiles.some((tile) => tile.rules)) return "unknown: no verdict yet";
    if (!found.length) return "all rules ok";
    return found.map((verdict) => `${verdict.state.toUpperCase()} ${verdict.rule}: ${verdict.text}`).join("; ");
  };

  const accounts = (row) => {
    const list = id("why-accounts");
    list.replaceChildren(
      ...row.accounts.map((entry) => {
        const item = make("li");
        item.append(make("span", "account", entry.account), make("span", "quiet", entry.text));
        return item;
      }),
    );
    if (!row.accounts.length) list.append(make("li", "quiet", "none named"));
  };

  /** Who spoke, in which order, and how much later than the first. */
  const members = (row) => {
    const found = row.members ?? [];
    show(id("why-members-box"), found.length > 1);
    const items = found.map((one) => {
      const item = make("li");
      const who = one.account ? `${one.symbol} account ${one.account}` : one.symbol;
      item.append(make("span", "account", `${who} ${one.text}`), make("span", "quiet", `${one.after_s ? `+${one.after_s} s` : "first"}, ${one.far_text}`));
      return item;
    });
    if (row.more_members) items.push(make("li", "quiet", `and ${row.more_members} more`));
    id("why-members").replaceChildren(...items);
  };

  /** Show `row`, or say that nothing is chosen. `reason`: why guardrail verdicts are in doubt, or null. */
  const draw = (state, row, reason) => {
    show(id("why-body"), Boolean(row));
    show(id("why-empty"), !row);
    text(id("why-title"), row ? `${row.symbol} · ${row.family}${row.kind ? ` · ${row.kind}` : ""}${row.phase === "DRILL" ? " · DRILL" : ""}` : "");
    if (!row) {
      drawn = "";
      return;
    }
    text(id("why-rails"), rails(state, row.symbol, reason));
    // The rest changes only with the event's strongest line: leave the table alone otherwise, somebody may be reading it.
    const key = `${row.id} ${row.end_ms} ${row.window_ms} ${row.score} ${row.windows} ${row.alert}`;
    if (key === drawn) return;
    drawn = key;
    const said = row.says || row.driver;
    const sentence = said ? `${said[0].toUpperCase()}${said.slice(1)}.` : "No contribution given.";
    text(id("why-sentence"), row.expected ? `${sentence} Expected: ${row.expected}.` : sentence);
    const seen = row.windows > 1 ? `, seen in ${row.windows} windows from ${utc(row.first_ms)} to ${utc(row.last_ms)}` : "";
    const event = row.alert ? ` ${row.alert[0].toUpperCase()}${row.alert.slice(1)}: the event's rate is ${row.event_far_text}.` : "";
    const second = row.second ? ` Second opinion, ${row.second}.` : "";
    const notes = (row.notes ?? []).slice(1).map((note) => ` ${note[0].toUpperCase()}${note.slice(1)}.`).join("");
    const shared = row.shared ? ` Account ${row.shared} is behind all of it.` : "";
    text(id("why-odds"), `${row.window_ms / 1000} s window to ${utc(row.end_ms)} UTC${seen}. Chance in quiet times ${row.far_text}: ${row.once_in}.${event}${shared}${second}${notes}`);
    members(row);
    const all = steps(row);
    const ends = all.flatMap((step) => [step.from, step.to]);
    const low = Math.min(0, ...ends);
    const high = Math.max(row.score, ...ends);
    id("why-parts").replaceChildren(...all.map((step) => line(step, low, high)));
    text(id("why-score"), score(row.score));
    accounts(row);
  };

  return { draw };
})();
