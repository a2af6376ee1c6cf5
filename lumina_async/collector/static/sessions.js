// The list of sessions, latest activity first, with its search.

import { get } from "./api.js";
import { button, h, ident, objects } from "./dom.js";
import { count, dollars, isNumber, plural, when } from "./format.js";
import { marks, nameOf } from "./person.js";
import { spent } from "./tokens.js";

export const sessionHash = (id) => `#/sessions/${encodeURIComponent(id.toWellFormed())}`;

export class Sessions {
  items = [];
  text = "";
  isLoaded = false;
  #chosen = null;
  #next = null;
  #rows = new Map();

  constructor(list, state) {
    this.list = list;
    this.state = state;
  }

  /** Load the first page again; sessions that were loaded before stay below it. */
  async refresh() {
    await this.#load(null, (page) => {
      const ids = new Set(page.items.map((item) => item.session_id));
      // Without a session in common there may be a gap between the page and what was loaded before.
      const isNext = this.items.some((item) => ids.has(item.session_id));
      const older = isNext ? this.items.filter((item) => !ids.has(item.session_id)) : [];
      this.items = [...page.items, ...older];
      if (!older.length) this.#next = page.next;
    });
  }

  /** Show what holds this text. */
  async search(text) {
    this.text = text;
    await this.#load(null, (page) => {
      this.items = page.items;
      this.#next = page.next;
    });
  }

  async #more() {
    await this.#load(this.#next, (page) => {
      const ids = new Set(this.items.map((item) => item.session_id));
      this.items.push(...page.items.filter((item) => !ids.has(item.session_id)));
      this.#next = page.next;
    });
  }

  async #load(cursor, take) {
    const { text } = this;
    try {
      const page = await get("/api/sessions", { q: text, cursor });
      if (text !== this.text) return;
      take({ items: objects(page.items).filter((item) => typeof item.session_id === "string"), next: page.next });
      this.isLoaded = true;
      this.#show();
    } catch (error) {
      this.#fail(error);
    }
  }

  choose(id) {
    this.#chosen = id;
    for (const [key, row] of this.#rows) mark(row.node, key === id);
    this.#rows.get(id)?.node.scrollIntoView({ block: "nearest" });
  }

  /** The session that is `step` rows away from the chosen one. */
  neighbour(step) {
    const at = this.items.findIndex((item) => item.session_id === this.#chosen);
    const to = at < 0 ? 0 : Math.min(this.items.length - 1, Math.max(0, at + step));
    return this.items[to]?.session_id;
  }

  #show() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.hash : null;
    const old = this.#rows;
    this.#rows = new Map(this.items.map((item) => [item.session_id, reuse(old.get(item.session_id), item)]));
    this.list.replaceChildren(...[...this.#rows.values()].map((row) => h("li", null, row.node)));
    for (const [key, row] of this.#rows) {
      mark(row.node, key === this.#chosen);
      if (focused && row.node.hash === focused) row.node.focus({ preventScroll: true });
    }
    const none = this.text ? "Nothing found." : "No sessions yet.";
    const more = this.#next && button("Load more", () => this.#more());
    this.state.replaceChildren(this.items.length ? more || "" : none);
  }

  #fail(error) {
    this.state.replaceChildren(h("span", { class: "bad" }, error.message), " ", button("Try again", () => this.refresh()));
  }
}

function mark(node, isChosen) {
  if (isChosen) node.setAttribute("aria-current", "page");
  else node.removeAttribute("aria-current");
}

function reuse(row, item) {
  const key = JSON.stringify(item);
  return row?.key === key ? row : { key, node: renderRow(item) };
}

function renderRow(item) {
  return h("a", { class: "row", href: sessionHash(item.session_id) },
    h("span", { class: "line" }, h("b", { class: "who" }, ident(nameOf(item))), when(item.last_at)),
    typeof item.preview === "string" ? h("span", { class: "preview", dir: "auto" }, item.preview.slice(0, 160)) : h("span", { class: "none" }, "No text"),
    h("span", { class: "line counts" }, plural(item.turns, "turn"), marks(item), tally(item.errors, "error", "bad"), tally(item.cancelled, "cancelled", "warn"), tally(item.feedback, "feedback"), sum(item)));
}

function sum({ cost_usd: usd, unpriced }) {
  return isNumber(usd) && h("span", { title: spent(usd, unpriced) }, dollars(usd), unpriced > 0 && "+");
}

export function tally(value, what, kind) {
  if (!isNumber(value) || value < 1) return null;
  return h("span", { class: kind }, what === "error" ? plural(value, what) : `${count(value)} ${what}`);
}
