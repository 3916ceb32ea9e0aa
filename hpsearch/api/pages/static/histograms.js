// How a model's weights are distributed: fetched when somebody asks, a small chart a tensor.
import { number } from "./format.js";
import { send } from "./verbs.js";

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, FOOT] = [360, 130, 18];

function make(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function bars({ name, edges, counts }) {
  const svg = make("svg", { role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-label": `histogram of ${name}` });
  const most = Math.max(...counts, 1);
  const span = edges.at(-1) - edges[0] || 1;
  const x = (value) => (WIDTH * (value - edges[0])) / span;
  const height = HEIGHT - FOOT;
  counts.forEach((count, i) => {
    const bar = make("rect", {
      class: "fill-complete", x: x(edges[i]), width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 0.5),
      y: height - (height * count) / most, height: (height * count) / most,
    });
    bar.append(make("title", {}, `${number(edges[i])} to ${number(edges[i + 1])}: ${count.toLocaleString("en-US")}`));
    svg.append(bar);
  });
  svg.append(make("line", { class: "axis", x1: 0, x2: WIDTH, y1: height + 0.5, y2: height + 0.5 }));
  if (edges[0] < 0 && edges.at(-1) > 0) {
    svg.append(make("line", { class: "axis", x1: x(0), x2: x(0), y1: 0, y2: height }));
    svg.append(make("text", { x: x(0), y: HEIGHT - 3, "text-anchor": "middle" }, "0"));
  }
  svg.append(make("text", { x: 0, y: HEIGHT - 3 }, number(edges[0])));
  svg.append(make("text", { x: WIDTH, y: HEIGHT - 3, "text-anchor": "end" }, number(edges.at(-1))));
  return svg;
}

function figure(found) {
  const section = document.createElement("section");
  const head = document.createElement("h3");
  head.textContent = `${found.name} [${found.shape.join(", ")}]`;
  const facts = document.createElement("p");
  facts.className = "quiet";
  const share = found.zeros / found.size;
  facts.textContent = found.counts.length
    ? `mean ${number(found.mean)}, deviation ${number(found.std)}${share > 0.01 ? `, ${(100 * share).toFixed(0)} % zeros` : ""}${found.nonfinite ? `, ${found.nonfinite} not finite` : ""}`
    : "no finite number";
  section.append(head);
  if (found.counts.length) {
    const box = document.createElement("div");
    box.className = "chart bars";
    box.append(bars(found));
    section.append(box);
  }
  section.append(facts);
  return section;
}

// Makes the button of a trial's page show the histograms of its model.
export function offerHistograms(path) {
  const button = document.querySelector("[data-histograms]");
  button?.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await send("GET", `${path}/histograms`);
    button.disabled = false;
    if (!answer) return;
    document.getElementById("histograms").replaceChildren(...answer.histograms.map(figure));
    button.hidden = true;
  });
}
