// What was said of a turn: by people in feedback events, by the app in its annotations.

import { fields, h, ident, isBlank, objects, str } from "./dom.js";
import { isNumber, when } from "./format.js";
import { prose } from "./message.js";

const GOOD = new Set(["thumbs_up", "positive", "up", "good", "like", "yes", "true"]);
const BAD = new Set(["thumbs_down", "negative", "down", "bad", "dislike", "no", "false"]);
const LABEL_CHARACTERS = 60;
const COMMENT_CHARACTERS = 2000;

/** The annotations that are feedback; they are shown here and not among the others. */
export const FEEDBACK_ANNOTATIONS = new Set(["feedback", "feedback_score", "helpful"]);

/** What was said of a turn, in order; an empty element when nothing was, so that more can take its place. */
export function said(turn) {
  const { feedback, feedback_score: score, helpful } = fields(turn.annotations);
  const own = [feedback, score, helpful].every(isBlank) ? [] : [{ label: feedback, score, helpful, feedback_source: "annotation" }];
  return h("div", { class: "said" }, [...own, ...objects(turn.feedback)].map(opinion));
}

function opinion(one) {
  const label = str(one.label);
  const isText = label.length > LABEL_CHARACTERS;
  const shown = [
    !isBlank(one.kind) && one.kind !== "feedback" && h("span", { class: "tag" }, ident(one.kind, LABEL_CHARACTERS)),
    label && !isText && h("b", null, ident(label.replaceAll("_", " "))),
    !isBlank(one.helpful) && h("b", null, typeof one.helpful === "boolean" ? (one.helpful ? "Helpful" : "Not helpful") : ident(one.helpful)),
    !isBlank(one.score) && h("span", null, "score ", h("b", null, ident(one.score, LABEL_CHARACTERS))),
  ].filter(Boolean);
  return h("div", { class: `opinion ${tone(one)}` },
    h("p", { class: "line" }, shown.length ? shown : h("b", null, "Feedback"),
      !isBlank(one.feedback_source) && one.feedback_source !== "user" && h("span", { class: "target" }, "by ", ident(one.feedback_source, LABEL_CHARACTERS)),
      !isBlank(one.ts ?? one.received_at) && when(one.ts ?? one.received_at, true)),
    isText && prose(label, COMMENT_CHARACTERS), !isBlank(one.comment) && prose(str(one.comment), COMMENT_CHARACTERS));
}

// Only what is plain is coloured: a 3 is good or bad on a scale that nobody told.
function tone({ label, helpful, score, kind }) {
  const word = str(isBlank(label) ? helpful : label).toLowerCase();
  if (GOOD.has(word)) return "good";
  if (BAD.has(word)) return "bad";
  if (kind === "nps" && isNumber(score)) return score >= 9 ? "good" : score <= 6 ? "bad" : "";
  return isNumber(score) && score < 0 ? "bad" : "";
}
