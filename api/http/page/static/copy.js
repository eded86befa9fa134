// Copying text.

import { button, el } from "./dom.js";

const SHOWN_MS = 1500;

/** `read` gives the text at the moment of the click. */
export function copyButton(read) {
  const node = button("Copy", async () => {
    node.textContent = (await copy(read())) ? "Copied" : "Not allowed";
    setTimeout(() => {
      node.textContent = "Copy";
    }, SHOWN_MS);
  });
  return node;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // browsers have a clipboard on https and localhost only
  }
}

function copyBySelection(text) {
  const area = el("textarea", { value: text, className: "off-screen" });
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}
