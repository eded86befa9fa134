// One small plot of the last minutes: a line for each series.

import { el, svg } from "./dom.js";
import { SPAN_MS } from "./history.js";

const WIDTH = 300;
const HEIGHT = 64;
const GAP_MS = 5000; // where nobody looked for longer, the line is broken

export class Plot {
  /** `series`: [name in a sample, label]; `top`: the scale's end, where it does not follow the values. */
  constructor({ title, write, series, top }) {
    Object.assign(this, { write, series, top });
    this.values = series.map(([, label], i) => el("span", { className: `series-${i}`, title: label }));
    this.scale = el("span", { className: "scale" });
    this.lines = series.map((_, i) => svg("path", { class: `series-${i}` }));
    const attributes = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title };
    const picture = svg("svg", attributes, ...this.lines);
    this.node = el("figure", { className: "plot" }, el("figcaption", {}, el("strong", {}, title), ...this.values), picture, this.scale);
  }

  show(samples, nowMs) {
    const all = this.series.flatMap(([name]) => samples.map((sample) => sample[name] ?? 0));
    const top = this.top ?? Math.max(...all, 0);
    this.scale.textContent = top ? `up to ${this.write(top)}` : "";
    this.series.forEach(([name, label], i) => {
      const last = samples.at(-1)?.[name];
      this.values[i].textContent = `${label} ${last === null || last === undefined ? "–" : this.write(last)}`;
      this.lines[i].setAttribute("d", path(samples, name, top || 1, nowMs));
    });
  }
}

function path(samples, name, top, nowMs) {
  let before = -Infinity;
  const points = [];
  for (const { timeMs, [name]: value } of samples) {
    if (value === null) continue;
    const x = (1 - (nowMs - timeMs) / SPAN_MS) * WIDTH;
    const y = HEIGHT - 2 - (value / top) * (HEIGHT - 6);
    points.push(`${timeMs - before > GAP_MS ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`);
    before = timeMs;
  }
  return points.join("");
}
