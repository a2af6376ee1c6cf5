// The right side: one session as a chat that grows by itself.

import { get } from "./api.js";
import { button, copyable, h, ident, isBlank, isObject, objects, str } from "./dom.js";
import { plural, when } from "./format.js";
import { pointers } from "./notes.js";
import { marks, nameOf, person } from "./person.js";
import { tally } from "./sessions.js";
import { spent } from "./tokens.js";
import { renderTurn, retold } from "./turn.js";

const NEAR_PX = 48;
const PAGE_TURNS = 50;

export class Conversation {
  id = null;
  #cursor = null;
  #next = null;
  #turns = [];
  #session = null;
  #person = {};
  #retold = new Set();
  #last = Promise.resolve();

  constructor(root) {
    this.root = root;
  }

  /** Show another session, or none. */
  async open(id) {
    this.id = id;
    this.#cursor = this.#next = null;
    this.#turns = [];
    this.#retold.clear();
    if (id === null) return;
    this.head = h("header", { class: "who-head" }, back(), h("p", { class: "none" }, "Loading"));
    this.body = h("div", { class: "turns" });
    this.foot = h("div", { class: "foot" });
    this.root.replaceChildren(this.head, this.body, this.foot);
    await this.#load(() => null);
    if (this.id === id && !this.#next) this.#toBottom();
  }

  /** Look for what came since, without moving what is being read. */
  async refresh() {
    if (this.id === null) return;
    await this.#load(() => this.#cursor, true);
    for (const id of this.#retold) {
      this.#retold.delete(id);
      const turn = await get(`/api/turns/${encodeURIComponent(id.toWellFormed())}`).catch(() => null);
      if (turn) this.#keepPlace(() => this.#retell(turn));
    }
  }

  /** Look again at everything that is shown: of what came during a gap nobody was told. */
  async catchUp() {
    if (this.id === null) return;
    this.met();
    const count = this.#turns.length;
    for (let cursor = null, seen = 0; seen === 0 || (cursor && seen < count); seen += PAGE_TURNS, cursor = this.#next) {
      await this.#load(() => cursor, true);
    }
  }

  /** Take note that something was said of a turn; tell whether it is shown. */
  heard(turnId) {
    const isShown = this.#turns.some(({ event }) => event.turn_id === turnId);
    if (isShown) this.#retold.add(turnId);
    return isShown;
  }

  /** Take note that somebody was identified. */
  met() {
    this.#person.isOld = true;
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
      this.#session = isObject(page.session) ? page.session : { session_id: id };
      const added = this.#keepPlace(() => this.#show(page), follows);
      if (added) this.#announce(added);
      this.#meet();
    } catch (error) {
      if (this.id === id) this.#fail(error);
    }
  }

  // Whoever is at the end stays there; others are left where they are, and get back how much they do not see.
  #keepPlace(change, follows = true) {
    const wasAtBottom = follows && this.#isAtBottom();
    const added = change();
    if (wasAtBottom) this.#toBottom();
    return follows && !wasAtBottom ? added : 0;
  }

  #show(page) {
    this.#head();
    const known = new Set(this.#turns.map((turn) => turn.key));
    const turns = objects(page.items).map(entry);
    const fresh = turns.filter((turn) => !known.has(turn.key));
    for (const turn of turns) if (known.has(turn.key)) this.#retell(turn.event);
    for (const turn of fresh) this.#insert(turn);
    const more = button("Load more turns", () => this.#load(() => this.#next));
    this.foot.replaceChildren(this.#next ? more : this.#turns.length ? "" : h("p", { class: "none" }, "No turns yet."));
    return fresh.length;
  }

  #head() {
    const isSame = this.#person.name === nameOf(this.#session);
    this.head.replaceChildren(...heading(this.#session, isSame ? this.#person.user : null));
    this.body.classList.toggle("known", !isBlank(this.#session.user_id));
  }

  // Who it is, is asked for once, and again when somebody was identified.
  async #meet() {
    const { id } = this;
    const name = nameOf(this.#session);
    if (isBlank(this.#session.distinct_id) || (name === this.#person.name && !this.#person.isOld)) return;
    this.#person = { name, user: name === this.#person.name ? this.#person.user : null };
    const answer = await get(`/api/users/${encodeURIComponent(name.toWellFormed())}`, { limit: 1 }).catch(() => null);
    if (this.#person.name !== name || !isObject(answer?.user)) return;
    this.#person.user = answer.user;
    if (this.id === id) this.#keepPlace(() => this.#head());
  }

  #retell({ turn_id: id, feedback }) {
    for (const turn of this.#turns) {
      if (turn.event.turn_id !== id || str(turn.event.feedback) === str(feedback)) continue;
      turn.event = { ...turn.event, feedback };
      retold(turn.node, turn.event);
    }
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

function spending({ cost_usd: usd, unpriced }) {
  const known = spent(usd, unpriced);
  return known && h("span", null, known);
}

function heading(session, user) {
  return [
    back(),
    h("h2", null, ident(nameOf(session)), marks(session)),
    h("p", { class: "about" }, plural(session.turns ?? 0, "turn"), tally(session.errors, "error", "bad"), tally(session.cancelled, "cancelled", "warn"),
      tally(session.feedback, "feedback"), spending(session), session.started_at && h("span", null, "started ", when(session.started_at, true))),
    user && person(user),
    h("div", { class: "chips" }, copyable("session", str(session.session_id)), pointers(session)),
  ].filter(Boolean);
}
