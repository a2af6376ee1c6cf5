// The only door to the document. Every text goes in as a text node, every link through `safeUrl`.

const SVG = new Set(["svg", "rect"]);
const HIDDEN = /([\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb])/u;
const ID_CHARACTERS = 200;

/** Make an element. Properties that begin with `on` are listeners; the others attributes, left out when null or false. */
export function h(tag, props, ...children) {
  const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
  node.append(...children.flat(3).filter((child) => child != null && child !== false));
  return node;
}

function set(node, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name !== "href" || value.startsWith("#/") || safeUrl(value)) node.setAttribute(name, value === true ? "" : value);
}

/** The URL when it is absolute and http(s), otherwise null. */
export function safeUrl(value) {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : null;
  return url && /^https?:$/.test(url.protocol) ? url : null;
}

/** A link that leaves the page, or the bare text where it would be none. */
export function link(value, label) {
  const url = safeUrl(value);
  if (!url) return ident(value);
  const props = { class: "link", href: url.href, title: url.href, target: "_blank", rel: "noopener noreferrer" };
  return h("a", props, label ?? ident(url.href));
}

/** Any value as text: JSON where it is no text itself. */
export function str(value, indent) {
  if (typeof value === "string") return value;
  if (value == null) return "";
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    return "[too deep to show]";
  }
}

/** A name, id or other short text, isolated, with invisible and direction-changing characters made visible. */
export function ident(value, limit = ID_CHARACTERS) {
  const text = str(value);
  const shown = text.length > limit ? `${text.slice(0, limit)}\u2026` : text;
  const pieces = shown.split(HIDDEN).map((piece, index) => (index % 2 ? h("span", { class: "code-point" }, codePoint(piece)) : piece));
  return h("bdi", null, pieces);
}

function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

export function button(label, onclick, kind = "more") {
  return h("button", { type: "button", class: kind, onclick }, label);
}

/** A button that copies an id. */
export function copyable(label, value) {
  const text = str(value);
  const node = button([ident(label, 60), " ", h("code", null, ident(text, 64))], () => copy(node, text), "copy");
  node.title = `Copy ${text.slice(0, 300)}`;
  return node;
}

/** Copy a text and say so on the button; where the browser forbids it, select what is shown instead. */
export async function copy(button, text, source = button) {
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  } catch {
    getSelection().selectAllChildren(source);
  }
}

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const objects = (value) => (Array.isArray(value) ? value.filter(isObject) : []);
export const fields = (value) => (isObject(value) ? value : {});
export const isBlank = (value) => value == null || value === "" || (typeof value === "object" && !Object.keys(value).length);

/** Render a part of the page; a value that it cannot take costs that part alone. */
export function guarded(render) {
  try {
    return render();
  } catch (error) {
    return h("p", { class: "none" }, `This part could not be shown (${error.message}).`);
  }
}

/** Render the first items of a list that may be endless, and say how many are not shown. */
export function capped(items, limit, render) {
  const rest = items.length - limit;
  return [...items.slice(0, limit).map(render), rest > 0 && h("p", { class: "none" }, `and ${rest} more`)];
}
