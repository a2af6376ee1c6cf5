// What the app noted of a turn: annotations, errors, notes.

import { copyable, fields, h, ident, isBlank, link, objects, safeUrl, str } from "./dom.js";
import { FEEDBACK_ANNOTATIONS } from "./feedback.js";

const MAX_CHIPS = 60;

// The recognised annotations: each gives what to show, or null for nothing.
const RECOGNISED = {
  flagged: (value) => (value === false ? null : chip("Flagged", value === true ? "" : value, "bad")),
  ui_replay_url: (value) => (safeUrl(value) ? null : chip("Replay URL", value)),
  ui_session_id: (value) => copyable("UI session", value),
  usage: (value) => (typeof value === "object" ? null : chip("Usage", value)),
};

export function chip(name, value, kind = "") {
  return h("span", { class: `chip ${kind}` }, ident(name, 60), !isBlank(value) && h("b", null, ident(value, 120)));
}

/** The annotations of a turn, the recognised ones as what they are. */
export function annotations(turn) {
  const own = fields(turn.annotations);
  const ui = fields(turn.ui);
  const window = { ui_session_id: ui.session_id, ui_replay_url: ui.replay_url };
  const all = Object.entries({ ...pruned(window), ...own }).filter(([name]) => !FEEDBACK_ANNOTATIONS.has(name));
  const chips = all.slice(0, MAX_CHIPS).map(([name, value]) => (Object.hasOwn(RECOGNISED, name) ? RECOGNISED[name](value) : chip(name, value)));
  const notes = (Array.isArray(turn.notes) ? turn.notes : []).slice(0, MAX_CHIPS).map((note) => chip("Note", note));
  const shown = [...chips, ...notes].filter(Boolean);
  return shown.length > 0 && h("div", { class: "chips" }, shown);
}

const pruned = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => !isBlank(value)));

/** Where a session took place: links where they are links. */
export function pointers(session) {
  const all = Object.entries(fields(session.pointers)).slice(0, MAX_CHIPS);
  return all.map(([name, value]) => (safeUrl(value)
    ? link(value, /replay/i.test(name) ? "Replay" : ident(name, 60))
    : copyable(name, value)));
}

/** Every error of a turn, once: its own first, then those that the app survived. */
export function errors(turn) {
  const seen = new Set();
  const all = [["", turn.error]];
  for (const call of objects(turn.llm)) all.push(["in a model call", call.error]);
  for (const tool of objects(turn.tools)) all.push([["in ", ident(tool.name)], tool.error]);
  return all.slice(0, MAX_CHIPS).map(([where, error]) => {
    const key = str([fields(error).type, fields(error).message ?? error]);
    if (isBlank(error) || seen.has(key)) return null;
    seen.add(key);
    return failure(where, error);
  });
}

/** An error, with its stack where it has one. */
export function failure(where, error) {
  const { type, message, stack } = typeof error === "object" ? fields(error) : { message: error };
  const title = [
    h("b", null, ident(type ?? "Error")), where && [" ", h("span", { class: "target" }, where)], " ",
    !isBlank(message) && h("span", { class: "prose", dir: "auto" }, str(message).slice(0, 2000)),
  ];
  if (isBlank(stack)) return h("div", { class: "failure" }, title);
  const frames = Array.isArray(stack) ? stack.map((frame) => str(frame)).join("\n") : str(stack);
  return h("details", { class: "failure" }, h("summary", null, title), h("pre", null, frames.slice(0, 20_000)));
}
