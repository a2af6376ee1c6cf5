// Puts the parts together: address, keys, live stream.

import { coalesce, get, listen } from "./api.js";
import { Conversation } from "./conversation.js";
import { tick } from "./format.js";
import { offerProjects } from "./projects.js";
import { sessionHash, Sessions } from "./sessions.js";
import { showLive, showLost, showTotals } from "./totals.js";
import { nothingChosen, welcome } from "./welcome.js";

const PAUSE_MS = 400;
const TYPING_MS = 180;
const TICK_MS = 15_000;
const PREFIX = "#/sessions/";

const at = (id) => document.getElementById(id);
const main = at("main");
const box = at("search");
const sessions = new Sessions(at("list"), at("list-state"));
const conversation = new Conversation(main);
let place = { project: "default", login: false };
const isWide = matchMedia("(min-width: 761px)");

function chosenId() {
  if (!location.hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(location.hash.slice(PREFIX.length)) || null;
  } catch {
    return null;
  }
}

async function route() {
  const id = chosenId();
  document.body.classList.toggle("reading", id !== null);
  sessions.choose(id);
  if (id === null) showNone();
  if (id !== conversation.id) await conversation.open(id);
}

function showNone() {
  if (!sessions.isLoaded) return;
  const [first] = sessions.items;
  const isEmpty = !first && !sessions.text;
  document.body.classList.toggle("empty", isEmpty);
  if (first && !sessions.text && isWide.matches) {
    history.replaceState(null, "", sessionHash(first.session_id));
    route();
  } else main.replaceChildren(isEmpty ? welcome(place) : nothingChosen());
}

const refreshList = coalesce(async () => {
  await sessions.refresh();
  if (chosenId() === null) showNone();
}, PAUSE_MS);

const refreshStats = coalesce(async () => {
  const stats = await get("/api/stats").catch(() => null);
  if (!stats) return;
  showTotals(at("stats"), stats);
  showLost(at("lost"), stats);
}, PAUSE_MS);

const refreshConversation = coalesce(() => conversation.refresh(), PAUSE_MS);

function onEvent(event) {
  refreshList();
  refreshStats();
  const isMet = event.name === "identify";
  const isHeard = event.name === "feedback" && conversation.heard(event.turn_id);
  if (isMet) conversation.met();
  if (isMet || isHeard || event.session_id === conversation.id) refreshConversation();
}

let wasCut = false;

function onState(isLive) {
  showLive(at("live"), isLive);
  // What came during a gap was told to nobody.
  if (isLive && wasCut) [refreshList, refreshStats, () => conversation.catchUp()].forEach((refresh) => refresh());
  wasCut = !isLive;
}

function move(step) {
  const id = sessions.neighbour(step);
  if (id !== undefined) location.hash = sessionHash(id);
}

const KEYS = { j: () => move(1), k: () => move(-1), "/": () => box.focus() };

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && sessions.items.length) location.hash = sessionHash(sessions.items[0].session_id);
  if (event.key === "Escape") box.blur();
});

let typing = 0;
box.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => sessions.search(box.value.trim()), TYPING_MS);
});

addEventListener("hashchange", route);
setInterval(tick, TICK_MS);
place = await offerProjects(at("place")).catch(() => place);
listen(onEvent, onState);
refreshStats();
refreshList();
route();
