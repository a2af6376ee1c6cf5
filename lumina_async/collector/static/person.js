// Who it was: the known user, also of what they said before anybody knew them.

import { copyable, fields, h, ident, isBlank } from "./dom.js";
import { chip } from "./notes.js";

const MAX_PROPERTIES = 24;
const MAX_ALIASES = 3;

/** The name to show for a session. */
export const nameOf = (session) => session.user_id ?? session.distinct_id ?? "unknown";

/** The mark of what a known user said as a visitor. */
export const earlier = (id) => h("span", { class: "tag earlier-id", title: "Recorded before this user was known" }, "earlier anonymous ", ident(id, 24));

/** Whether somebody is a visitor, or was one when the session was recorded. */
export function marks(session) {
  if (isBlank(session.user_id)) return session.anonymous === true && h("span", { class: "tag" }, "anonymous");
  return session.distinct_id !== session.user_id && h("span", { class: "tag", title: `Recorded as ${session.distinct_id}` }, "earlier anonymous");
}

/** What is known of a user: properties, and the ids under which they came before. */
export function person(user) {
  const all = Object.entries(fields(user.properties));
  const ids = Array.isArray(user.aliases) ? user.aliases : [];
  const more = [all.length - MAX_PROPERTIES, ids.length - MAX_ALIASES];
  const shown = [
    ...all.slice(0, MAX_PROPERTIES).map(([name, value]) => chip(name, value)),
    more[0] > 0 && h("span", { class: "none" }, `and ${more[0]} more`),
    ...ids.slice(0, MAX_ALIASES).map((id) => copyable("earlier anonymous", id)),
    more[1] > 0 && h("span", { class: "none" }, `and ${more[1]} more ids`),
  ].filter(Boolean);
  return shown.length > 0 && h("div", { class: "chips person" }, shown);
}
