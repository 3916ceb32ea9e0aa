// The table of trials: rows change in place, new trials are announced and never push in.
import { hasEnded, listen } from "./events.js";
import { badge, duration, number, pageData, write } from "./format.js";
import { allow, studyVerbs } from "./verbs.js";

const page = pageData();
const row = (key) => document.querySelector(`[data-trial="${key}"]`);

function heard(kind, data) {
  if (kind === "study") {
    const all = Object.values(data.counts).reduce((a, b) => a + b);
    const news = document.querySelector("[data-news]");
    news.hidden = all <= page.total;
    write(news, `${(all - page.total).toLocaleString("en-US")} more: show them`);
    document.querySelector("[data-state]").replaceChildren(badge(data.state));
    write(document.querySelector("[data-reason]"), (data.state_reason ?? "").toLowerCase().replaceAll("_", " "));
    allow(data.state);
    return;
  }
  const found = row(data.number);
  if (!found) return;
  const set = (name, text) => write(found.querySelector(`[data-${name}]`), text);
  if (kind === "trial_started") {
    found.querySelector("[data-trial-state]").replaceChildren(badge("RUNNING"));
    for (const cell of found.querySelectorAll("[data-param]")) {
      if (cell.dataset.param in data.params) write(cell, number(data.params[cell.dataset.param]));
    }
  }
  if (kind === "epoch" || kind === "trial_rewound") set("epochs", String(data.epoch));
  if (kind === "trial_finished") {
    found.querySelector("[data-trial-state]").replaceChildren(badge(data.state));
    set("value", data.values ? page.objectives.map((name) => number(data.values[name])).join(", ") : "–");
    set("why", data.failure?.kind ?? data.pruned?.rule ?? (data.stopped_early ? "stopped early" : ""));
    set("device", duration(data.device_seconds));
    set("epochs", String(data.epochs));
  }
}

const compare = document.querySelector("[data-compare]");
const choose = () => {
  const n = document.querySelectorAll("#compare input:checked").length;
  compare.disabled = n < 2 || n > 8;
};
document.getElementById("compare").addEventListener("change", choose);
choose();
studyVerbs(page.name, page.state, () => window.location.reload());
if (!hasEnded(page.state)) listen(page.name, page.revision, heard);
