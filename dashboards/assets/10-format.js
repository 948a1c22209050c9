/* Words and figures on the page. Text is only ever written with textContent. */
"use strict";

window.perpwatch = {};

perpwatch.format = (() => {
  const two = (n) => String(n).padStart(2, "0");

  /** UTC time of day, "13:04:19". */
  const utc = (ms) => {
    const at = new Date(ms);
    return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  };

  /** UTC date and time, "2026-03-01 13:04:19". */
  const utcFull = (ms) => `${new Date(ms).toISOString().slice(0, 10)} ${utc(ms)}`;

  /** A span of time as coarse as it is long: "0.4 s", "12 s", "3 min", "2.5 h". */
  const span = (ms) => {
    if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
    if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
    if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
    return `${(ms / 3_600_000).toFixed(1)} h`;
  };

  const score = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));
  const signed = (value) => `${value < 0 ? "−" : "+"}${score(Math.abs(value))}`;

  /** Lots or prices, grouped; no more digits than `digits` after the point. */
  const grouped = (value, digits) => value.toLocaleString("en-GB", { maximumFractionDigits: digits, minimumFractionDigits: digits });

  /** Text for Plotly, which reads some tags: none of them may come from data. */
  const inert = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  return { utc, utcFull, span, score, signed, grouped, inert };
})();

perpwatch.dom = (() => {
  const id = (name) => document.getElementById(name);

  /** Write only what changed: a write of equal text still costs a layout and disturbs screen readers. */
  const text = (element, value) => {
    if (element && element.textContent !== value) element.textContent = value;
  };
  const attribute = (element, name, value) => {
    if (element && element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const show = (element, visible) => {
    if (element && element.hidden === visible) element.hidden = !visible;
  };
  const make = (tag, className, value) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (value !== undefined) element.textContent = value;
    return element;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  return { id, text, attribute, show, make, colour };
})();
