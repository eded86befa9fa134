// A bar for each running chat: its place in memory, and how far it is filled.

import { el } from "./dom.js";
import { count, percent } from "./format.js";

const PARTS = [
  ["cached", "prompt, from the cache"],
  ["prefilled", "prompt, read"],
  ["unread", "prompt, still to be read"],
  ["written", "answer"],
];

export function showChats(container, { running_chats: chats, batch }) {
  const hidden = batch.running - chats.length;
  const waiting = batch.queued ? `, ${batch.queued} waiting` : "";
  container.replaceChildren(
    el("h2", {}, `${batch.running} running${waiting}`),
    ...(chats.length ? [legend()] : []),
    ...chats.map(chatBar),
    ...(hidden > 0 && chats.length ? [el("p", { className: "numbers" }, `and ${hidden} more`)] : []),
  );
}

function legend() {
  const entries = PARTS.map(([name, label]) => el("span", {}, el("i", { className: name }), label));
  return el("p", { className: "legend" }, ...entries);
}

function chatBar(chat) {
  const bar = el("div", { className: "track" }, ...parts(chat));
  return el("div", { className: "chat-bar" }, bar, el("span", { className: "numbers" }, words(chat)));
}

function parts(chat) {
  const cached = Math.min(chat.cached_tokens, chat.prefilled_tokens);
  const counts = [cached, chat.prefilled_tokens - cached, chat.prompt_tokens - chat.prefilled_tokens, chat.output_tokens];
  const whole = Math.max(chat.slot_tokens, chat.prompt_tokens + chat.output_tokens, 1);
  return PARTS.map(([name, label], i) => {
    const part = el("i", { className: name, title: `${counts[i]} tokens: ${label}` });
    part.style.width = `${(counts[i] / whole) * 100}%`;
    return part;
  });
}

function words({ prompt_tokens: prompt, prefilled_tokens: done, cached_tokens: cached, output_tokens: written, slot_tokens: place }) {
  const found = [`prompt ${count(prompt)}`];
  if (done < prompt) found.push(`${percent(done / prompt)} read`);
  if (cached) found.push(`${percent(cached / prompt)} cached`);
  found.push(`${count(written)} written`, `place of ${count(place)}`);
  return found.join(" · ");
}
