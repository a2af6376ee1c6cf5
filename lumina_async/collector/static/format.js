// Numbers, durations and moments as text. Wrong types come out as they are.

import { h, str } from "./dom.js";

const GROUPS = new Intl.NumberFormat("en-US");
const AGES = [[3600, 60, "m"], [86400, 3600, "h"], [2592000, 86400, "d"]];
const DAY = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function count(value) {
  return isNumber(value) ? GROUPS.format(value) : str(value);
}

export function plural(value, one) {
  return `${count(value)} ${one}${value === 1 ? "" : "s"}`;
}

export function dollars(value) {
  return isNumber(value) ? `$${value >= 1 ? value.toFixed(2) : Number(value.toPrecision(3))}` : str(value);
}

export function duration(ms) {
  if (!isNumber(ms)) return str(ms);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${GROUPS.format(Math.floor(ms / 60_000))} m ${Math.floor((ms % 60_000) / 1000)} s`;
}

export function bytes(value) {
  if (!isNumber(value)) return str(value);
  return value < 1024 ? `${value} B` : value < 1048576 ? `${(value / 1024).toFixed(1)} KB` : `${(value / 1048576).toFixed(1)} MB`;
}

/** Milliseconds since the epoch, or null. */
export function moment(value) {
  const at = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? null : at;
}

function ago(at) {
  const seconds = (Date.now() - at) / 1000;
  if (seconds < 60) return "now";
  const age = AGES.find(([limit]) => seconds < limit);
  return age ? `${Math.floor(seconds / age[1])}${age[2]}` : new Date(at).toLocaleDateString();
}

function clockTime(date) {
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString(undefined, DAY);
}

/** A moment: how long ago, or with `isClock` the time of day; exact in the tooltip. */
export function when(value, isClock = false) {
  const at = moment(value);
  if (at === null) return h("time", null, str(value).slice(0, 40));
  const date = new Date(at);
  const text = isClock ? clockTime(date) : ago(at);
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString(), "data-ago": !isClock }, text);
}

/** Bring every shown age up to date. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-ago]")) node.textContent = ago(Date.parse(node.dateTime));
}
