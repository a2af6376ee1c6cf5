// What to see while there is nothing to see: how to send the first turn.

import { button, copy, h } from "./dom.js";

const snippet = (origin, key) => `from lumina_async import Lumina

await Lumina.init(endpoint="${origin}", write_key="${key}")
session = await Lumina.session.start()
async with session.turn() as t:
    reply = await t.wrap_llm(call_model, model="gpt-4o")
    await t.set_messages([
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": reply},
    ])`;

export function welcome({ project, login }) {
  const text = snippet(location.origin, login ? "gi_..." : "gi_dev");
  const code = h("pre", { tabindex: 0 }, text);
  const copies = button("Copy", () => copy(copies, text, code), "copy");
  return h("section", { class: "blank" }, h("h2", null, "Send the first turn"),
    h("p", null, "Run this where your app calls its model. The turn shows up here by itself."),
    login && h("p", null, "The key is one of this project: ", h("code", null, `lumina keys create --project ${project}`)),
    h("div", { class: "snippet" }, code, copies), h("p", { class: "waiting" }, "Waiting for the first turn"));
}

export const nothingChosen = () => h("section", { class: "blank" }, h("p", null, "Choose a session."));
