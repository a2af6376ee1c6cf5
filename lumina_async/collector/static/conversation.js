// The right side: one session as a chat that grows by itself.

import { get } from "./api.js";
import { button, copyable, h, ident, isObject, objects, str } from "./dom.js";
import { plural, when } from "./format.js";
import { pointers } from "./notes.js";
import { tally } from "./sessions.js";
import { renderTurn } from "./turn.js";

const NEAR_PX = 48;

export class Conversation {
  id = null;
  #cursor = null;
  #next = null;
  #turns = [];
  #last = Promise.resolve();

  constructor(root) {
    this.root = root;
  }

  /** Show another session, or none. */
  async open(id) {
    this.id = id;
    this.#cursor = this.#next = null;
    this.#turns = [];
    if (id === null) return;
    this.head = h("header", { class: "who-head" }, back(), h("p", { class: "none" }, "Loading"));
    this.body = h("div", { class: "turns" });
    this.foot = h("div", { class: "foot" });
    this.root.replaceChildren(this.head, this.body, this.foot);
    await this.#load(() => null);
    if (this.id === id && !this.#next) this.#toBottom();
  }

  /** Look for turns that came since, without moving what is being read. */
  async refresh() {
    if (this.id !== null) await this.#load(() => this.#cursor, true);
  }

  // One after the other, so that no answer overtakes a later one.
  #load(cursorOf, follows = false) {
    const { id } = this;
    return (this.#last = this.#last.then(() => this.id === id && this.#fetch(id, cursorOf(), follows)));
  }

  async #fetch(id, cursor, follows) {
    try {
      const page = await get(`/api/sessions/${encodeURIComponent(id.toWellFormed())}`, { cursor });
      if (this.id !== id) return;
      this.#cursor = cursor;
      this.#next = page.next;
      const wasAtBottom = this.#isAtBottom();
      const added = this.#show(page);
      if (follows && added) wasAtBottom ? this.#toBottom() : this.#announce(added);
    } catch (error) {
      if (this.id === id) this.#fail(error);
    }
  }

  #show(page) {
    this.head.replaceChildren(...heading(isObject(page.session) ? page.session : { session_id: this.id }));
    const known = new Set(this.#turns.map((turn) => turn.key));
    const fresh = objects(page.items).map(entry).filter((turn) => !known.has(turn.key));
    for (const turn of fresh) this.#insert(turn);
    const more = button("Load more turns", () => this.#load(() => this.#next));
    this.foot.replaceChildren(this.#next ? more : this.#turns.length ? "" : h("p", { class: "none" }, "No turns yet."));
    return fresh.length;
  }

  // Turns come nearly always in order: look for the place from the end.
  #insert(turn) {
    let at = this.#turns.length;
    while (at > 0 && isBefore(turn, this.#turns[at - 1])) at -= 1;
    turn.node = renderTurn(turn.event, this.#turns[at - 1]?.event);
    this.body.insertBefore(turn.node, this.#turns[at]?.node ?? null);
    this.#turns.splice(at, 0, turn);
  }

  #fail(error) {
    const text = error.status === 404 ? "This session is not here. It shows up as soon as its first turn arrives." : error.message;
    if (!this.#turns.length) this.head.replaceChildren(back());
    this.foot.replaceChildren(h("p", { class: "bad" }, text), button("Try again", () => this.refresh()));
  }

  #announce(added) {
    this.root.querySelector(".fresh")?.remove();
    const note = button(`${plural(added, "new turn")} below`, () => this.#toBottom(), "fresh");
    this.root.append(note);
    this.root.addEventListener("scroll", () => this.#isAtBottom() && note.remove());
  }

  #isAtBottom() {
    return this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < NEAR_PX;
  }

  #toBottom() {
    this.root.scrollTop = this.root.scrollHeight;
  }
}

function entry(event) {
  return { event, key: str(event.event_id), order: [str(event.started_at ?? event.ts), Number(event.seq) || 0, str(event.event_id)] };
}

function isBefore({ order: a }, { order: b }) {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && a[at] < b[at];
}

const back = () => h("a", { class: "back", href: "#/" }, "Sessions");

function heading(session) {
  return [
    back(),
    h("h2", null, ident(session.distinct_id ?? "unknown"), session.anonymous === true && h("span", { class: "tag" }, "anonymous")),
    h("p", { class: "about" }, plural(session.turns ?? 0, "turn"), tally(session.errors, "error", "bad"), tally(session.cancelled, "cancelled", "warn"),
      session.started_at && h("span", null, "started ", when(session.started_at, true))),
    h("div", { class: "chips" }, copyable("session", str(session.session_id)), pointers(session)),
  ];
}
