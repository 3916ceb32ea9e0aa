// One trial: its curves grow, its buttons act.
import { hasEnded, listen } from "./events.js";
import { badge, duration, number, pageData, write } from "./format.js";
import { drawCharts } from "./compare.js";
import { offerHistograms } from "./histograms.js";
import { say, send } from "./verbs.js";

const page = pageData();
const path = `/v1/studies/${encodeURIComponent(page.name)}/trials`;
const charts = drawCharts(page.charts, { lastX: page.last_epoch });
if (!charts.length) document.getElementById("charts").textContent = "No epoch has ended yet.";
const isFinished = (state) => ["COMPLETE", "PRUNED", "FAIL"].includes(state);
let state = page.trial_state;

// The charts of the first epoch: what belongs together on one, as the server groups it.
function begin(metrics) {
  const groups = new Map();
  for (const name of Object.keys(metrics).filter((each) => each !== "nonfinite")) {
    const title = name.replace(/^(train|val)_/, "");
    groups.set(title, [...(groups.get(title) ?? []), { label: name, points: [] }]);
  }
  document.getElementById("charts").textContent = "";
  const found = [...groups].map(([title, series]) => ({ title, direction: null, x: "epoch", series }));
  charts.push(...drawCharts(found, { lastX: page.last_epoch }));
}

function heard(kind, data) {
  if (data.number !== page.number) return;
  if (kind === "trial_started") {
    state = "RUNNING";
    document.querySelector("[data-trial-state]").replaceChildren(badge(state));
  } else if (kind === "epoch") {
    write(document.querySelector("[data-epochs]"), String(data.epoch));
    if (!charts.length) begin(data.metrics);
    for (const { chart, names } of charts) {
      for (const name of names) {
        if (name in data.metrics) chart.add(name, data.epoch, data.metrics[name]);
      }
    }
  } else if (kind === "trial_rewound") {
    write(document.querySelector("[data-epochs]"), String(data.epoch));
    for (const { chart, names } of charts) for (const name of names) chart.cut(name, data.epoch);
  } else if (kind === "trial_finished") {
    document.querySelector("[data-trial-state]").replaceChildren(badge(data.state));
    for (const cell of document.querySelectorAll("[data-objective]")) {
      write(cell, number(data.values?.[cell.dataset.objective]));
    }
    write(document.querySelector("[data-best-epoch]"), number(data.best_epoch));
    write(document.querySelector("[data-device]"), duration(data.device_seconds));
    document.querySelector('[data-act="stop"]')?.remove();
    // the test metrics, the attempt's end and the downloads come with the page
    if (!isFinished(state)) setTimeout(() => window.location.reload(), 600);
    state = data.state;
  }
}

const acts = {
  async stop() {
    if (await send("POST", `${path}/${page.number}:stop`)) say("It ends at its next epoch.", "good");
  },
  async retry() {
    const trial = await send("POST", `${path}/${page.number}:retry`);
    if (trial) window.location.assign(`/studies/${encodeURIComponent(page.name)}/trials/${trial.number}`);
  },
  async again() {
    const count = Number(document.getElementById("times").value) || 1;
    const answer = await send("POST", path, { from_trial: page.number, count });
    if (answer) say(`Added: trial ${answer.trials.map((trial) => trial.number).join(", ")}.`, "good");
  },
};
for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => acts[button.dataset.act]());
}
offerHistograms(`${path}/${page.number}`);
if (!isFinished(state) && !hasEnded(page.state)) listen(page.name, page.revision, heard);
