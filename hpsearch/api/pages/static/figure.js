// Draws every figure of the page: a <figure data-figure> holds a Plotly document as JSON. In a
// frame it says how high it wants to be, and takes newer documents without losing the zoom.
"use strict";

(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const documents = new Map(); // by figure
  const isFramed = window.parent !== window;
  let isHeld = false; // a button is down: someone is zooming
  let isPrinting = false;

  const isNarrow = (width) => width < 560;

  // One panel beneath the other where there is no room for three.
  function stacked(layout) {
    const n = layout.grid.rows * layout.grid.columns;
    const used = Object.keys(layout).filter((key) => key.startsWith("xaxis")).length;
    const titles = Object.fromEntries(
      Object.keys(layout).filter((key) => key.startsWith("yaxis")).map((key) => [key, { ...layout[key], title: layout.yaxis.title }]),
    );
    const each = layout.height / Math.ceil(n / layout.grid.columns);
    return { ...layout, ...titles, grid: { ...layout.grid, rows: used, columns: 1 }, height: each * used };
  }

  function themed(data, layout, width) {
    const isDark = dark.matches && !isPrinting;
    const fitted = layout.grid && isNarrow(width) ? stacked(layout) : layout;
    const hasLegend = data.length > 1 && data.some((trace) => trace.showlegend !== false);
    const paper = isDark ? "rgba(24,29,37,.85)" : "rgba(255,255,255,.85)";
    return {
      ...fitted,
      title: undefined, // stands above as text that wraps
      margin: { ...fitted.margin, l: isNarrow(width) ? 48 : fitted.margin.l, t: fitted.margin.t - (hasLegend ? 32 : 52) },
      annotations: fitted.annotations.map((note) => (note.bgcolor ? { ...note, bgcolor: paper } : note)),
      font: { ...fitted.font, color: isDark ? "#c9ced6" : "#4a5160" },
      autosize: true,
      uirevision: "kept", // zoom and hidden traces outlive new data
    };
  }

  // The one blue that is too dark on a dark page.
  function shaded(figure) {
    if (!dark.matches || isPrinting) return figure;
    return { ...figure, data: JSON.parse(JSON.stringify(figure.data).replaceAll("#0072B2", "#56B4E9")) };
  }

  async function draw(holder) {
    const { data, layout } = shaded(documents.get(holder));
    const target = holder.querySelector("[data-canvas]");
    holder.querySelector("figcaption").textContent = layout.title.text;
    const fitted = themed(data, layout, target.clientWidth);
    target.style.height = fitted.height ? `${fitted.height}px` : "";
    const options = { responsive: true, displaylogo: false };
    await Plotly.react(target, data, fitted, options);
    holder.dataset.drawn = "yes";
    if (isFramed) window.parent.postMessage({ height: Math.ceil(holder.getBoundingClientRect().height) }, window.location.origin);
  }

  async function drawAll() {
    for (const holder of documents.keys()) await draw(holder);
  }

  for (const holder of document.querySelectorAll("[data-figure]")) {
    documents.set(holder, JSON.parse(holder.querySelector("script").textContent));
  }
  dark.addEventListener("change", drawAll);
  drawAll();

  let wasNarrow = isNarrow(window.innerWidth);
  window.addEventListener("resize", () => {
    if (isNarrow(window.innerWidth) === wasNarrow) return;
    wasNarrow = !wasNarrow;
    drawAll();
  });

  window.addEventListener("pointerdown", () => (isHeld = true), true);
  window.addEventListener("pointerup", () => (isHeld = false), true);
  if (isFramed) {
    window.addEventListener("message", (event) => {
      if (event.origin !== window.location.origin || event.source !== window.parent) return;
      if (isHeld || !event.data.document) return;
      const [holder] = documents.keys();
      documents.set(holder, event.data.document);
      draw(holder);
    });
  }

  // on paper: black on white, as wide as the page is
  function print(begins) {
    isPrinting = begins;
    for (const [holder, { data, layout }] of documents) {
      const target = holder.querySelector("[data-canvas]");
      const width = begins ? 660 : undefined;
      Plotly.react(target, data, { ...themed(data, layout, 1000), width, autosize: !begins });
    }
  }
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
})();
