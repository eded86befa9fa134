// The live view: asks /stats once a second, but only while somebody can see it.

import { showChats } from "./bars.js";
import { button, byId, el } from "./dom.js";
import { bytes, count, percent, rate, seconds } from "./format.js";
import { History } from "./history.js";
import { askForKey } from "./key.js";
import { Plot } from "./plot.js";
import { getJson } from "./server.js";

const POLL_MS = 1000;

const PLOTS = [
  { title: "Tokens per second", write: rate, series: [["outputRate", "written"], ["promptRate", "read"]] },
  { title: "Chats", write: count, series: [["running", "running"], ["queued", "waiting"]] },
  { title: "Time to first token", write: seconds, series: [["first50", "p50"], ["first99", "p99"]] },
  { title: "Between tokens", write: seconds, series: [["gap50", "p50"], ["gap99", "p99"]] },
  { title: "Memory", write: bytes, series: [["kvBytes", "chats"], ["prefixBytes", "kept prompts"]] },
  { title: "Prompts from the cache", write: percent, top: 1, series: [["hitRate", "last minute"]] },
];

export class Live {
  #isShown = false;
  #timer = null;
  #isAsking = false;

  constructor() {
    this.history = new History();
    this.plots = PLOTS.map((each) => new Plot(each));
    this.facts = el("dl", { className: "facts" });
    this.problem = el("p", { className: "error", hidden: true });
    this.chats = el("div", { className: "chats" });
    const plots = el("div", { className: "plots" }, ...this.plots.map((plot) => plot.node));
    const span = el("h2", {}, "The last five minutes; percentiles are since the start");
    byId("live-view").replaceChildren(this.problem, this.facts, span, plots, this.chats);
    document.addEventListener("visibilitychange", () => this.#follow());
  }

  set isShown(isShown) {
    this.#isShown = isShown;
    this.#follow();
  }

  #follow() {
    clearInterval(this.#timer);
    if (!this.#isShown || document.visibilityState !== "visible") return;
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
    this.#poll();
  }

  async #poll() {
    if (this.#isAsking) return; // a slow answer is not asked for twice
    this.#isAsking = true;
    try {
      this.#show(await getJson("stats"));
      this.problem.hidden = true;
    } catch (error) {
      this.#explain(error);
    } finally {
      this.#isAsking = false;
    }
  }

  #explain(error) {
    const text = error instanceof TypeError ? "The server cannot be reached." : error.message;
    const key = error.status === 401 ? [" ", button("Enter the API key", askForKey)] : [];
    this.problem.replaceChildren(text, ...key);
    this.problem.hidden = false;
  }

  #show(stats) {
    this.history.add(stats, Date.now());
    this.facts.replaceChildren(...facts(stats).map(factNode));
    for (const plot of this.plots) plot.show(this.history.samples, Date.now());
    showChats(this.chats, stats);
  }
}

const factNode = ([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

function facts({ model, batch, kv_memory: kv, prefix_cache: prefixes, requests, uptime_seconds: uptime }) {
  const size = `${count(model.num_parameters)} parameters, ${bytes(model.weight_bytes)}`;
  return [
    ["Model", size],
    ["Forward, device", `${model.forward}, ${model.device}`],
    ["Batch", `${batch.running} of ${batch.max_running} running, ${batch.queued} waiting`],
    ["Chats' memory", `${bytes(kv.used_bytes)} of ${bytes(kv.budget_bytes)}`],
    ["Kept prompts", prefixes.enabled ? `${bytes(prefixes.used_bytes)} of ${bytes(prefixes.limit_bytes)}` : "off"],
    ["Requests", `${count(requests.received)} in ${uptime < 7200 ? seconds(uptime) : `${Math.round(uptime / 3600)} h`}`],
  ];
}
