// Draws every figure of the page: a <figure data-figure> holds a Plotly document as JSON.
"use strict";

(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function themed(layout) {
    const ink = dark.matches ? "#c9ced6" : "#4a5160";
    return { ...layout, font: { ...layout.font, color: ink }, autosize: true };
  }

  function draw(holder) {
    const { data, layout } = JSON.parse(holder.querySelector("script").textContent);
    const target = holder.querySelector("[data-canvas]");
    if (layout.height) target.style.minHeight = `${layout.height}px`;
    const options = { responsive: true, displaylogo: false };
    return Plotly.react(target, data, themed(layout), options);
  }

  async function drawAll() {
    for (const holder of document.querySelectorAll("[data-figure]")) {
      await draw(holder);
      holder.dataset.drawn = "yes";
    }
  }

  dark.addEventListener("change", drawAll);
  drawAll();
})();
