// What the page asks the collector.

const NAMES = [
  "turn", "session_started", "identify", "feedback", "signal", "external", "sdk_report",
  "chat_input_started", "chat_message_submitted", "chat_input_abandoned", "other",
];
const RETRY_MS = 3000;

/** GET some JSON; the error of a refusal carries its status and a sentence for people. */
export async function get(path, params = {}) {
  const project = new URLSearchParams(location.search).get("project");
  const query = new URLSearchParams(Object.entries({ ...params, project }).filter(([, value]) => value));
  const response = await fetch(`${path}?${query}`, { headers: { Accept: "application/json" } }).catch(() => {
    throw new Error("The collector does not answer.");
  });
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  if (response.status === 401) toLogin();
  const text = body?.error?.message;
  throw Object.assign(new Error(typeof text === "string" ? text : `The collector answered ${response.status}.`), { status: response.status });
}

function toLogin() {
  location.replace(`/login${location.search}${location.hash}`);
}

/** Log out. */
export async function leave() {
  await fetch("/logout", { method: "POST", headers: { "X-Lumina-Action": "logout" } }).catch(() => null);
  toLogin();
}

/** Listen to the live stream for good. `onState` hears true and false; a gap ends with `onState(true)`. */
export function listen(onEvent, onState) {
  const source = new EventSource(`/api/live${location.search}`);
  const heard = ({ data }) => onEvent(parsed(data));
  for (const name of NAMES) source.addEventListener(name, heard);
  source.onopen = () => onState(true);
  source.onerror = () => {
    onState(false);
    // After a refusal the browser gives up by itself; a collector that restarts may refuse for a moment.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(onEvent, onState), RETRY_MS);
  };
}

function parsed(data) {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return {};
  }
}

/** Return a function that asks for a run: at once when idle, never two at a time, with a pause between. */
export function coalesce(run, pauseMs) {
  let isWanted = false;
  let isBusy = false;
  return async () => {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    while (isWanted) {
      isWanted = false;
      await run();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    isBusy = false;
  };
}
