// The strip at the top: totals, what is missing, and whether the page is live.

import { fields, h, ident } from "./dom.js";
import { count, isNumber, plural } from "./format.js";

const SHOWN = ["sessions", "turns", "errors", "cancelled"];
const SHOWN_WHEN_SOME = ["rejected", "conflicts", "duplicates"];
const WHY = {
  queue_overflow: "the queue in memory was full",
  too_large: "larger than max_event_bytes",
  rejected: "refused by the collector",
  serialize: "could not be written as JSON",
  unfinished: "the turn was never finished",
  not_initialised: "before Lumina.init",
  after_shutdown: "after Lumina.shutdown",
  shutdown_timeout: "not sent before the deadline of shutdown",
  spool_full: "the spool on disk was full",
  spool_corrupt: "the spool on disk was damaged",
  internal: "a fault inside lumina_async",
};

export function showTotals(root, stats) {
  const names = [...SHOWN, ...SHOWN_WHEN_SOME.filter((name) => stats[name] > 0)];
  root.replaceChildren(...names.map((name) => h("div", { class: stats[name] > 0 ? name : null }, h("dd", null, count(stats[name] ?? 0)), h("dt", null, stats[name] === 1 ? name.replace(/s$/, "") : name))));
}

/** Say what was lost and why, so that nobody takes a gap for silence. */
export function showLost(root, stats) {
  const reasons = Object.entries(fields(stats.lost)).filter(([, value]) => value);
  const key = JSON.stringify(reasons);
  if (root.dataset.shown === key) return;
  root.dataset.shown = key;
  const total = reasons.reduce((sum, [, value]) => sum + (isNumber(value) ? value : 0), 0);
  const items = reasons.map(([name, value]) => h("li", null,
    h("b", null, count(value)), " ", h("code", null, ident(name, 64)), Object.hasOwn(WHY, name) && ` ${WHY[name]}`));
  const text = h("strong", null, `${plural(total, "event")} lost before reaching this page`);
  root.replaceChildren(reasons.length ? h("div", { class: "lost", role: "alert" }, text, h("ul", null, items)) : "");
}

export function showLive(root, isLive) {
  root.textContent = isLive ? "Live" : "Reconnecting";
  root.classList.toggle("on", isLive);
  root.classList.toggle("off", !isLive);
}
