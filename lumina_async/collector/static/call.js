// One call of a model, unfolded: what was said, the tools it asked for, and every fact that was told.

import { capped, copyable, h, ident, isBlank, isObject, objects } from "./dom.js";
import { count, duration, isNumber, when } from "./format.js";
import { fact, fault, pairsOf, part, plain, settings } from "./inside.js";
import { bubble } from "./message.js";
import { messagesOf } from "./spoken.js";
import { costOfCall, tokensOfCall } from "./tokens.js";

const MAX_MESSAGES = 200;
const MAX_CALLS = 50;

/** What a model's step holds; `leadTo` makes the way to the step of a tool's call, or nothing where there is none. */
export function insideCall(turn, call, leadTo) {
  return [
    part("input", said(call.input, "user")), part("output", said(call.output, "assistant")), part("tool calls", wanted(call.tool_calls, leadTo)),
    part("facts", facts(call)), part("tokens", tokensOfCall(call) || (!isBlank(call.usage) && plain(call.usage))),
    part("cost", costOfCall(turn, call)), settings("meta", call.meta), fault(call.error),
  ];
}

function facts(call) {
  const told = [
    ["provider", call.provider], ["model", call.model], ["answered by", call.response_model === call.model ? null : call.response_model],
    ["prompt", call.prompt_id], ["status", call.status], ["outcome", call.outcome], ["finish reason", call.finish_reason],
    ["latency", time(call.latency_ms)], ["first token", time(call.ttft_ms)], ["longest gap", time(call.longest_gap_ms)],
    ["tokens/s", isNumber(call.tokens_per_s) ? Number(call.tokens_per_s.toPrecision(3)) : call.tokens_per_s],
    ["chunks", isNumber(call.chunks) ? count(call.chunks) : call.chunks],
  ].filter(([, value]) => !isBlank(value)).map(([name, value]) => fact(name, ident(value)));
  const ids = [["response", call.response_id], ["span", call.span_id]].filter(([, id]) => !isBlank(id)).map(([name, id]) => copyable(name, id));
  const started = !isBlank(call.started_at) && fact("started", when(call.started_at, true));
  return h("div", { class: "ids" }, h("dl", { class: "told" }, told.length || started ? [told, started] : fact("nothing", "was told")), ids);
}

const time = (ms) => (isBlank(ms) ? null : duration(ms));

// Messages as small bubbles; anything else as it is.
function said(value, role) {
  if (isBlank(value)) return null;
  const messages = messagesOf(value, role);
  return messages ? h("div", { class: "messages small" }, capped(messages, MAX_MESSAGES, (message) => bubble(message))) : plain(value);
}

function wanted(calls, leadTo) {
  if (isBlank(calls)) return null;
  const all = objects(calls);
  return all.length ? h("div", { class: "wanted" }, capped(all, MAX_CALLS, (call) => asked(call, leadTo))) : plain(calls);
}

function asked(call, leadTo) {
  const { name, arguments: given } = isObject(call.function) ? call.function : call;
  return h("div", null,
    h("div", { class: "line" }, h("b", { class: "call" }, ident(name ?? "tool")), !isBlank(call.id) && h("code", { class: "target" }, ident(call.id)), leadTo(call.id)),
    !isBlank(given) && pairsOf(given));
}
