// The messages of a turn: what the person saw, as text and nothing else.

import { button, capped, fields, h, ident, isBlank, isObject, objects, str } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { answers, isAnswered } from "./spoken.js";

const KNOWN = new Set(["user", "assistant", "system", "developer", "tool"]);
const MAX_CHARACTERS = 6000;
const MAX_MESSAGES = 200;
const MAX_PARTS = 100;

/** The bubbles of a turn; what the turn before it already showed is folded. */
export function transcript(turn, before) {
  const messages = Array.isArray(turn.messages) ? turn.messages : [];
  // Whoever sets no answer of the assistant still sees what the model said, and up to where if it was cut off.
  const output = !isAnswered(messages) && answers(turn).map((message) => bubble(message, "model output"));
  if (!messages.length) return output.length ? h("div", { class: "messages" }, output) : h("p", { class: "none" }, absent(turn));
  const repeated = repeatedCount(messages, before?.messages);
  const earlier = repeated > 0 && h("details", { class: "earlier" },
    h("summary", null, plural(repeated, "earlier message")), capped(messages.slice(0, repeated), MAX_MESSAGES, spoken));
  return h("div", { class: "messages" }, earlier, capped(messages.slice(repeated), MAX_MESSAGES, spoken), output);
}

function absent(turn) {
  if (turn.capture === "none") return "Messages are not recorded: capture_transcript is none.";
  return isBlank(turn.messages) ? "No messages were set on this turn." : str(turn.messages).slice(0, MAX_CHARACTERS);
}

// Apps hand over the whole history or only the new exchange. Folded is the history, or the same instructions again.
function repeatedCount(messages, before) {
  if (!Array.isArray(before)) return 0;
  let same = 0;
  while (same < messages.length && same < before.length && str(messages[same]) === str(before[same])) same += 1;
  if (same === messages.length) return 0;
  return same === before.length || messages.slice(0, same).every((message) => fields(message).role === "system") ? same : 0;
}

const spoken = (message) => bubble(message);

/** One message; with a caption where it was not set as one. */
export function bubble(message, caption) {
  if (!isObject(message)) return h("div", { class: "message other" }, content(message));
  const role = str(message.role ?? "");
  return h("div", { class: `message ${KNOWN.has(role) ? role : "other"}` },
    h("div", null, h("span", { class: "role" }, ident(role || "no role")), message.name != null && h("code", { class: "target" }, ident(message.name)), caption && h("span", { class: "caption" }, caption)),
    h("div", { class: "bubble" }, content(message.content), objects(message.tool_calls).slice(0, MAX_PARTS).map(toolCall)));
}

function toolCall(call) {
  const wanted = isObject(call.function) ? call.function : call;
  const text = str(wanted.arguments ?? wanted.input ?? wanted.args ?? "");
  return h("code", { class: "call" }, ident(wanted.name ?? "tool"), `(${text.slice(0, 400)})`);
}

function content(value) {
  if (value == null || value === "") return null;
  return Array.isArray(value) ? capped(value, MAX_PARTS, part) : part(value);
}

function part(value) {
  if (typeof value === "string") return prose(value);
  const { type, text, thinking, mime, bytes: size } = fields(value);
  const said = text ?? thinking;
  if (typeof said === "string") return prose(said);
  const call = type === "tool_use" ? value : fields(value).function_call ?? fields(value).functionCall;
  if (isObject(call)) return toolCall(call);
  if (type === "tool_result") return content(value.content);
  if (typeof mime === "string") return h("span", { class: "file" }, ident(mime), size != null && ` \u00b7 ${bytes(size)}`);
  return long(str(known(value)), MAX_CHARACTERS, (shown) => h("code", { class: "json" }, shown));
}

// What a client leaves empty was not said.
const known = (value) => (isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null)) : value);

/** A text of any length as paragraphs, with fenced code set apart. */
export function prose(text, limit = MAX_CHARACTERS) {
  return long(text, limit, (shown) => h("div", { class: "prose", dir: "auto" }, shown.split("```").map(fenced)));
}

function fenced(piece, index) {
  return index % 2 ? h("pre", null, piece.replace(/^[\w+#.-]*\n/, "").trimEnd()) : piece.trim();
}

function long(text, limit, render) {
  if (text.length <= limit) return render(text);
  const all = button(`Show all ${count(text.length)} characters`, () => node.replaceWith(render(text)));
  const node = h("div", null, render(`${text.slice(0, limit)}\u2026`), all);
  return node;
}
