// The list of studies, and the verbs on a study's other tabs.
import { badge, duration, number, pageData, write } from "./format.js";
import { studyVerbs } from "./verbs.js";

const page = pageData();

function choose() {
  const button = document.querySelector("[data-compare]");
  if (!button) return;
  const update = () => {
    const n = document.querySelectorAll("#compare input:checked").length;
    button.disabled = n < 2 || n > 8;
  };
  document.getElementById("compare").addEventListener("change", update);
  update();
}

function show(study) {
  const row = document.querySelector(`[data-study="${CSS.escape(study.study ?? study.name)}"]`);
  if (!row) return;
  const find = (name) => row.querySelector(`[data-${name}]`);
  find("state").replaceChildren(badge(study.state));
  write(find("reason"), (study.state_reason ?? "").toLowerCase().replaceAll("_", " "));
  write(find("finished"), String(study.progress.finished));
  write(find("eta"), duration(study.progress.eta_s));
  write(find("device-seconds"), duration(study.usage.device_seconds));
  const [best] = study.best_trials;
  if (best?.values) {
    write(find("value"), row.dataset.objectives.split(",").map((name) => number(best.values[name])).join(", "));
  }
  const total = Math.max(1, study.progress.max_trials ?? 0, Object.values(study.counts).reduce((a, b) => a + b));
  let x = 0;
  for (const key of ["complete", "pruned", "fail", "running"]) {
    const rect = find("bar").querySelector(`.fill-${key}`);
    rect.setAttribute("x", `${(100 * x) / total}%`);
    rect.setAttribute("width", `${(100 * study.counts[key]) / total}%`);
    x += study.counts[key];
  }
}

if (page.name) {
  studyVerbs(page.name, page.state, () => window.location.reload());
} else {
  choose();
  let source = null;
  const open = () => {
    source = new EventSource("/v1/events");
    source.addEventListener("study", (event) => show(JSON.parse(event.data)));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    };
  };
  open();
  window.addEventListener("pagehide", () => source.close());
}
