// What a step unfolds to: named values, each as readable as it can be.

import { h, ident, isBlank, isObject, str } from "./dom.js";
import { failure } from "./notes.js";

const LINE_CHARACTERS = 80;
const VALUE_CHARACTERS = 20_000;
const MAX_PAIRS = 30;

/** A named part of a step, or nothing where there is nothing to show. */
export function part(name, shown) {
  if (!shown) return null;
  return h("div", { class: "inside" }, h("span", { class: "kind" }, name), typeof shown === "string" ? h("span", null, ident(shown, 400)) : shown);
}

/** A value as text, or as JSON. */
export const value = (name, given) => part(name, !isBlank(given) && plain(given));

/** A few plain settings as a line of facts, anything else as JSON. */
export const settings = (name, given) => part(name, !isBlank(given) && pairsOf(given));

/** The error of a step. */
export const fault = (error) => part("error", !isBlank(error) && failure("", error));

export const fact = (name, shown) => h("div", null, h("dt", null, name), h("dd", null, shown));

export function pairsOf(given) {
  const entries = isObject(given) ? Object.entries(given) : [];
  const isFlat = entries.length <= MAX_PAIRS && entries.every(([, one]) => typeof one !== "object" && str(one).length <= LINE_CHARACTERS);
  return isFlat && entries.length ? h("dl", { class: "told" }, entries.map(([name, one]) => fact(ident(name, 60), ident(one)))) : plain(given);
}

export function plain(given) {
  const text = str(given);
  return h("pre", { class: "json" }, (text.length > LINE_CHARACTERS ? str(given, 2) : text).slice(0, VALUE_CHARACTERS));
}
