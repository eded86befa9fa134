// One message on the screen.

import { copyButton } from "./copy.js";
import { button, el } from "./dom.js";
import { percent, rate, seconds } from "./format.js";
import { codeNode, showMarkdown } from "./markdown.js";

const ENDS = { stopped: "stopped", interrupted: "interrupted", length: "token limit reached" };

/** `actions`: what may be done with the message: edit(text), regenerate(), answerCalls(results). */
export class MessageView {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.body = el("div", { className: "body" });
    this.foot = el("footer");
    this.node = el("article", { className: `message ${message.role}` }, this.body, this.foot);
    this.showParts();
    this.showEnd();
  }

  /** Again, while the answer comes. */
  showParts() {
    if (this.message.role === "assistant") this.#showAnswer();
    else this.body.replaceChildren(plainText(this.message));
  }

  /** What stands below: an answer's when it has ended. */
  showEnd(isRunning = false) {
    this.node.classList.toggle("running", isRunning);
    this.foot.replaceChildren(...(isRunning ? [] : this.#footNodes()));
  }

  #showAnswer() {
    const { content, reasoning, calls, error } = this.message;
    this.text ??= el("div", { className: "markdown" });
    const parts = [reasoning && this.#thinking(), this.text, ...(calls ?? []).map(callNode)];
    if (error) parts.push(el("p", { className: "error", role: "alert" }, error));
    showMarkdown(this.text, content);
    const wanted = parts.filter(Boolean);
    const shown = [...this.body.childNodes];
    // The text stays in its place where it can: moving it would lose a selection in it.
    if (calls?.length || error || shown.length !== wanted.length || shown.some((node, i) => node !== wanted[i])) {
      this.body.replaceChildren(...wanted);
    }
  }

  /** Folded, but for whoever opens it. */
  #thinking() {
    this.thoughts ??= el("div", { className: "thoughts" });
    this.thinking ??= el("details", {}, el("summary", {}, "Thinking"), this.thoughts);
    this.thoughts.textContent = this.message.reasoning.trim();
    return this.thinking;
  }

  #footNodes() {
    const { role, content, calls, finish } = this.message;
    if (role === "tool") return [];
    const nodes = [el("span", { className: "numbers" }, ...figures(this.message), ENDS[finish] ?? "")];
    if (finish === "tool_calls" && this.actions.answerCalls) nodes.unshift(this.#results(calls));
    if (content) nodes.push(copyButton(() => this.message.content));
    if (role === "user") nodes.push(button("Edit", () => this.#edit()));
    if (role === "assistant") nodes.push(button("Regenerate", this.actions.regenerate));
    return nodes;
  }

  #edit() {
    const area = el("textarea", { value: this.message.content, rows: 4, ariaLabel: "Edited message" });
    const send = button("Send again", () => area.value.trim() && this.actions.edit(area.value), { className: "main" });
    const cancel = button("Cancel", () => {
      this.showParts();
      this.showEnd();
    });
    this.body.replaceChildren(area);
    this.foot.replaceChildren(cancel, send);
    area.focus();
  }

  /** Whoever tries tools plays their part. */
  #results(calls) {
    const inputs = calls.map((call) => el("input", { placeholder: `What ${call.name} returns`, ariaLabel: call.name }));
    const send = () => this.actions.answerCalls(inputs.map((input) => input.value));
    return el("div", { className: "results" }, ...inputs, button("Send results", send, { className: "main" }));
  }
}

function plainText(message) {
  const label = message.role === "tool" ? [el("strong", {}, "Result: ")] : [];
  return el("div", { className: "plain" }, ...label, message.content);
}

function callNode(call) {
  return codeNode(indented(call.arguments), `Call of ${call.name}`);
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // it is still coming, or the model wrote no JSON
  }
}

function figures({ timing }) {
  if (!timing) return [];
  const { firstSeconds, perSecond, numTokens, isExact, promptTokens, cachedTokens } = timing;
  const found = [`TTFT ${seconds(firstSeconds)}`, `${isExact ? "" : "about "}${numTokens} tokens`];
  if (perSecond) found.unshift(`${rate(perSecond)} tokens/s`);
  if (promptTokens) found.push(`prompt ${promptTokens}`);
  if (cachedTokens) found.push(`${percent(cachedTokens / promptTokens)} cached`);
  return found.map((text) => el("span", {}, text));
}
