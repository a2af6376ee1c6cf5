// Which project the page shows: the one in its address, so that a link leads to the same for everybody.

import { get, leave } from "./api.js";
import { button, h } from "./dom.js";

const NAME = "project";

/** The project in the address, or null for the one that the collector chooses. */
export const chosenProject = () => new URLSearchParams(location.search).get(NAME);

/** Choose a project where none is chosen and several are there; offer the others, and the way out. */
export async function offerProjects(root) {
  const { items, login } = await get("/api/projects");
  const names = items.map((item) => item.project);
  const chosen = chosenProject() ?? (names.includes("default") || !names.length ? "default" : names[0]);
  if (chosenProject() === null && names.length > 1) history.replaceState(null, "", addressOf(chosen) + location.hash);
  if (!names.includes(chosen)) names.push(chosen);
  const options = names.map((name) => h("option", { value: name, selected: name === chosen }, name));
  const select = h("select", { class: "project", "aria-label": "Project", onchange: ({ target }) => location.assign(addressOf(target.value)) }, options);
  root.replaceChildren(...[names.length > 1 && select, login && button("Log out", leave, "leave")].filter(Boolean));
  return { project: chosen, login };
}

const addressOf = (project) => `/?${new URLSearchParams({ [NAME]: project })}`;
