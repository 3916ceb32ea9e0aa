// The overview of a study: counts, curves, best trial and costs, as they change.
import { Chart } from "./chart.js";
import { hasEnded, listen } from "./events.js";
import { badge, breakable, duration, number, pageData, write } from "./format.js";
import { timeOf } from "./times.js";
import { allow, studyVerbs } from "./verbs.js";

const MOST_CURVES = 150; // more is ink, not information
const MOST_RUNS = 8;
const page = pageData();
const base = `/studies/${encodeURIComponent(page.name)}`;
const get = (name) => document.querySelector(`[data-${name}]`);
const states = new Map(Object.entries(page.states).map(([number, state]) => [Number(number), state]));
const epochs = new Map(Object.entries(page.epochs).map(([number, epoch]) => [Number(number), epoch]));
let best = new Set(page.best);
let metric = page.metric;
let state = page.state;

const chart = new Chart(document.getElementById("curves"), {
  direction: page.direction,
  lastX: page.last_epoch,
  label: `${metric} of the latest and best trials by epoch`,
  onPick: (key) => window.location.assign(`${base}/trials/${key}`),
});

function kind(number) {
  if (best.has(number)) return "best";
  return { RUNNING: "running", PRUNED: "pruned", FAIL: "fail" }[states.get(number)] ?? "complete";
}

function restyle(number) {
  const name = kind(number);
  if (chart.curves.has(number)) {
    chart.set(number, { kind: name, rank: name === "best" ? 2 : name === "running" ? 1 : 0 });
  }
}

function forgetOldest() {
  if (chart.curves.size <= MOST_CURVES) return;
  for (const key of [...chart.curves.keys()].sort((a, b) => a - b)) {
    if (chart.curves.size <= MOST_CURVES) return;
    if (kind(key) !== "best" && kind(key) !== "running") chart.curves.delete(key);
  }
}

function fill(series) {
  for (const [key, points] of Object.entries(series)) {
    chart.set(Number(key), { points });
    restyle(Number(key));
  }
}

async function changeMetric(name) {
  metric = name;
  chart.options.direction = /accuracy|r2|f1/.test(name) ? "maximize" : /loss|rmse/.test(name) ? "minimize" : null;
  const numbers = [...chart.curves.keys()];
  const query = new URLSearchParams({ metric: name, points: "60" });
  for (const key of numbers) query.append("number", key);
  const answer = numbers.length ? await fetch(`/v1/studies/${encodeURIComponent(page.name)}/epochs?${query}`) : null;
  if (metric !== name || !answer?.ok) return;
  const series = {};
  for (const row of (await answer.json()).epochs) {
    (series[row.number] ??= []).push([row.epoch, row[name] ?? null]);
  }
  chart.clear();
  fill(series);
}

function showRuns() {
  const running = [...states].filter(([, each]) => each === "RUNNING").map(([key]) => key).sort((a, b) => a - b);
  const list = get("runs");
  if (!list) return;
  const rows = running.slice(0, MOST_RUNS).map((key) => {
    const row = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${base}/trials/${key}`;
    link.textContent = `trial ${key}`;
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    bar.setAttribute("class", "bar");
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const done = epochs.get(key) ?? 0;
    rect.setAttribute("class", "fill-running");
    rect.setAttribute("width", `${Math.min(100, (100 * done) / page.last_epoch)}%`);
    rect.setAttribute("height", "100%");
    bar.append(rect);
    const epoch = document.createElement("span");
    epoch.className = "right quiet small";
    epoch.textContent = `epoch ${done}`;
    const value = document.createElement("span");
    value.className = "right";
    value.textContent = number(chart.curves.get(key)?.points.at(-1)?.[1]);
    row.append(link, bar, epoch, value);
    return row;
  });
  list.replaceChildren(...rows);
  const more = running.length - rows.length;
  const words = hasEnded(state) ? "The study has ended." : state === "PAUSED" ? "The study is paused." : "No worker trains a trial of it right now.";
  write(get("runs-more"), more > 0 ? `and ${more} more` : rows.length ? "" : words);
}

function showStudy(study) {
  state = study.state;
  get("state").replaceChildren(badge(study.state));
  write(get("reason"), (study.state_reason ?? "").toLowerCase().replaceAll("_", " "));
  for (const [key, count] of Object.entries(study.counts)) write(get(`count-${key}`), count.toLocaleString("en-US"));
  write(get("finished"), study.progress.finished.toLocaleString("en-US"));
  write(get("eta"), duration(study.progress.eta_s));
  write(get("device-seconds"), duration(study.usage.device_seconds));
  showBar(study);
  showCosts(study.usage);
  showBest(study.best_trials);
  const notes = study.warnings.map((text) => {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = text;
    return note;
  });
  if (notes.length !== get("warnings").children.length) get("warnings").replaceChildren(...notes);
  if (study.finished_at) get("finished-at").replaceChildren(timeOf(study.finished_at));
  allow(study.state);
}

function showBar(study) {
  const { counts } = study;
  const total = Math.max(1, study.progress.max_trials ?? 0, Object.values(counts).reduce((a, b) => a + b));
  let x = 0;
  for (const key of ["complete", "pruned", "fail", "running"]) {
    const rect = get("bar").querySelector(`.fill-${key}`);
    rect.setAttribute("x", `${(100 * x) / total}%`);
    rect.setAttribute("width", `${(100 * counts[key]) / total}%`);
    x += counts[key];
  }
}

function showCosts(usage) {
  const total = Math.max(usage.device_seconds + usage.saved, 1e-9);
  let x = 0;
  for (const key of ["completed", "pruned", "failed", "lost", "running", "saved"]) {
    const rect = get("costs").querySelector(`.fill-${key}`);
    rect.setAttribute("x", `${(100 * x) / total}%`);
    rect.setAttribute("width", `${(100 * usage[key]) / total}%`);
    x += usage[key];
    write(get(`cost-${key}`), duration(usage[key]));
  }
}

function showBest(trials) {
  const old = best;
  best = new Set(trials.map((trial) => trial.number));
  for (const number of new Set([...old, ...best])) restyle(number);
  if (!trials.length) return;
  const [trial] = trials;
  const card = get("best");
  card.hidden = false;
  get("no-best").hidden = true;
  const link = card.querySelector("a");
  link.href = `${base}/trials/${trial.number}`;
  write(link, `Trial ${trial.number}`);
  const front = trials.length > 1 ? `, one of ${trials.length} on the Pareto front` : "";
  write(card.querySelector("[data-front]"), front);
  const figures = [];
  page.objectives.forEach((name, i) => figures.push([name, trial.values?.[name], i === 0]));
  for (const [name, value] of Object.entries(trial.test ?? {})) if (name !== "nonfinite") figures.push([`test ${name}`, value, false]);
  figures.push(["best epoch", trial.best_epoch, false]);
  card.querySelector(".figures").replaceChildren(...figures.map(([name, value, isBig]) => {
    const holder = document.createElement("div");
    holder.className = isBig ? "big" : "";
    const label = document.createElement("span");
    label.textContent = name;
    const shown = document.createElement("b");
    shown.textContent = number(value);
    holder.append(label, shown);
    return holder;
  }));
  card.querySelector(".pairs").replaceChildren(...Object.entries(trial.params).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    term.append(...breakable(name));
    const text = document.createElement("dd");
    text.textContent = number(value);
    return [term, text];
  }));
}

function heard(what, data) {
  if (what === "study") {
    showStudy(data);
  } else if (what === "trial_started") {
    states.set(data.number, "RUNNING");
    if (!chart.curves.has(data.number)) chart.set(data.number, { points: [] });
    restyle(data.number);
    forgetOldest();
  } else if (what === "epoch") {
    epochs.set(data.number, data.epoch);
    if (!chart.curves.has(data.number)) chart.set(data.number, { points: [] });
    if (metric in data.metrics) chart.add(data.number, data.epoch, data.metrics[metric]);
    restyle(data.number);
  } else if (what === "trial_rewound") {
    epochs.set(data.number, data.epoch);
    states.set(data.number, "WAITING");
    chart.cut(data.number, data.epoch);
    restyle(data.number);
  } else if (what === "trial_finished") {
    states.set(data.number, data.state);
    restyle(data.number);
  }
  due();
}

let isDue = false;
function due() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    showRuns();
  });
}

fill(page.series);
showRuns();
document.getElementById("metric")?.addEventListener("change", (event) => changeMetric(event.target.value));
document.getElementById("log")?.addEventListener("change", (event) => {
  chart.isLog = event.target.checked;
  chart.redraw();
});
const stream = hasEnded(page.state) ? null : listen(page.name, page.revision, heard);
studyVerbs(page.name, page.state, (study) => {
  showStudy(study);
  if (!stream) window.location.reload();
  else if (!hasEnded(study.state)) stream.restart();
});
