// Markdown's blocks: text in, a list of plain values out. Each has the `source` that it was made of.

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const BLANK = /^\s*$/;

/** The blocks of a text, which may end in the middle of one. */
export function splitBlocks(text) {
  const lines = text.replaceAll("\t", "    ").split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (BLANK.test(lines[at])) {
      at += 1;
      continue;
    }
    const [block, next] = readBlock(lines, at);
    blocks.push({ ...block, source: lines.slice(at, next).join("\n") });
    at = next;
  }
  return blocks;
}

function readBlock(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return readCode(lines, at);
  if (HEADING.test(line)) return [heading(line), at + 1];
  if (RULE.test(line)) return [{ kind: "rule" }, at + 1];
  if (QUOTE.test(line)) return readQuote(lines, at);
  if (ITEM.test(line)) return readList(lines, at);
  if (isTable(lines, at)) return readTable(lines, at);
  return readParagraph(lines, at);
}

function readCode(lines, at) {
  const [, fence, language] = FENCE.exec(lines[at]);
  const isEnd = (line) => line.trim().startsWith(fence) && /^(`+|~+)$/.test(line.trim());
  let end = at + 1;
  while (end < lines.length && !isEnd(lines[end])) end += 1;
  return [{ kind: "code", language, text: lines.slice(at + 1, end).join("\n") }, end + 1];
}

function heading(line) {
  const [, marks, text] = HEADING.exec(line);
  return { kind: "heading", level: marks.length, text: text.trim().replace(/ #+$/, "") };
}

function readQuote(lines, at) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [{ kind: "quote", text: inner.join("\n") }, end];
}

function readList(lines, at) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(mark);
  const items = [];
  let depth = 0; // of the text of the item that is being read
  let end = at;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const found = ITEM.exec(line);
    const isOwn = found && found[1].length <= indent.length + 1;
    if (isOwn && (/\d/.test(found[2]) !== isOrdered || RULE.test(line))) break;
    if (isOwn) {
      depth = found[0].length;
      items.push([line.slice(depth)]);
    } else if (goesOn(lines, end, depth)) items.at(-1).push(unindented(line, depth));
    else break;
  }
  const texts = items.map((each) => each.join("\n"));
  return [{ kind: "list", isOrdered, start: parseInt(mark, 10) || 1, items: texts }, end];
}

/** Whether a line belongs to the item above: it is indented, or text right behind text. */
function goesOn(lines, at, depth) {
  const isIndented = (line) => line.length - line.trimStart().length >= Math.min(depth, 2);
  if (BLANK.test(lines[at])) {
    const next = lines[at + 1];
    return next !== undefined && !BLANK.test(next) && (isIndented(next) || ITEM.test(next));
  }
  return isIndented(lines[at]) || (!BLANK.test(lines[at - 1]) && !startsBlock(lines, at));
}

const unindented = (line, depth) => line.slice(Math.min(depth, line.length - line.trimStart().length));

function isTable(lines, at) {
  if (!lines[at].includes("|") || at + 1 >= lines.length || !lines[at + 1].includes("-")) return false;
  const rule = cells(lines[at + 1]);
  return rule.length === cells(lines[at]).length && rule.every((cell) => /^:?-+:?$/.test(cell));
}

function readTable(lines, at) {
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end += 1;
  const aligns = cells(lines[at + 1]).map((rule) => (rule.endsWith(":") ? "end" : "start"));
  return [{ kind: "table", head: cells(lines[at]), aligns, rows: lines.slice(at + 2, end).map(cells) }, end];
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function readParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !BLANK.test(lines[end]) && !startsBlock(lines, end)) end += 1;
  return [{ kind: "paragraph", text: lines.slice(at, end).join("\n") }, end];
}

const startsBlock = (lines, at) =>
  [FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(lines[at])) || isTable(lines, at);
