// The chats: which one is shown, what is sent, what comes back.

import { Answer } from "./answer.js";
import { button, byId, el } from "./dom.js";
import { PROMPTS } from "./examples.js";
import { MessageView } from "./message.js";
import { requestBody } from "./request.js";
import { streamChat } from "./server.js";
import { newChat, saveChat } from "./store.js";

const SAVE_MS = 1000; // while an answer comes
const NEAR_END_PX = 80; // who reads further up is left there

export class Chat {
  /** `onChange`: the list of chats is to be shown again. */
  constructor(settings, onChange) {
    this.settings = settings;
    this.onChange = onChange;
    this.running = new Map(); // chat id -> the chat whose answer comes, and what ends it
    this.forgotten = new Set(); // chat ids
    this.box = byId("messages");
    // When the page goes, its connections break: that is no answer's end.
    addEventListener("pagehide", () => {
      for (const { chat } of this.running.values()) this.#save(chat);
      this.isLeaving = true;
    });
    addEventListener("pageshow", () => {
      this.isLeaving = false;
    });
  }

  open(chat = newChat()) {
    this.chat = chat;
    this.views = new Map();
    if (!this.isRunning) endInterrupted(chat.messages);
    const views = chat.messages.map((message, index) => this.#view(message, index).node);
    this.box.replaceChildren(...(views.length ? views : [this.#welcome()]));
    this.box.scrollTop = this.box.scrollHeight;
    this.#showButtons();
    notice("");
    this.onChange();
  }

  send(text) {
    if (!text.trim() || this.isRunning) return false;
    this.chat.messages.push({ role: "user", content: text });
    this.#answer();
    return true;
  }

  stop() {
    this.running.get(this.chat.id)?.controller.abort();
  }

  /** The chat into which an answer comes, where one does: what is kept of it is older. */
  runningChat(id) {
    return this.running.get(id)?.chat;
  }

  /** Ends its answer, and does not keep it any more. */
  forget(id) {
    this.forgotten.add(id);
    this.running.get(id)?.controller.abort();
  }

  get isRunning() {
    return this.running.has(this.chat.id);
  }

  #view(message, index) {
    const view = new MessageView(message, {
      edit: (text) => this.#again(index, [{ role: "user", content: text }]),
      regenerate: () => this.#again(index, []),
      answerCalls: index === this.chat.messages.length - 1 && ((texts) => this.#answerCalls(message, texts)),
    });
    this.views.set(message, view);
    return view;
  }

  #welcome() {
    const tries = PROMPTS.map((text) => button(text, () => this.send(text)));
    return el("div", { className: "welcome" }, el("h1", {}, "What would you like to know?"), ...tries);
  }

  /** Drops what stands from `index` on, and asks anew. */
  #again(index, messages) {
    if (this.isRunning) return;
    this.chat.messages.splice(index, Infinity, ...messages);
    this.#answer();
  }

  #answerCalls(message, texts) {
    if (this.isRunning) return;
    const results = message.calls.map((call, i) => ({ role: "tool", callId: call.id, content: texts[i] }));
    this.chat.messages.push(...results);
    this.#answer();
  }

  async #answer() {
    const chat = this.chat;
    let body;
    try {
      body = requestBody(chat.messages, this.settings.values);
    } catch (error) {
      this.open(chat);
      notice(error.message);
      return;
    }
    const controller = new AbortController();
    const answer = new Answer(performance.now());
    chat.changed = Date.now();
    chat.messages.push(answer.message);
    this.running.set(chat.id, { chat, controller });
    this.#save(chat);
    this.open(chat);
    await this.#receive(chat, answer, body, controller.signal);
    this.running.delete(chat.id);
    this.#save(chat);
    this.#showEnd(chat, answer.message);
  }

  async #receive(chat, answer, body, signal) {
    let saveDueMs = 0;
    try {
      for await (const chunk of streamChat(body, signal)) {
        answer.feed(chunk, performance.now());
        this.#showSoon(chat, answer.message);
        if (performance.now() < saveDueMs) continue;
        this.#save(chat);
        saveDueMs = performance.now() + SAVE_MS;
      }
      answer.end("interrupted"); // where the model has not ended it
    } catch (error) {
      if (signal.aborted) answer.end("stopped");
      else if (error instanceof TypeError && answer.hasBegun) answer.end("interrupted"); // the connection broke
      else answer.end("failed", reasonOf(error));
    }
    answer.measure();
  }

  /** Once a frame, however many tokens come in it. */
  #showSoon(chat, message) {
    if (this.chat !== chat || this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.#keepingPlace(() => this.views.get(message)?.showParts());
    });
  }

  #showEnd(chat, message) {
    if (this.chat !== chat) return;
    const view = this.#view(message, chat.messages.length - 1);
    this.#keepingPlace(() => this.box.lastChild.replaceWith(view.node));
    this.#showButtons();
    this.onChange();
  }

  #keepingPlace(change) {
    const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR_END_PX;
    change();
    if (isAtEnd) this.box.scrollTop = this.box.scrollHeight;
  }

  #showButtons() {
    byId("send").hidden = this.isRunning;
    byId("stop").hidden = !this.isRunning;
    const last = this.chat.messages.at(-1);
    if (this.isRunning) this.views.get(last)?.showEnd(true);
  }

  #save(chat) {
    if (this.isLeaving || this.forgotten.has(chat.id)) return;
    if (!saveChat(chat)) notice("This browser has no room left: the chat is lost when the page is closed.");
  }
}

/** Answers that were coming when the page was closed. */
function endInterrupted(messages) {
  for (const message of messages) {
    if (message.role === "assistant") message.finish ??= "interrupted";
  }
}

export function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

const reasonOf = (error) =>
  error instanceof TypeError ? "The server cannot be reached." : error.message;
