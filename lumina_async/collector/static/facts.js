// What was measured in a turn: the line of facts, and the marks of how it ended.

import { fields, h, ident, isBlank, objects, safeUrl, str } from "./dom.js";
import { count, dollars, duration, isNumber, plural } from "./format.js";

const STATUSES = new Set(["ok", "error", "cancelled"]);
const MAX_NAMES = 8;

/** Status, and how a stream ended when not by itself. */
export function badges(turn) {
  const endings = distinct(objects(turn.llm).map((call) => call.outcome).filter((outcome) => !isBlank(outcome) && outcome !== "completed"));
  return [
    !isBlank(turn.status) && badge(turn.status),
    ...endings.filter((outcome) => outcome !== turn.status).map((outcome) => h("span", { class: "badge ending" }, ident(str(outcome).replaceAll("_", " ")))),
  ];
}

export function badge(status) {
  return h("span", { class: `badge ${STATUSES.has(status) ? status : "ending"}` }, ident(status));
}

/** Latency, first token, model, prompt, tokens, as far as there are any. */
export function factsLine(turn) {
  const calls = objects(turn.llm);
  const first = calls.find((call) => !isBlank(call.ttft_ms));
  const tokens = usage(turn, calls);
  const pairs = [
    ["latency", !isBlank(turn.latency_ms) && duration(turn.latency_ms)],
    ["first token", first && duration(first.ttft_ms)],
    ["model", names(calls.map(modelName))],
    ["prompt", names(calls.map((call) => call.prompt_id))],
    ["tokens", tokens.length && tokens.join(" \u00b7 ")],
    ["cost", spent(fields(turn.cost).usd, fields(turn.cost).unpriced)],
  ];
  const shown = pairs.filter(([, value]) => value);
  return shown.length > 0 && h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

export function modelName({ model, response_model: answered }) {
  if (isBlank(answered) || answered === model) return model;
  return isBlank(model) ? answered : `${str(model)} \u2192 ${str(answered)}`;
}

function names(values) {
  const all = distinct(values.filter((value) => !isBlank(value)).map((value) => str(value)));
  return all.length > 0 && all.slice(0, MAX_NAMES).map((name, index) => [index > 0 && ", ", ident(name)]);
}

const distinct = (values) => [...new Set(values)];

// What the app said itself wins over what was read from the responses.
function usage(turn, calls) {
  const own = fields(fields(turn.annotations).usage);
  const all = isBlank(own) ? calls.map((call) => fields(call.usage)) : [own];
  const sum = (...keys) => all.map((one) => one[keys.find((key) => isNumber(one[key]))]).filter(isNumber).reduce((a, b) => a + b, 0);
  const sums = [
    [sum("input_tokens", "prompt_tokens"), "in"],
    [sum("output_tokens", "completion_tokens"), "out"],
    [sum("cached_input_tokens"), "cached"],
    [sum("cache_creation_input_tokens"), "to the cache"],
    [sum("reasoning_tokens"), "reasoning"],
  ].filter(([tokens]) => tokens > 0);
  const total = sums.length ? 0 : sum("total_tokens");
  return total ? [count(total)] : sums.map(([tokens, what]) => `${count(tokens)} ${what}`);
}

/** What is known of costs; calls without a known one are not left out in silence. */
export function spent(usd, unpriced) {
  return isNumber(usd) && `${dollars(usd)}${unpriced > 0 ? ` + ${plural(unpriced, "call")} without a price` : ""}`;
}

/** The replay that belongs to the turn, if any of the places that may hold it has a real link. */
export function replayUrl(turn) {
  return [fields(turn.ui).replay_url, fields(turn.annotations).ui_replay_url].find(safeUrl);
}
