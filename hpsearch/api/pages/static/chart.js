// Line charts: many curves over epochs, or a few named series; one SVG, redrawn once a frame.
import { number } from "./format.js";

const NS = "http://www.w3.org/2000/svg";
const MARGIN = { top: 10, right: 12, bottom: 30 };
let nCharts = 0;
const MOST_POINTS = 240; // of one curve: as many as there are pixels to see them

function make(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Round values between low and high, the outermost at or beyond the ends.
export function ticks(low, high, wanted = 5) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? 10 * power;
  const found = [];
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  for (let i = first; i <= last; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) found.push(10 ** p);
  return found;
}

// As many digits as tell neighbouring ticks apart.
function tickText(value, step) {
  if (value === 0) return "0";
  const place = step ? Math.floor(Math.log10(step) + 1e-9) : Math.floor(Math.log10(Math.abs(value)));
  const isHalf = step && !Number.isInteger(Number((step / 10 ** place).toPrecision(6)));
  const digits = Math.max(0, -place + (isHalf ? 1 : 0));
  if (Math.abs(value) >= 1e5 || digits > 5) {
    const mantissa = step ? Math.max(0, Math.floor(Math.log10(Math.abs(value))) - place + (isHalf ? 1 : 0)) : 0;
    return value.toExponential(mantissa).replace("e+", "e");
  }
  return value.toFixed(Math.min(8, digits));
}

// Every second point, ends kept.
export function thin(points) {
  if (points.length <= MOST_POINTS) return points;
  return points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
}

export class Chart {
  // holder: a .chart element. options: {direction: "minimize"|"maximize"|null, lastX, xLabel,
  // onPick(key), empty}. Curves: key -> {points: [[x, y]], label, kind, rank}.
  constructor(holder, options = {}) {
    this.holder = holder;
    this.options = options;
    this.curves = new Map();
    this.isLog = false;
    this.hot = null;
    this.places = [];
    this.isDue = false;
    this.clipId = `clip-${++nCharts}`;
    this.svg = make("svg", { role: "img", "aria-label": options.label ?? "chart" });
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.none = document.createElement("div");
    this.none.className = "none";
    this.none.textContent = options.empty ?? "No epoch has ended yet.";
    holder.replaceChildren(this.svg, this.tip, this.none);
    holder.addEventListener("pointermove", (event) => this.#point(event));
    holder.addEventListener("pointerleave", () => this.#leave());
    holder.addEventListener("click", () => this.hot !== null && options.onPick?.(this.hot.key));
    new ResizeObserver(() => this.redraw()).observe(holder);
  }

  set(key, curve) {
    this.curves.set(key, { kind: "", label: `trial ${key}`, points: [], ...this.curves.get(key), ...curve });
    this.redraw();
  }

  add(key, x, y) {
    const curve = this.curves.get(key);
    const points = curve.points;
    const last = points.at(-1);
    if (last && x <= last[0]) this.cut(key, x - 1);
    curve.points = thin([...curve.points, [x, y]]);
    this.redraw();
  }

  cut(key, lastX) {
    const curve = this.curves.get(key);
    if (curve) curve.points = curve.points.filter(([x]) => x <= lastX);
    this.redraw();
  }

  clear() {
    this.curves.clear();
    this.redraw();
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.#draw();
    });
  }

  #range() {
    const values = [];
    let lastX = this.options.lastX ?? 1;
    for (const { points } of this.curves.values()) {
      for (const [x, y] of points) {
        if (y !== null && (!this.isLog || y > 0)) values.push(y);
        lastX = Math.max(lastX, x);
      }
    }
    if (!values.length) return null;
    values.sort((a, b) => a - b);
    let low = values[0];
    let high = values.at(-1);
    // the best end is always whole; at the other one a few diverging trials must not flatten all
    const tail = Math.floor(values.length * 0.05);
    if (this.options.direction && !this.isLog && this.curves.size > 8) {
      if (this.options.direction === "maximize") low = values[tail];
      else high = values.at(-1 - tail);
    }
    if (low === high) {
      // a constant: zero stands on the axis, anything else amid a little room
      const room = Math.abs(low) * 0.05;
      return room ? { low: low - room, high: high + room, lastX } : { low: 0, high: 1, lastX };
    }
    return { low, high, lastX };
  }

  #draw() {
    const range = this.#range();
    this.none.hidden = range !== null;
    if (range === null) return this.svg.replaceChildren();
    const width = this.holder.clientWidth;
    const height = this.holder.clientHeight;
    if (!width || !height) return;
    const marks = this.isLog ? logTicks(range.low, range.high) : ticks(range.low, range.high, height < 240 ? 3 : 5);
    const step = marks.length > 1 ? marks[1] - marks[0] : 0;
    const texts = marks.map((mark) => (this.isLog ? tickText(mark, 0) : tickText(mark, step)));
    const left = Math.max(44, 10 + 7.2 * Math.max(...texts.map((text) => text.length)));
    const [bottom, top] = [marks[0], marks.at(-1)];
    const scale = this.isLog ? Math.log10 : (value) => value;
    const inner = { w: width - left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const firstX = this.options.firstX ?? 1;
    const px = (x) => left + (inner.w * (x - firstX)) / Math.max(1, range.lastX - firstX);
    const py = (y) => {
      const at = (scale(y) - scale(bottom)) / (scale(top) - scale(bottom));
      return MARGIN.top + inner.h * (1 - at);
    };
    // what is beyond the axis leaves the picture, it does not creep along the edge
    const clip = make("clipPath", { id: this.clipId });
    clip.append(make("rect", { x: left - 6, y: MARGIN.top - 6, width: inner.w + 12, height: inner.h + 9 }));
    const lines = make("g", { "clip-path": `url(#${this.clipId})` });
    const parts = [clip];
    marks.forEach((mark, i) => {
      const y = Math.round(py(mark)) + 0.5;
      parts.push(make("line", { class: "axis", x1: left, x2: width - MARGIN.right, y1: y, y2: y }));
      parts.push(make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, texts[i]));
    });
    const xs = ticks(firstX, range.lastX, Math.max(2, Math.floor(inner.w / 90))).filter((x) => Number.isInteger(x) && x > firstX && x <= range.lastX);
    for (const x of [firstX, ...xs]) {
      parts.push(make("text", { x: px(x), y: height - 10, "text-anchor": "middle" }, x.toLocaleString("en-US")));
    }
    parts.push(make("text", { x: width - MARGIN.right, y: height + 4, "text-anchor": "end" }, this.options.xLabel ?? "epoch"));
    this.places = [];
    const ordered = [...this.curves].sort(([, a], [, b]) => (a.rank ?? 0) - (b.rank ?? 0));
    for (const [key, curve] of ordered) {
      const shown = curve.points.filter(([, y]) => y !== null && (!this.isLog || y > 0));
      if (!shown.length) continue;
      const places = shown.map(([x, y]) => [px(x), py(y)]);
      const path = places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
      const hot = this.hot?.key === key ? " hot" : "";
      lines.append(make("path", { class: `line ${curve.kind}${hot}`, d: path, "data-key": key }));
      const [ex, ey] = places.at(-1);
      if (places.length === 1 || /running|best|series/.test(curve.kind)) {
        lines.append(make("circle", { class: curve.kind, cx: ex, cy: ey, r: /best/.test(curve.kind) ? 5 : 3.5 }));
      }
      places.forEach(([x, y], i) => this.places.push({ key, x, y, at: shown[i] }));
    }
    parts.push(lines);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(...parts);
  }

  #point(event) {
    const box = this.holder.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = 900;
    for (const place of this.places) {
      const distance = (place.x - x) ** 2 + (place.y - y) ** 2;
      if (distance < least) [best, least] = [place, distance];
    }
    if (!best) return this.#leave();
    const hasChanged = this.hot?.key !== best.key;
    this.hot = best;
    this.holder.style.cursor = this.options.onPick ? "pointer" : "";
    const label = this.curves.get(best.key)?.label ?? best.key;
    this.tip.textContent = `${label} · ${this.options.xLabel ?? "epoch"} ${best.at[0]} · ${number(best.at[1])}`;
    this.tip.hidden = false;
    const room = box.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, best.x + 12))}px`;
    this.tip.style.top = `${Math.max(0, best.y - 32)}px`;
    if (hasChanged) this.redraw();
  }

  #leave() {
    if (this.hot === null) return;
    this.hot = null;
    this.tip.hidden = true;
    this.redraw();
  }
}
