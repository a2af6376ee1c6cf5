// What a turn did on the way: its look-ups, tools and calls of models; each unfolds to what went in and what came out.

import { capped, h, ident, isBlank, isObject, objects, str } from "./dom.js";
import { badge, modelName } from "./facts.js";
import { duration, isNumber, moment } from "./format.js";
import { prose } from "./message.js";
import { failure } from "./notes.js";

const MAX_STEPS = 100;
const MAX_RESULTS = 50;
const SNIPPET_CHARACTERS = 240;
const LINE_CHARACTERS = 80;
const VALUE_CHARACTERS = 20_000;

/** The steps in the order of time, look-ups first as they have none; a lone model call that asks for no tool is all in the line of facts. */
export function steps(turn) {
  const [calls, tools, found] = [objects(turn.llm), objects(turn.tools), objects(turn.retrievals)];
  const isAlone = calls.length < 2 && !tools.length && !found.length && calls.every((call) => isBlank(call.tool_calls));
  const timed = [...(isAlone ? [] : calls.map(model)), ...tools.map(tool)]
    .sort((a, b) => (moment(a.facts.started_at) ?? 0) - (moment(b.facts.started_at) ?? 0));
  const rows = [...found.map(retrieval), ...timed];
  return rows.length > 0 && h("div", { class: "steps" }, capped(rows, MAX_STEPS, (row) => step(turn, row)));
}

function model(call) {
  return { kind: "model", facts: call, name: modelName(call), target: call.prompt_id, took: took(call), parts: [...asked(call), ...inside(call)] };
}

function asked(call) {
  return [value("finished by", call.finish_reason), value("usage", call.usage), value("tool calls", call.tool_calls)];
}

function tool(call) {
  const about = ["type", "version"].map((name) => value(name, call[name]));
  return { kind: "tool", facts: call, name: call.name, target: call.target, took: took(call), parts: [...about, ...inside(call)] };
}

function retrieval(found) {
  const results = Array.isArray(found.results) ? found.results : isBlank(found.results) ? [] : [found.results];
  const list = results.length > 0 && part("results", h("ol", { class: "results" }, capped(results, MAX_RESULTS, result)));
  const count = Array.isArray(found.results) && `${results.length} found`;
  return { kind: "retrieval", facts: found, name: found.source, target: found.query, took: count, parts: [value("query", found.query), list] };
}

function result(one) {
  if (!isObject(one)) return h("li", null, prose(str(one), SNIPPET_CHARACTERS));
  const { id, score, content, ...rest } = one;
  return h("li", null,
    h("div", { class: "line" }, h("b", null, ident(id ?? "no id")), !isBlank(score) && h("span", { class: "score" }, ident(isNumber(score) ? Number(score.toPrecision(4)) : score))),
    !isBlank(content) && prose(str(content), SNIPPET_CHARACTERS), !isBlank(rest) && h("code", { class: "target" }, str(rest).slice(0, SNIPPET_CHARACTERS)));
}

const took = ({ latency_ms: ms }) => !isBlank(ms) && duration(ms);
const inside = (call) => [...["input", "output", "meta"].map((name) => value(name, call[name])), !isBlank(call.error) && part("error", failure("", call.error))];
const value = (name, given) => !isBlank(given) && part(name, h("pre", { class: "json" }, legible(given).slice(0, VALUE_CHARACTERS)));
const part = (name, node) => h("div", { class: "inside" }, h("span", { class: "kind" }, name), node);

function legible(given) {
  const text = str(given);
  return text.length > LINE_CHARACTERS ? str(given, 2) : text;
}

function step(turn, { kind, facts, name, target, took: time, parts }) {
  const shown = parts.filter(Boolean);
  const cells = [
    h("span", { class: "kind" }, kind),
    h("span", { class: "name" }, ident(name ?? "unnamed"), " ", !isBlank(target) && h("span", { class: "target" }, ident(target)), " ",
      !isBlank(facts.status) && facts.status !== "ok" && badge(facts.status)),
    bar(turn, facts),
    h("span", { class: "took" }, time),
  ];
  if (!shown.length) return h("div", { class: "step" }, cells);
  return h("details", null, h("summary", { class: "step" }, cells), h("div", { class: "insides" }, shown));
}

// Where in the turn the step took place, and how much of it.
function bar(turn, { started_at: startedAt, latency_ms: ms, status }) {
  const [from, start, whole] = [moment(turn.started_at), moment(startedAt), turn.latency_ms];
  if (from === null || start === null || !isNumber(ms) || !isNumber(whole) || whole <= 0) return h("span");
  const x = Math.min(99, Math.max(0, ((start - from) / whole) * 100));
  const width = Math.min(100 - x, Math.max(1, (ms / whole) * 100));
  const props = { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" };
  return h("svg", props, h("rect", { width: 100, height: 4, class: "track" }),
    h("rect", { x, width, height: 4, class: status === "error" ? "part failed" : "part" }));
}
