// Light and dark: the system's, until somebody chooses.

import { byId } from "./dom.js";
import { load, save } from "./store.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGNS = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };

export function startTheme() {
  show(load("theme", "auto"));
  byId("theme").onclick = () => {
    const next = NEXT[document.documentElement.dataset.theme];
    save("theme", next);
    show(next);
  };
}

function show(theme) {
  const known = theme in NEXT ? theme : "auto";
  document.documentElement.dataset.theme = known;
  byId("theme").textContent = SIGNS[known];
  byId("theme").title = "Light, dark or as the system";
}
