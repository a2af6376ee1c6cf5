// What calls of models used and what they cost, in words.

import { fields, isBlank, objects, str } from "./dom.js";
import { count, dollars, isNumber, plural } from "./format.js";

const PARTS = [
  [["input_tokens", "prompt_tokens"], "in"],
  [["output_tokens", "completion_tokens"], "out"],
  [["cached_input_tokens"], "cached"],
  [["cache_creation_input_tokens"], "to the cache"],
  [["reasoning_tokens"], "reasoning"],
];
const OTHERS = { cache_creation_1h_input_tokens: "to the cache for an hour", output_image_tokens: "of pictures", audio_tokens: "of sound" };
const NAMED = new Set([...PARTS.flatMap(([keys]) => keys), "total_tokens"]);
const MAX_PARTS = 20;

/** The tokens of a turn; what the app said itself wins over what was read from the responses. */
export function tokensOf(turn) {
  const own = fields(fields(turn.annotations).usage);
  return summed(isBlank(own) ? objects(turn.llm).map((call) => fields(call.usage)) : [own]).join(" \u00b7 ");
}

/** The tokens of one call, with every part that it tells. */
export function tokensOfCall(call) {
  const usage = fields(call.usage);
  const others = Object.entries(usage).filter(([name, tokens]) => !NAMED.has(name) && !isBlank(tokens) && tokens !== 0);
  const named = others.slice(0, MAX_PARTS).map(([name, tokens]) => `${count(tokens)} ${Object.hasOwn(OTHERS, name) ? OTHERS[name] : name.replaceAll("_", " ")}`);
  return [...summed([usage]), ...named].join(" \u00b7 ");
}

function summed(all) {
  const sum = (keys) => all.map((one) => one[keys.find((key) => isNumber(one[key]))]).filter(isNumber).reduce((a, b) => a + b, 0);
  const sums = PARTS.map(([keys, what]) => [sum(keys), what]).filter(([tokens]) => tokens > 0);
  const total = sums.length ? 0 : sum(["total_tokens"]);
  return total ? [count(total)] : sums.map(([tokens, what]) => `${count(tokens)} ${what}`);
}

/** What is known of costs; calls without a known one are not left out in silence. */
export function spent(usd, unpriced) {
  return isNumber(usd) && `${dollars(usd)}${unpriced > 0 ? ` + ${plural(unpriced, "call")} without a price` : ""}`;
}

/** What a turn cost. Where a list was asked and knew none of the calls, that is said, unless they told no tokens. */
export function costOf(turn) {
  const { usd, unpriced, list } = fields(turn.cost);
  const isAsked = !isBlank(list) && unpriced > 0 && objects(turn.llm).some((call) => !isBlank(call.usage));
  return spent(usd, unpriced) || (isAsked && `no price known for ${plural(unpriced, "call")}`);
}

/** What one call cost, by which list, or why that is not known. */
export function costOfCall(turn, call) {
  const { calls, list } = fields(turn.cost);
  const { usd, by, provider, model } = fields(Array.isArray(calls) && calls[turn.llm.indexOf(call)]);
  if (isNumber(usd)) return [dollars(usd), by === "sender" ? "as sent" : [by, provider, model].map((name) => str(name)).filter(Boolean).join(", ")].join(" \u00b7 ");
  if (isBlank(list) || call.status === "error") return "";
  return isBlank(call.usage) ? "not known: the call tells no tokens" : `no price known to ${str(list).slice(0, 80)}`;
}
