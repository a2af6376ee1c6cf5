// The way in: a token is exchanged for a cookie that no script can read.

const form = document.getElementById("login");
const box = document.getElementById("token");
const state = document.getElementById("state");

/** Go on to the page, with the project and the session that were asked for. */
function enter() {
  const query = new URLSearchParams(location.search);
  query.delete("failed");
  location.replace(`/${query.size ? `?${query}` : ""}${location.hash}`);
}

function ask() {
  if (new URLSearchParams(location.search).has("failed")) state.textContent = "That link does not open this page any more.";
  form.hidden = false;
  box.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch("/login", {
    method: "POST",
    headers: { "X-Lumina-Action": "login" },
    body: new URLSearchParams({ token: box.value }),
  }).catch(() => null);
  if (response?.ok) return enter();
  const body = await response?.json().catch(() => null);
  state.textContent = body?.error?.message ?? "The collector does not answer.";
  box.select();
});

// Who comes by a link of another site is logged in perhaps, but that request brought no cookie. This one does.
const response = await fetch("/api/projects").catch(() => null);
if (response?.ok) enter();
else ask();
