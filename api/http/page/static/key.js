// The API key, where the server wants one.

import { byId } from "./dom.js";
import { load, save } from "./store.js";

let question = null; // several requests may meet the same refusal: one dialog for all

export function keyHeaders() {
  const key = load("key", "");
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Resolves to whether there is a new key. */
export function askForKey() {
  question ??= ask().finally(() => {
    question = null;
  });
  return question;
}

function ask() {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  dialog.returnValue = "";
  input.value = "";
  byId("key-cancel").onclick = () => dialog.close();
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const isGiven = dialog.returnValue === "use" && input.value.trim() !== "";
      if (isGiven) save("key", input.value.trim());
      resolve(isGiven);
    };
  });
}
