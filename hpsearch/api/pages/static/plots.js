// The figures of a study, each in a frame of its own: they follow the study, what is asked of
// them can be changed, and a frame is as high as its figure.
import { hasEnded, listen } from "./events.js";
import { badge, pageData, write } from "./format.js";
import { allow, studyVerbs } from "./verbs.js";

const LEAST_MS = 4000; // between two looks at one figure
const SHARE = 10; // a look that took long is followed by a pause ten times as long
const page = pageData();
const get = (name) => document.querySelector(`[data-${name}]`);
const plots = [...document.querySelectorAll("iframe[data-kind]")].map((frame) => ({
  frame,
  kind: frame.dataset.kind,
  choices: {},
  isSeen: false,
  isStale: false,
  isBusy: false,
  nextAt: 0,
}));

function address(plot, format) {
  const query = new URLSearchParams(Object.entries({ ...plot.choices, format }).filter(([, value]) => value));
  return `/v1/studies/${encodeURIComponent(page.name)}/plots/${plot.kind}?${query}`;
}

// Gets the figure anew and hands it to its frame, which keeps its zoom.
async function look(plot) {
  if (plot.isBusy) return;
  plot.isBusy = true;
  plot.isStale = false;
  const from = performance.now();
  try {
    const answer = await fetch(address(plot, "json"), { headers: { Accept: "application/json" } });
    if (answer.ok) plot.frame.contentWindow.postMessage({ document: await answer.json() }, window.location.origin);
  } catch {
    plot.isStale = true; // the server is away for a moment
  }
  plot.isBusy = false;
  plot.nextAt = performance.now() + Math.max(LEAST_MS, SHARE * (performance.now() - from));
}

function lookWhereSeen() {
  if (document.hidden) return;
  for (const plot of plots) {
    if (plot.isStale && plot.isSeen && performance.now() >= plot.nextAt) look(plot);
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) plots.find(({ frame }) => frame === entry.target).isSeen = entry.isIntersecting;
  lookWhereSeen();
});
for (const plot of plots) seen.observe(plot.frame);

for (const select of document.querySelectorAll("[data-choice]")) {
  select.addEventListener("change", () => {
    const plot = plots.find(({ kind }) => kind === select.dataset.of);
    plot.choices[select.dataset.choice] = select.value;
    for (const other of document.querySelectorAll(`[data-of="${plot.kind}"]`)) {
      if (other === select || !select.value || other.value !== select.value) continue;
      other.value = "";
      plot.choices[other.dataset.choice] = "";
    }
    // another figure: its zoom is of no use
    plot.frame.src = address(plot, "html");
  });
}

window.addEventListener("message", (event) => {
  if (event.origin !== window.location.origin || !event.data.height) return;
  const plot = plots.find(({ frame }) => frame.contentWindow === event.source);
  if (plot) plot.frame.style.height = `${event.data.height}px`;
});

function heard(kind, data) {
  if (kind === "study") {
    get("state").replaceChildren(badge(data.state));
    write(get("reason"), (data.state_reason ?? "").toLowerCase().replaceAll("_", " "));
    allow(data.state);
  }
  // between the starts and ends of trials only curves and the timeline would change
  if (kind === "trial_finished" || (kind === "study" && hasEnded(data.state))) {
    for (const plot of plots) plot.isStale = true;
    lookWhereSeen();
  }
}

const stream = hasEnded(page.state) ? null : listen(page.name, page.revision, heard);
if (stream) setInterval(lookWhereSeen, 1000);
studyVerbs(page.name, page.state, (study) => {
  if (!stream) window.location.reload();
  else heard("study", study);
  if (stream && !hasEnded(study.state)) stream.restart();
});
