// How a turn and its calls ended: the marks of status and outcome, and of an answer that was cut.

import { fields, h, ident, isBlank, objects, str } from "./dom.js";

const STATUSES = new Set(["ok", "error", "cancelled"]);
const CUT = /^(length|max_(output_|completion_)?tokens|model_length|model_context_window_exceeded)$/i;
const USUAL = /^(stop|end_turn|stop_sequence|tool_calls?|tool_use|function_call|completed?|eos)$/i;
const REASON_CHARACTERS = 60;
const WHY_CHARACTERS = 300;

/** Status, how a stream ended when not by itself, and whether an answer is not whole. */
export function badges(turn) {
  const calls = objects(turn.llm);
  const endings = distinct(calls.map((call) => call.outcome).filter((outcome) => !isBlank(outcome) && outcome !== "completed"));
  const reasons = distinct(calls.map((call) => call.finish_reason));
  return [
    !isBlank(turn.status) && badge(turn.status), endings.filter((outcome) => outcome !== turn.status).map(ending), reasons.map(unusual),
  ];
}

/** The marks of one step; where the calls of a turn ended in different ways, also of one that is complete. */
export function stepMarks(turn, step) {
  const { status, outcome } = step;
  const isMixed = distinct(objects(turn.llm).map((call) => call.outcome).filter((one) => !isBlank(one))).length > 1;
  const isTold = !isBlank(outcome) && outcome !== status && (outcome !== "completed" || isMixed);
  return [!isBlank(status) && status !== "ok" && badge(status), isTold && ending(outcome), unusual(step.finish_reason), why(step.error)];
}

function badge(status) {
  return h("span", { class: `badge ${STATUSES.has(status) ? status : "ending"}` }, ident(status));
}

function ending(outcome) {
  return h("span", { class: outcome === "completed" ? "badge" : "badge ending" }, ident(str(outcome).replaceAll("_", " "), REASON_CHARACTERS));
}

// Why the model stopped, where it is not because it had said all.
function unusual(reason) {
  const text = str(reason);
  if (!text || USUAL.test(text)) return null;
  return h("span", { class: "badge ending" }, CUT.test(text) ? "cut off: " : "finished by ", ident(text, REASON_CHARACTERS));
}

function why(error) {
  if (isBlank(error)) return null;
  const { type, message } = typeof error === "object" ? fields(error) : { message: error };
  return h("span", { class: "why" }, ident(type ?? "Error"), " ", !isBlank(message) && ident(message, WHY_CHARACTERS));
}

const distinct = (values) => [...new Set(values)];
