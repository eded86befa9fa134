// Markdown within a line: text in, nodes out.

import { el } from "./dom.js";

const MOST_CHARS = 20_000; // of one paragraph; what is longer is shown as it is
const MOST_LEVELS = 6; // of emphasis in emphasis
const SAFE_LINK = /^(https?:|mailto:)/i;

const MARKS = new RegExp(
  [
    /\\(?<escaped>[\\`*_{}[\]()#+\-.!~|<>])/,
    /(?<ticks>`+)(?<code>[^`]|[^`].*?[^`])\k<ticks>(?!`)/,
    /\*\*(?<bold>\S|\S.*?\S)\*\*(?!\*)/,
    /(?<!\w)__(?<bold2>\S|\S.*?\S)__(?!\w)/,
    /\*(?<italic>[^\s*]|[^\s*][^*]*[^\s*])\*/,
    /(?<!\w)_(?<italic2>[^\s_]|[^\s_][^_]*[^\s_])_(?!\w)/,
    /~~(?<struck>\S|\S.*?\S)~~/,
    /!?\[(?<label>[^\]\n]*)\]\((?<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)?)(?: "[^"]*")?\)/,
    /(?<address>https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]*_])/,
  ]
    .map((mark) => mark.source)
    .join("|"),
  "gs",
);

/** Nodes for a paragraph's text. */
export function inlineNodes(text, level = 0) {
  if (text.length > MOST_CHARS || level > MOST_LEVELS) return [text];
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(MARKS)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(markNode(match.groups, match[0], level + 1));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

function markNode(groups, source, level) {
  const { escaped, code, bold, bold2, italic, italic2, struck, target, label, address } = groups;
  const inner = (text) => inlineNodes(text, level);
  if (escaped) return escaped;
  if (code) return el("code", {}, code.replace(/^ (.+) $/s, "$1"));
  if (bold ?? bold2) return el("strong", {}, ...inner(bold ?? bold2));
  if (italic ?? italic2) return el("em", {}, ...inner(italic ?? italic2));
  if (struck) return el("s", {}, ...inner(struck));
  if (address) return link(address, [address]);
  // An image becomes a link too: the page loads nothing that a model names.
  return SAFE_LINK.test(target) ? link(target, inner(label || target)) : source;
}

function link(href, children) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
