// Markdown as nodes. A model's text never becomes markup: everything is built from plain values.

import { splitBlocks } from "./blocks.js";
import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { inlineNodes } from "./inline.js";

const MOST_LEVELS = 8; // of lists in lists and quotes in quotes

/** Shows `text` in `container`; blocks that are there already stay, so a selection in them does too. */
export function showMarkdown(container, text) {
  const blocks = splitBlocks(text);
  const shown = container.children;
  let same = 0;
  while (same < Math.min(blocks.length, shown.length) && shown[same].source === blocks[same].source) same += 1;
  while (shown.length > same) container.lastChild.remove();
  for (const block of blocks.slice(same)) {
    const node = blockNode(block, 0);
    node.source = block.source;
    container.append(node);
  }
}

const MAKERS = {
  code: (block) => codeNode(block.text, block.language),
  heading: (block) => el(`h${Math.min(6, block.level + 2)}`, {}, ...inlineNodes(block.text)),
  rule: () => el("hr"),
  quote: (block, level) => el("blockquote", {}, ...inner(block.text, level)),
  list: listNode,
  table: tableNode,
  paragraph: (block) => el("p", {}, ...inlineNodes(block.text)),
};

const blockNode = (block, level) => MAKERS[block.kind](block, level);

/** What is nested deeper than anybody writes is shown as it is. */
function inner(text, level) {
  if (level >= MOST_LEVELS) return [text];
  return splitBlocks(text).map((block) => blockNode(block, level + 1));
}

/** A block of code with its language and a button that copies it. */
export function codeNode(text, title) {
  const caption = el("figcaption", {}, el("span", {}, title || "text"), copyButton(() => text));
  return el("figure", { className: "code" }, caption, el("pre", {}, el("code", {}, text)));
}

function listNode(block, level) {
  const items = block.items.map((text) => el("li", {}, ...itemNodes(text, level)));
  return block.isOrdered ? el("ol", { start: block.start }, ...items) : el("ul", {}, ...items);
}

/** An item's first paragraph stands beside its mark. */
function itemNodes(text, level) {
  const [first, ...others] = inner(text, level);
  const beside = first?.tagName === "P" ? [...first.childNodes] : [first ?? ""];
  return [...beside, ...others];
}

function tableNode({ head, aligns, rows }) {
  const cell = (tag) => (text, column) =>
    el(tag, { className: aligns[column] ?? "start" }, ...inlineNodes(text));
  const body = rows.map((row) => el("tr", {}, ...row.slice(0, head.length).map(cell("td"))));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head.map(cell("th")))), el("tbody", {}, ...body));
  return el("div", { className: "wide" }, table);
}
