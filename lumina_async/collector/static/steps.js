// What a turn did on the way: its look-ups, tools and calls of models; each unfolds to what went in and what came out.

import { insideCall } from "./call.js";
import { button, capped, copyable, fields, guarded, h, ident, isBlank, isObject, objects, str } from "./dom.js";
import { stepMarks } from "./endings.js";
import { modelName } from "./facts.js";
import { duration, isNumber, moment } from "./format.js";
import { fault, part, settings, value } from "./inside.js";
import { prose } from "./message.js";

const MAX_STEPS = 100;
const MAX_RESULTS = 50;
const SNIPPET_CHARACTERS = 240;

/** The steps in the order of time, look-ups first as they have none. */
export function steps(turn) {
  const byId = { asked: new Map(), ran: new Map() };
  const timed = [...objects(turn.llm).map((call) => model(turn, call, byId)), ...objects(turn.tools).map((call) => tool(call, byId))]
    .sort((a, b) => (moment(a.facts.started_at) ?? 0) - (moment(b.facts.started_at) ?? 0));
  const rows = [...objects(turn.retrievals).map(retrieval), ...timed];
  return rows.length > 0 && h("div", { class: "steps" }, capped(rows, MAX_STEPS, (row) => (row.node = step(turn, row))));
}

function model(turn, call, { asked, ran }) {
  const parts = () => insideCall(turn, call, (id) => way("its step", ran.get(str(id))));
  const row = { kind: "model", facts: call, name: modelName(call), target: call.prompt_id, took: took(call), parts, isTold: true };
  for (const { id } of objects(call.tool_calls)) if (!isBlank(id)) asked.set(str(id), row);
  return row;
}

function tool(call, { asked, ran }) {
  const id = str(fields(call.meta).tool_call_id);
  const parts = () => [
    part("asked by", way("the model's step", asked.get(id))), value("type", call.type), value("version", call.version),
    value("input", call.input), value("output", call.output), settings("meta", call.meta), fault(call.error),
    part("span", !isBlank(call.span_id) && h("div", { class: "ids" }, copyable("", call.span_id))),
  ];
  const isTold = ["type", "version", "input", "output", "meta", "error", "span_id"].some((name) => !isBlank(call[name]));
  const row = { kind: "tool", facts: call, name: call.name, target: call.target, took: took(call), parts, isTold };
  if (id) ran.set(id, row);
  return row;
}

// A tool that was asked for by a model, and the model that asked for it, lead to each other.
function way(label, row) {
  return row && button(label, () => {
    const { node } = row;
    if (!node) return;
    node.open = true;
    node.querySelector("summary").focus();
    node.scrollIntoView({ block: "nearest" });
  }, "way");
}

function retrieval(found) {
  const results = Array.isArray(found.results) ? found.results : isBlank(found.results) ? [] : [found.results];
  const list = () => results.length > 0 && h("ol", { class: "results" }, capped(results, MAX_RESULTS, result));
  const count = Array.isArray(found.results) && `${results.length} found`;
  const parts = () => [value("query", found.query), part("results", list())];
  return { kind: "retrieval", facts: found, name: found.source, target: found.query, took: count, parts, isTold: !isBlank(found.query) || results.length > 0 };
}

function result(one) {
  if (!isObject(one)) return h("li", null, prose(str(one), SNIPPET_CHARACTERS));
  const { id, score, content, ...rest } = one;
  return h("li", null,
    h("div", { class: "line" }, h("b", null, ident(id ?? "no id")), !isBlank(score) && h("span", { class: "score" }, ident(isNumber(score) ? Number(score.toPrecision(4)) : score))),
    !isBlank(content) && prose(str(content), SNIPPET_CHARACTERS), !isBlank(rest) && h("code", { class: "target" }, str(rest).slice(0, SNIPPET_CHARACTERS)));
}

const took = ({ latency_ms: ms }) => !isBlank(ms) && duration(ms);

function step(turn, { kind, facts, name, target, took: time, parts, isTold }) {
  const cells = [
    h("span", { class: "kind" }, kind),
    h("span", { class: "name" }, ident(name ?? "unnamed"), " ", !isBlank(target) && h("span", { class: "target" }, ident(target)), " ", stepMarks(turn, facts)),
    bar(turn, facts),
    h("span", { class: "took" }, time),
  ];
  if (!isTold) return h("div", { class: "step" }, cells);
  const node = h("details", null, h("summary", { class: "step" }, cells));
  // A long history is only made into elements when somebody asks for it.
  node.addEventListener("toggle", () => node.append(guarded(() => h("div", { class: "insides" }, parts()))), { once: true });
  return node;
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
