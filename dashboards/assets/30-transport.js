/* Frames from the server, whichever way they come: the shared worker's stream, an own stream, or polling when neither has
   brought anything for two seconds. */
"use strict";

perpwatch.transport = (() => {
  const SILENT_MS = 2000;
  const POLL_MS = 1000;
  const REQUEST_MS = 2500;

  // Both clocks: one may stand still while the machine sleeps, the other may be set back.
  let seenMonotonic = -Infinity;
  let seenWall = -Infinity;
  const sinceFrame = () => Math.max(performance.now() - seenMonotonic, Date.now() - seenWall);

  const start = (model, onChange) => {
    let asking = false;

    const take = (frame) => {
      const outcome = model.apply(frame);
      if (outcome === "gap") {
        resync();
        return;
      }
      seenMonotonic = performance.now();
      seenWall = Date.now();
      onChange(frame);
    };

    /** Ask for what is missing: the deltas after ours, or a snapshot. */
    const resync = async () => {
      if (asking) return;
      asking = true;
      try {
        const reply = await fetch(`/api/frame?since=${encodeURIComponent(model.held())}`, { signal: AbortSignal.timeout(REQUEST_MS), cache: "no-store" });
        if (reply.ok) for (const frame of await reply.json()) take(frame);
      } catch {
        // Unreachable: the ages go on rising on the screen, and the next poll tries again.
      } finally {
        asking = false;
      }
    };

    const read = (text) => take(JSON.parse(text));
    const listen = () => {
      if (window.SharedWorker) {
        const worker = new SharedWorker("/assets/feed-worker.js", "perpwatch-feed");
        worker.port.onmessage = (event) => read(event.data);
        addEventListener("pagehide", () => worker.port.postMessage("bye"));
      } else {
        new EventSource("/api/stream").onmessage = (event) => read(event.data);
      }
    };

    listen();
    // The worker's stream may be long open: its next delta alone would tell this tab nothing.
    resync();
    addEventListener("pageshow", (event) => {
      if (event.persisted) listen();
    });
    setInterval(() => {
      if (sinceFrame() > SILENT_MS) resync();
    }, POLL_MS);
  };

  /** UTC ms, with fractions. */
  const clock = () => performance.timeOrigin + performance.now();

  /** The server's clock minus ours in ms, from the quickest of a few round trips; 0 where the trip cannot tell them apart. */
  const clockOffset = async () => {
    let best = { trip: Infinity, offset: 0 };
    for (let n = 0; n < 4; n += 1) {
      try {
        const asked = clock();
        const reply = await fetch("/api/clock", { signal: AbortSignal.timeout(REQUEST_MS), cache: "no-store" });
        const server = (await reply.json()).now_ms;
        const trip = clock() - asked;
        if (trip < best.trip) best = { trip, offset: server - (asked + trip / 2) };
      } catch {
        break;
      }
    }
    return Math.abs(best.offset) <= best.trip / 2 ? 0 : best.offset;
  };

  return { start, sinceFrame, clock, clockOffset };
})();
