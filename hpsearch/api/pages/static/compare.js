// Charts of a few named series; the first ones differ by colour and by dashes.
import { Chart } from "./chart.js";
import { pageData } from "./format.js";

export function drawCharts(descriptions, { lastX = 1 } = {}) {
  const holder = document.getElementById("charts");
  return descriptions.map(({ title, direction, x, series }) => {
    const figure = document.createElement("section");
    if (!holder.closest(".card")) figure.className = "card";
    const head = document.createElement("h3");
    head.textContent = title;
    const keys = document.createElement("div");
    keys.className = "keys";
    const box = document.createElement("div");
    box.className = "chart short";
    if (series.length === 1 && series[0].label === title) keys.hidden = true;
    figure.append(head, box, keys);
    holder.append(figure);
    const chart = new Chart(box, { direction, lastX, xLabel: x, label: `${title}: ${series.map((each) => each.label).join(", ")}` });
    series.forEach(({ label, points }, i) => {
      chart.set(label, { label, points, kind: `series c${i % 8} dash${i % 4}` });
      const key = document.createElement("span");
      key.className = `key c${i % 8}`;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("aria-hidden", "true");
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      for (const [name, value] of Object.entries({ x1: 0, y1: 4, x2: 28, y2: 4, class: `dash${i % 4}` })) line.setAttribute(name, value);
      svg.append(line);
      key.append(svg, label);
      keys.append(key);
    });
    return { chart, names: series.map((each) => each.label) };
  });
}

const page = document.getElementById("page-data") ? pageData() : {};
if (page.charts && page.number === undefined && document.getElementById("charts")) drawCharts(page.charts);
