// What goes with each request: system prompt, sampling, a JSON schema, tools. Kept in this browser.

import { button, byId, el } from "./dom.js";
import { SCHEMA_EXAMPLE, TOOLS_EXAMPLE } from "./examples.js";
import { load, save } from "./store.js";

const SLIDERS = [
  { name: "temperature", label: "Temperature", max: 2, step: 0.05, start: 1 },
  { name: "top_p", label: "Top p", max: 1, step: 0.01, start: 1 },
  { name: "top_k", label: "Top k", max: 200, step: 1, start: 0 },
  { name: "min_p", label: "Min p", max: 1, step: 0.01, start: 0 },
  { name: "repetition_penalty", label: "Repetition penalty", min: 0.5, max: 2, step: 0.01, start: 1 },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.05, start: 0 },
];
const NUMBERS = [
  { name: "max_tokens", label: "Answer tokens at most", min: 1 },
  { name: "seed", label: "Seed", min: 0 },
];
const EFFORTS = [["", "as the model does"], ["none", "none"], ["low", "low"], ["medium", "medium"], ["high", "high"]];
const DEFAULTS = {
  system: "",
  sampling: {}, // what is not in it is the server's to choose
  effort: "",
  useSchema: false,
  schema: SCHEMA_EXAMPLE,
  useTools: false,
  tools: TOOLS_EXAMPLE,
};

export class Settings {
  constructor() {
    this.values = { ...DEFAULTS, ...load("settings", {}) };
    this.#show();
  }

  #show() {
    byId("settings").replaceChildren(
      el("h2", {}, "System prompt"),
      this.#text("system", 4, "None"),
      el("h2", {}, "Sampling"),
      ...SLIDERS.map((slider) => this.#slider(slider)),
      ...NUMBERS.map((number) => this.#number(number)),
      el("h2", {}, "Thinking"),
      this.#effort(),
      el("h2", {}, "Answer as JSON"),
      this.#switch("useSchema", "Keep to this schema"),
      this.#text("schema", 8, "A JSON schema"),
      el("h2", {}, "Tools"),
      this.#switch("useTools", "Offer these tools"),
      this.#text("tools", 8, "A list of tools"),
      button("Reset everything", () => this.#reset()),
    );
  }

  #reset() {
    this.values = { ...DEFAULTS, sampling: {} };
    this.#keep();
    this.#show();
  }

  #keep() {
    save("settings", this.values);
  }

  #set(name, value) {
    this.values[name] = value;
    this.#keep();
  }

  #sample(name, value) {
    if (value === undefined) delete this.values.sampling[name];
    else this.values.sampling[name] = value;
    this.#keep();
  }

  #text(name, rows, placeholder) {
    const oninput = (event) => this.#set(name, event.target.value);
    const value = this.values[name];
    return el("textarea", { name, rows, placeholder, value, oninput, spellcheck: false, ariaLabel: placeholder });
  }

  #switch(name, label) {
    const onchange = (event) => this.#set(name, event.target.checked);
    const box = el("input", { type: "checkbox", name, checked: this.values[name], onchange });
    return el("label", { className: "switch" }, box, label);
  }

  /** One that nobody has moved sends nothing: the model's own value holds. */
  #slider({ name, label, min = 0, max, step, start }) {
    const shown = el("output");
    const range = el("input", { type: "range", name, min, max, step, oninput: () => choose(range.valueAsNumber) });
    const clear = button("×", () => choose(undefined), { title: "The model's own value", ariaLabel: `Reset ${label}` });
    const show = (value) => {
      range.value = value ?? start;
      shown.textContent = value ?? "model's own";
      row.classList.toggle("unset", value === undefined);
    };
    const choose = (value) => {
      this.#sample(name, value);
      show(value);
    };
    const row = el("label", { className: "slider" }, el("span", {}, label), shown, clear, range);
    show(this.values.sampling[name]);
    return row;
  }

  #number({ name, label, min }) {
    const oninput = (event) => {
      const value = event.target.valueAsNumber;
      this.#sample(name, Number.isNaN(value) ? undefined : Math.max(min, Math.round(value)));
    };
    const value = this.values.sampling[name] ?? "";
    const input = el("input", { type: "number", name, min, step: 1, value, placeholder: "any", oninput });
    return el("label", { className: "number" }, label, input);
  }

  #effort() {
    const options = EFFORTS.map(([value, text]) => el("option", { value }, text));
    const select = el("select", { name: "effort", onchange: () => this.#set("effort", select.value) }, ...options);
    select.value = this.values.effort;
    return el("label", { className: "number" }, "Effort", select);
  }
}
