// One turn, from event to element. A strange event costs its own place and nothing else.

import { button, copy, copyable, guarded, h, link, str } from "./dom.js";
import { badges } from "./endings.js";
import { factsLine, replayUrl } from "./facts.js";
import { said } from "./feedback.js";
import { when } from "./format.js";
import { transcript } from "./message.js";
import { annotations, errors } from "./notes.js";
import { earlier } from "./person.js";
import { steps } from "./steps.js";

/** Render a turn; `before` is the one above it, whose messages need not be shown again. */
export function renderTurn(turn, before) {
  const parts = [
    () => transcript(turn, before), () => said(turn), () => errors(turn), () => factsLine(turn), () => steps(turn), () => annotations(turn),
    () => identifiers(turn),
  ];
  return h("article", { class: "turn" }, guarded(() => heading(turn)), parts.map(guarded));
}

/** Show again what was said of a turn that is shown. */
export function retold(node, turn) {
  node.querySelector(".said")?.replaceWith(guarded(() => said(turn)));
}

function heading(turn) {
  const replay = replayUrl(turn);
  return h("header", { class: "turn-head" },
    h("h3", null, Number.isInteger(turn.seq) ? `Turn ${turn.seq}` : "Turn"), when(turn.started_at ?? turn.ts ?? turn.received_at, true),
    badges(turn), turn.anonymous === true && earlier(turn.distinct_id), replay && link(replay, "Replay"));
}

function identifiers(turn) {
  const raw = h("details", { class: "raw" }, h("summary", null, "Event as sent"));
  raw.addEventListener("toggle", () => showRaw(raw, turn), { once: true });
  const ids = ["turn_id", "event_id"].filter((name) => turn[name]);
  return h("footer", { class: "ids" }, ids.map((name) => copyable(name.slice(0, -3), turn[name])), raw);
}

function showRaw(details, turn) {
  const { received_at: receivedAt, feedback, ...event } = turn;
  const text = str(event, 2);
  const pre = h("pre", { class: "json" }, text.slice(0, 200_000));
  const copies = button("Copy JSON", () => copy(copies, text, pre), "copy");
  details.append(h("p", { class: "none" }, "Received ", when(receivedAt), " ", copies), pre);
}
