// What was measured in a turn: the line of facts, the marks of how it ended, its steps.

import { fields, h, ident, isBlank, objects, safeUrl, str } from "./dom.js";
import { count, duration, isNumber, moment } from "./format.js";

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
    ["cost", costs(calls)],
  ];
  const shown = pairs.filter(([, value]) => value);
  return shown.length > 0 && h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function modelName({ model, response_model: answered }) {
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
    [sum("reasoning_tokens"), "reasoning"],
  ].filter(([tokens]) => tokens > 0);
  const total = sums.length ? 0 : sum("total_tokens");
  return total ? [count(total)] : sums.map(([tokens, what]) => `${count(tokens)} ${what}`);
}

function costs(calls) {
  const known = calls.map((call) => call.cost).filter(isNumber);
  return known.length > 0 && String(Number(known.reduce((a, b) => a + b, 0).toPrecision(4)));
}

/** The calls, tools and retrievals of a turn in a list; a lone model call is all in the line of facts. */
export function steps(turn) {
  const calls = objects(turn.llm);
  const rows = [
    ...(calls.length > 1 ? calls.map((call) => ["model", call, modelName(call), call.prompt_id, {}]) : []),
    ...objects(turn.tools).map((tool) => ["tool", tool, tool.name, tool.target, pick(tool, "input", "output", "meta")]),
  ].sort(([, a], [, b]) => (moment(a.started_at) ?? 0) - (moment(b.started_at) ?? 0));
  for (const found of objects(turn.retrievals)) rows.push(["retrieval", found, found.source, found.query, pick(found, "results")]);
  return rows.length > 0 && h("div", { class: "steps" }, rows.slice(0, 100).map((row) => step(turn, ...row)));
}

const pick = (from, ...keys) => Object.fromEntries(keys.filter((key) => !isBlank(from[key])).map((key) => [key, from[key]]));

function step(turn, kind, facts, name, target, more) {
  const found = kind === "retrieval" && Array.isArray(facts.results) && `${facts.results.length} found`;
  const cells = [
    h("span", { class: "kind" }, kind),
    h("span", { class: "name" }, ident(name ?? "unnamed"), " ", !isBlank(target) && h("span", { class: "target" }, ident(target)), " ",
      !isBlank(facts.status) && facts.status !== "ok" && badge(facts.status)),
    bar(turn, facts),
    h("span", { class: "took" }, found || (!isBlank(facts.latency_ms) && duration(facts.latency_ms))),
  ];
  if (isBlank(more)) return h("div", { class: "step" }, cells);
  return h("details", null, h("summary", { class: "step" }, cells), h("pre", { class: "json" }, str(more, 2).slice(0, 20_000)));
}

// Where in the turn the step took place, and how much of it.
function bar(turn, { started_at: startedAt, latency_ms: took, status }) {
  const [from, start, whole] = [moment(turn.started_at), moment(startedAt), turn.latency_ms];
  if (from === null || start === null || !isNumber(took) || !isNumber(whole) || whole <= 0) return h("span");
  const x = Math.min(99, Math.max(0, ((start - from) / whole) * 100));
  const width = Math.min(100 - x, Math.max(1, (took / whole) * 100));
  const props = { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" };
  return h("svg", props, h("rect", { width: 100, height: 4, class: "track" }),
    h("rect", { x, width, height: 4, class: status === "error" ? "part failed" : "part" }));
}

/** The replay that belongs to the turn, if any of the places that may hold it has a real link. */
export function replayUrl(turn) {
  return [fields(turn.ui).replay_url, fields(turn.annotations).ui_replay_url].find(safeUrl);
}
