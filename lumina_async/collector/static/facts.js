// What was measured in a turn: the line of facts.

import { fields, h, ident, isBlank, objects, safeUrl, str } from "./dom.js";
import { duration } from "./format.js";
import { costOf, tokensOf } from "./tokens.js";

const MAX_NAMES = 8;

/** Latency, first token, model, prompt, tokens, as far as there are any. */
export function factsLine(turn) {
  const calls = objects(turn.llm);
  const first = calls.find((call) => !isBlank(call.ttft_ms));
  const pairs = [
    ["latency", !isBlank(turn.latency_ms) && duration(turn.latency_ms)],
    ["first token", first && duration(first.ttft_ms)],
    ["model", names(calls.map(modelName))],
    ["prompt", names(calls.map((call) => call.prompt_id))],
    ["tokens", tokensOf(turn)],
    ["cost", costOf(turn)],
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

/** The replay that belongs to the turn, if any of the places that may hold it has a real link. */
export function replayUrl(turn) {
  return [fields(turn.ui).replay_url, fields(turn.annotations).ui_replay_url].find(safeUrl);
}
